"""Processes that die: the master, one worker, fifty workers, always the same one."""

import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from daemon import FLUENTLITE
from following import numbered
from kernel import children, is_alive, open_files, process_state
from writing import Writing


def readers(daemon, name):
    """The processes that have the log *name* open."""
    return [pid for pid in daemon.processes() if str(daemon.path(name)) in open_files(pid).values()]


def test_a_killed_master(daemon):
    """Workers whose master was killed end within two seconds or little more (P01)."""
    master, workers = daemon.master(), daemon.workers()
    os.kill(master, signal.SIGKILL)

    daemon.eventually(lambda: not any(map(is_alive, workers.values())), 5.0)
    assert daemon.run("status").status == 1


def test_a_killed_master_without_a_server(make_daemon, arrivals):
    """They do not wait for a server that acknowledges nothing either (P01)."""
    arrivals.down()
    daemon = make_daemon("a")
    daemon.announce("Connection refused; lines wait")
    daemon.append("a", "one")
    daemon.start()
    worker = daemon.worker("a")
    os.kill(daemon.master(), signal.SIGKILL)

    daemon.eventually(lambda: not is_alive(worker), 5.0)


def test_a_killed_master_and_the_next_one(make_daemon, arrivals):
    """
    A master killed under load, a new one started at once, several times: nothing is lost or doubled, and at no time do
    two processes read one log (P01, P02).
    """
    names = ("a", "b", "c")
    daemon = make_daemon(*names)
    daemon.start()
    seen = set()
    with Writing(daemon, *names) as writing:
        for _ in range(3):
            arrivals.wait_for_more("a", 100)
            before = daemon.processes()
            os.kill(daemon.master(), signal.SIGKILL)
            daemon.start()
            seen.update(len(readers(daemon, name)) for name in names)
            daemon.eventually(lambda before=before: not set(before) & set(daemon.processes()))
    for name in names:
        arrivals.wait_for_lines(name, writing.lines(name))

    assert seen <= {0, 1}


def test_a_frozen_orphan(daemon, arrivals):
    """A successor waits for an orphan that cannot end, says so, and goes on when it is gone (P02)."""
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])
    orphan, master = daemon.worker("a"), daemon.master()
    os.kill(orphan, signal.SIGSTOP)
    os.kill(master, signal.SIGKILL)
    daemon.start()
    daemon.append("a", "two")
    daemon.append("b", "other")
    arrivals.wait_for_lines("b", ["other"])
    assert readers(daemon, "a") == [orphan]

    os.kill(orphan, signal.SIGCONT)
    arrivals.wait_for_lines("a", ["one", "two"])


def test_everything_killed_under_load(make_daemon, arrivals):
    """After SIGKILL to all at once nothing is lost; only what was on its way then may be doubled (P23, O05)."""
    daemon = make_daemon("a", "b")
    daemon.start()
    with Writing(daemon, "a", "b") as writing:
        for _ in range(4):
            arrivals.wait_for_more("a", 50)
            for pid in daemon.processes():
                os.kill(pid, signal.SIGKILL)
            daemon.start()
    for name in ("a", "b"):
        arrivals.wait_for(lambda name=name: set(arrivals.lines(name)) == set(writing.lines(name)))
        again = len(arrivals.lines(name)) - writing.written
        assert again <= 4 * 4 * max(len(lines) for _tag, _id, lines in arrivals.chunks), again


def test_a_killed_worker_goes_on(daemon, arrivals):
    """A worker that the kernel killed, for memory or not, has a successor that continues at the position (P15)."""
    daemon.announce("was killed by SIGKILL")
    daemon.append("a", *numbered(1, 100))
    arrivals.wait_for_lines("a", numbered(1, 100))
    daemon.eventually(lambda: daemon.row("a")["lines"] == 100)
    killed, other = daemon.worker("a"), daemon.worker("b")
    os.kill(killed, signal.SIGKILL)
    daemon.append("a", *numbered(101, 200))
    arrivals.wait_for_lines("a", numbered(1, 200))

    daemon.eventually(lambda: daemon.row("a")["lines"] == 200)
    row = daemon.row("a")
    assert row["restarts"] == 1
    assert row["pid"] not in (0, killed)
    assert daemon.worker("b") == other


def test_a_worker_that_needs_too_much_memory(daemon, arrivals):
    """A worker that gets no memory dies or waits, by itself; afterwards it continues at the position (P15)."""
    daemon.announce("an error in", "the last worker (ended|was killed)", "Traceback", r"^\w*Error")
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])
    worker = psutil.Process(daemon.worker("a"))
    size = worker.memory_info().vms
    worker.rlimit(psutil.RLIMIT_AS, (size, size))
    daemon.append("a", *("x" * 200 for _ in range(30_000)))
    daemon.append("b", "other")
    arrivals.wait_for_lines("b", ["other"])
    arrivals.wait_for(lambda: arrivals.counts().get("a", 0) >= 30_001, 30)

    assert arrivals.lines("a")[0] == "one"
    assert set(arrivals.lines("a")[1:]) == {"x" * 200}


