"""
What the outside may send to each reader, thought up by a machine.

``targets`` says what must hold whatever bytes come, ``corpus`` keeps the inputs for which it once did not, each
named after what it shows; ``test_corpus`` replays them. ``python -m tests.fuzz`` looks for more.
"""
