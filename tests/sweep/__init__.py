"""
The sweep: the real worker and the real master, killed at each of their system calls, and with each of them failing.

``seccomp`` has the kernel ask us before every call of a process, ``interceptor`` counts them and kills or fails the
one that is meant. ``worker_scene``, ``master_scene`` and ``start_scene`` are the scenarios, small and always alike; ``plan`` makes all
points of them, ``runner`` runs each in processes of its own, forked from this warm one. What may arrive twice is
decided by ``evidence``, from the calls that were seen and the journals of the sink: never by fluentlite's own word.
"""