def test_fifty_workers_at_once(make_daemon, arrivals):
    """Fifty workers killed in one instant leave no zombie; each is started again and delivers (P07)."""
    names = [f"log{number:02}" for number in range(50)]
    daemon = make_daemon(*names)
    daemon.announce("was killed by SIGKILL")
    daemon.start()
    killed = list(daemon.wait_for_workers().values())
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    for name in names:
        daemon.append(name, "after")
    arrivals.wait_for(lambda: arrivals.counts() == dict.fromkeys(names, 1), 40)

    assert not any(process_state(pid) for pid in killed)
    assert sorted(children(daemon.master())) == sorted(daemon.workers().values())
    assert {row["restarts"] for row in daemon.ask()["workers"]} == {1}


ILL = """
import os, sys
from fluentlite.errors import ConfigError
from fluentlite.worker.main import Worker
live = Worker.run
def run(worker):
    if worker._settings.path.endswith("/bad.log") and os.path.exists(os.environ["ILL"]):
        raise ConfigError("bad.log: no worker can work with it")
    return live(worker)
Worker.run = run
from fluentlite.cli import main
sys.exit(main())
"""
"""The same agent, but no worker can follow bad.log as long as there is a file of this name."""


def test_one_that_always_dies(make_daemon, arrivals):
    """
    A worker that cannot live is started again later and later, never given up, its reason is in ``status``, and the
    master and the other logs are not disturbed (P13, O02).
    """
    daemon = make_daemon("bad", "good")
    daemon.announce(r"bad\.log")
    daemon.append("bad", "one")
    ill = daemon.directory / "ill"
    ill.touch()
    command = [sys.executable, "-c", ILL, *daemon.command("start")[len(FLUENTLITE) :]]
    subprocess.run(
        command, check=True, timeout=60, stdin=subprocess.DEVNULL, env=os.environ | {"ILL": str(ill)}
    )
    daemon.eventually(lambda: daemon.row("bad")["restarts"] >= 3)
    row = daemon.row("bad")
    daemon.append("good", "one")
    arrivals.wait_for_lines("good", ["one"])

    assert "bad.log: no worker can work with it" in row["last_error"]
    assert daemon.run("status", "--strict").status == 2
    waits = [
        float(wait) for wait in re.findall(r"bad\.log: .*the next one starts in ([\d.]+) s", daemon.said())
    ]
    assert waits[0] >= 0.2
    assert max(waits) > 0.6
    # Said with its reason when it begins, not at each death.
    assert len(re.findall(r"\[ERROR\].*bad\.log.*started again", daemon.said())) == 1

    ill.unlink()
    arrivals.wait_for_lines("bad", ["one"])


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_ends_by_itself(daemon, arrivals, signum):
    """A worker that ends well, but unasked, is a failure too: it is logged and started again (P24, P09)."""
    daemon.announce("ended with status 0")
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])
    ended = daemon.worker("a")
    os.kill(ended, signum)
    daemon.append("a", "two")
    arrivals.wait_for_lines("a", ["one", "two"])

    daemon.wait_until_said(rf"worker {ended} ended with status 0")
    assert daemon.row("a")["restarts"] == 1


def test_a_hung_worker(make_daemon, arrivals):
    """A worker without a heartbeat is killed and replaced; nothing is lost, and the others live on (P14)."""
    daemon = make_daemon("a", "b")
    daemon.announce("no sign of life", "was killed by SIGKILL")
    daemon.start_watchful()
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])
    hung, other = daemon.worker("a"), daemon.worker("b")
    os.kill(hung, signal.SIGSTOP)
    daemon.append("a", "two")
    arrivals.wait_for_lines("a", ["one", "two"])

    daemon.wait_until_said(rf"worker {hung} .*no sign of life for \d+ s.*stopped by a signal")
    assert not is_alive(hung)
    assert daemon.worker("b") == other


def test_a_suspended_machine(make_daemon, arrivals):
    """When all have slept, nobody is killed for it: the master gives its workers time to wake up (P14)."""
    daemon = make_daemon("a", "b")
    daemon.start_watchful()
    before = daemon.processes()
    master = daemon.master()
    workers = [pid for pid in before if pid != master]
    for pid in (*workers, master):
        os.kill(pid, signal.SIGSTOP)
    slept_at = time.monotonic()
    daemon.eventually(lambda: time.monotonic() - slept_at > 3.0)
    os.kill(master, signal.SIGCONT)  # the first to wake up
    daemon.eventually(lambda: time.monotonic() - slept_at > 4.0)
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])

    assert daemon.processes() == before


def test_memory_limit(make_daemon, arrivals):
    """A worker above memory_limit is replaced gently: it finishes, its successor continues, no line is doubled."""
    daemon = make_daemon("a")
    daemon.announce("more than memory_limit")
    daemon.append("a", *numbered(1, 100))
    daemon.start_watchful()
    arrivals.wait_for_lines("a", numbered(1, 100))
    daemon.eventually(lambda: daemon.row("a")["rss_bytes"] > 0)
    first = daemon.worker("a")
    daemon.config["master"]["memory_limit"] = daemon.row("a")["rss_bytes"] // 2
    daemon.write_config()
    assert daemon.run("reload").status == 0
    daemon.eventually(lambda: not is_alive(first), 30)
    daemon.config["master"]["memory_limit"] = 0
    daemon.write_config()
    assert daemon.run("reload").status == 0
    daemon.append("a", *numbered(101, 200))
    arrivals.wait_for_lines("a", numbered(1, 200))

    daemon.wait_until_said("memory_limit")
    assert "SIGKILL" not in daemon.said()
