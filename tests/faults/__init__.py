"""
Faults on purpose: the real program, real files, servers that die, and a model that knows which lines must arrive.

``stage.Stage`` is what tests of one worker use, ``fleet.Fleet`` those of the daemon with its logs. The verdict never
rests on fluentlite's own word: what was written is known to ``writer``, what arrived is in the journals of ``sink``,
a server that shares no code with the package.
"""
