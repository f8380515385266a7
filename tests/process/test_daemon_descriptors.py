"""What fifty workers share: memory. And what they do not: descriptors, randomness, connections."""

import collections
import contextlib
import os
import re
import signal

from arrivals import Arrivals
from following import numbered
from kernel import open_files, proportional_memory, title

FIFTY = [f"log{number:02}" for number in range(50)]
MEMORY_LIMIT = 7_000_000
"""Bytes of proportional memory; a worker that shared nothing would cost three times as much. The budget is the bench's."""


def strangers(daemon, workers):
    """What the workers have open in the daemon's directory and is not their own."""
    found = []
    for tag, pid in workers.items():
        for target in open_files(pid).values():
            own = target in (str(daemon.path(tag)), str(daemon.log_path))
            if (
                target.startswith(str(daemon.directory))
                and not own
                and not is_checkpoint_of(daemon, tag, target)
            ):
                found.append((tag, target))
    return found


def is_checkpoint_of(daemon, tag, target):
    directory, _, name = target.rpartition("/")
    return (
        directory == str(daemon.state_dir)
        and str(daemon.path(tag)).encode() in (daemon.state_dir / name).read_bytes()
    )


def shared(pids):
    """Pipes and sockets that are open in more than one process: inode -> the processes."""
    holders = collections.defaultdict(set)
    for pid in pids:
        for target in open_files(pid).values():
            if re.match(r"(pipe|socket):", target):
                holders[target].add(pid)
    return {target: pids for target, pids in holders.items() if len(pids) > 1}


def test_fifty_workers(make_daemon, arrivals):
    """
    No worker has a descriptor of another one or of the master, the fiftieth no more than the first, and none that comes
    later, in place of a dead one or by a reload; only a lifeline joins each to the master (P16). What a worker
    costs shows that it shares most of its memory (P25).
    """
    daemon = make_daemon(*FIFTY, "late")
    daemon.announce("was killed by SIGKILL")
    late = daemon.config["log"].pop()
    daemon.write_config()
    daemon.start()
    for name in FIFTY:
        daemon.append(name, *numbered(1, 3))
    arrivals.wait_for(lambda: arrivals.counts() == dict.fromkeys(FIFTY, 3))
    memory = [proportional_memory(pid) for pid in daemon.workers().values()]
    os.kill(daemon.worker("log20"), signal.SIGKILL)
    daemon.config["log"].append(late)
    daemon.write_config()
    daemon.run("reload")
    daemon.append("late", "one")
    daemon.append("log20", "four")
    arrivals.wait_for_lines("late", ["one"])
    arrivals.wait_for_lines("log20", [*numbered(1, 3), "four"])
    master, workers = daemon.master(), daemon.wait_for_workers()

    assert len(workers) == 51
    assert strangers(daemon, workers) == []
    assert {frozenset(pids - {master}) for pids in shared([master, *workers.values()]).values()} == {
        frozenset({pid}) for pid in workers.values()
    }
    counts = {len(open_files(pid)) for pid in workers.values()}
    assert max(counts) <= 16
    assert max(counts) - min(counts) <= 1, {title(pid): open_files(pid) for pid in workers.values()}
    assert sum(memory) / len(memory) < MEMORY_LIMIT, sorted(memory)


def test_each_has_its_own_luck(make_daemon, arrivals):
    """Workers choose among the servers by a chance of their own, not by one that was made before the fork (P17)."""
    names = [f"log{number:02}" for number in range(24)]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Arrivals()) for _ in range(4)]
        daemon = make_daemon(*names, forward={"primary": [server.address for server in servers]})
        daemon.start()
        for name in names:
            daemon.append(name, "one")
        daemon.eventually(lambda: sum(len(server.counts()) for server in servers) == len(names))
        tags = [set(server.counts()) for server in servers]
        daemon.close()

    assert max(map(len, tags)) < len(names)
    assert len([one for one in tags if one]) >= 3
