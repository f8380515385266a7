"""Signals at every moment: between fork and handler, in storms, to the group, twice, while something else goes on."""

import os
import signal
import subprocess
import time

import pytest
from following import numbered
from kernel import children, is_alive, process_state, title
from writing import Writing

TWENTY = [f"log{number:02}" for number in range(20)]


def signal_newborn(daemon, signum, count):
    """Send *signum* to each child that the master gets, as soon as it is there; return the children's pids."""
    master = daemon.master()
    before, newborn = set(children(master)), []
    daemon.config["log"] += [{"tag": name, "path": str(daemon.path(name))} for name in TWENTY]
    daemon.write_config()
    os.kill(master, signal.SIGHUP)
    deadline = time.monotonic() + 20
    while len(newborn) <= count:
        assert time.monotonic() < deadline, daemon.said()
        for pid in children(master):
            if pid not in before:
                if newborn:  # the first one reads the configuration
                    os.kill(pid, signum)
                newborn.append(pid)
                before.add(pid)
    return newborn[1:]


@pytest.mark.parametrize("signum", [signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_before_there_is_a_handler(daemon, arrivals, signum):
    """A worker that gets HUP or USR1 between fork and handler does not die of it (P05)."""
    newborn = signal_newborn(daemon, signum, len(TWENTY))
    for name in TWENTY:
        daemon.append(name, "one")
    arrivals.wait_for(lambda: [arrivals.lines(name) for name in TWENTY] == [["one"]] * len(TWENTY))

    assert set(newborn) <= set(daemon.workers().values())


def test_term_before_there_is_a_handler(daemon, arrivals):
    """TERM between fork and handler is not lost: the worker ends in good order, and has a successor (P05)."""
    daemon.announce("ended with status 0")
    newborn = signal_newborn(daemon, signal.SIGTERM, len(TWENTY))
    daemon.eventually(lambda: not any(map(is_alive, newborn)))
    for name in TWENTY:
        daemon.append(name, "one")
    arrivals.wait_for(lambda: [arrivals.lines(name) for name in TWENTY] == [["one"]] * len(TWENTY))

    assert daemon.said().count("ended with status 0; the next one starts") == len(TWENTY)


def test_a_storm(make_daemon, arrivals):
    """A second of HUP, USR1 and CHLD as fast as they can be sent, to the master: it lives, answers, and works (P06)."""
    daemon = make_daemon("a", "b", log_level="debug")
    daemon.start()
    master = daemon.master()
    end = time.monotonic() + 1.0
    with Writing(daemon, "a", "b") as writing:
        while time.monotonic() < end:
            for signum in (signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD):
                os.kill(master, signum)
    assert daemon.master() == master
    for name in ("a", "b"):
        arrivals.wait_for_lines(name, writing.lines(name))

    daemon.eventually(lambda: sorted(children(master)) == sorted(daemon.workers().values()))


def test_a_storm_at_a_worker(daemon, arrivals):
    """The same to a worker, under load: it lives; what it has to send again arrives again, and nothing is lost (P06)."""
    worker = daemon.worker("a")
    end = time.monotonic() + 1.0
    with Writing(daemon, "a") as writing:
        while time.monotonic() < end:
            for signum in (signal.SIGHUP, signal.SIGUSR1):
                os.kill(worker, signum)
    arrivals.wait_for(lambda: set(arrivals.lines("a")) == set(writing.lines("a")))

    assert daemon.worker("a") == worker


def test_workers_that_died_meanwhile(daemon, arrivals):
    """When workers die and signals for them come in one instant, the master survives and starts them again (P08)."""
    daemon.announce("was killed by SIGKILL")
    master, workers = daemon.master(), daemon.workers()
    os.kill(master, signal.SIGSTOP)
    daemon.eventually(lambda: process_state(master) == "T")
    for pid in workers.values():
        os.kill(pid, signal.SIGKILL)
    for signum in (signal.SIGUSR1, signal.SIGHUP):
        os.kill(master, signum)
    os.kill(master, signal.SIGCONT)
    for name in ("a", "b"):
        daemon.append(name, "one")
        arrivals.wait_for_lines(name, ["one"])

    assert daemon.master() == master
    assert not set(workers.values()) & set(daemon.workers().values())


def test_term_to_the_group(daemon, arrivals):
    """TERM to the whole group, as of an init system, ends everything, and nothing is started again (P09)."""
    daemon.append("a", *numbered(1, 100))
    daemon.append("b", *numbered(1, 100))
    master = daemon.master()
    os.killpg(os.getpgid(master), signal.SIGTERM)
    daemon.eventually(lambda: not daemon.processes())

    assert "the next one starts" not in daemon.said()
    daemon.start()
    arrivals.wait_for_lines("a", numbered(1, 100))
    arrivals.wait_for_lines("b", numbered(1, 100))


def test_hup_to_the_group(daemon, arrivals):
    """HUP to the whole group, as of ``pkill -HUP``, reloads; nobody dies of it (P09)."""
    before = daemon.processes()
    daemon.config["log"].append({"tag": "c", "path": str(daemon.path("c"))})
    daemon.write_config()
    os.killpg(os.getpgid(daemon.master()), signal.SIGHUP)
    daemon.append("c", "one")
    arrivals.wait_for_lines("c", ["one"])

    assert set(before) < set(daemon.processes())


@pytest.mark.parametrize(
    "signals", [(signal.SIGINT,), (signal.SIGTERM,) * 2, (signal.SIGTERM, signal.SIGHUP)]
)
def test_signals_that_end_it(daemon, arrivals, signals):
    """TERM, INT, or TERM twice end it in good order; once it is told to stop, HUP changes nothing any more."""
    daemon.append("a", *numbered(1, 1000))
    master = daemon.master()
    for signum in signals:
        os.kill(master, signum)
    daemon.eventually(lambda: not daemon.processes())

    assert "stopped; " in daemon.said()
    daemon.start()
    arrivals.wait_for_lines("a", numbered(1, 1000))


def test_term_during_the_start(make_daemon):
    """TERM while it starts sixty workers stops at once: the starter is told, and nothing is left (P12)."""
    daemon = make_daemon(*(f"log{number:02}" for number in range(60)))
    for seconds in (0.0, 0.1, 0.3):
        starter = subprocess.Popen(
            daemon.command("start"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        pid_file = daemon.run_dir / "fluentlite.pid"
        daemon.eventually(lambda pid_file=pid_file: pid_file.exists() and pid_file.read_text().strip())
        begin = time.monotonic()
        daemon.eventually(lambda begin=begin, seconds=seconds: time.monotonic() - begin >= seconds)
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
        out, err = starter.communicate(timeout=20)
        daemon.eventually(lambda: not daemon.processes())

        assert (starter.returncode == 1 and err) or (starter.returncode == 0 and out), (out, err)


SCRIPT = """\
LOGS=$(cat <<"EOF"
a {base}/logs/a.log
b {base}/logs/b.log
EOF
)
PRIMARY_SERVER={server}
LOG_PATH={base}/fluentlite.log
FLUENTLITE_STATE_DIR={base}/state
FLUENTLITE_RUN_DIR={base}/run
"""


def test_term_during_a_reload(make_daemon, arrivals):
    """TERM while the configuration is being read, by a script that hangs, stops at once, and ends the script (P12)."""
    daemon = make_daemon("a", "b")
    daemon.config_path = daemon.directory / "old.conf"
    script = SCRIPT.format(base=daemon.directory, server=arrivals.address)
    daemon.config_path.write_text(script)
    daemon.config_path.chmod(0o644)
    daemon.start()
    master = daemon.master()
    daemon.config_path.write_text(f"{script}sleep 600\n")
    before = set(descendants(master))
    os.kill(master, signal.SIGHUP)
    daemon.eventually(lambda: any("sleep" in title(pid) for pid in descendants(master)))
    reading = set(descendants(master)) - before
    begin = time.monotonic()
    assert daemon.ask()["master"]["pid"] == master  # it answers meanwhile
    os.kill(master, signal.SIGTERM)
    daemon.eventually(lambda: not daemon.processes())

    assert time.monotonic() - begin < 4
    daemon.eventually(lambda: not any(map(is_alive, reading)))


def descendants(pid):
    """The children of *pid*, theirs, and so on."""
    return [one for child in children(pid) for one in (child, *descendants(child))]


def test_term_during_a_restart_delay(make_daemon, arrivals):
    """TERM while a worker waits for its next start stops at once, and it is not started any more (P12)."""
    daemon = make_daemon("a")
    daemon.announce("was killed by SIGKILL")
    daemon.start()
    for _ in range(3):  # the delay grows
        os.kill(daemon.wait_for_workers()["a"], signal.SIGKILL)
        daemon.eventually(lambda: daemon.row("a")["state"] == "restarting")
    begin = time.monotonic()
    daemon.stop()

    assert time.monotonic() - begin < 1.5
    assert daemon.said().count("the next one starts in") == 3
