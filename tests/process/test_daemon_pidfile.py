"""The pid file: a lock decides, and no process that is not ours is ever signalled."""

import fcntl
import os
import shutil
import subprocess

import pytest
from kernel import is_alive


@pytest.fixture
def stranger():
    """A process that has nothing to do with us."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def stale(daemon, content):
    daemon.run_dir.mkdir(exist_ok=True)
    path = daemon.run_dir / "fluentlite.pid"
    path.write_text(content)
    return path


@pytest.mark.parametrize(
    "content", ["{stranger}\n", "1\n", "", "no number\n", "-1\n", "0\n", "9" * 5000, "{master}\n"]
)
def test_a_stale_pid_file(make_daemon, stranger, content):
    """
    Whatever stands in a pid file that nobody holds, a start succeeds, and neither ``status`` nor ``stop`` before and
    after it harms the process whose pid it is (P03).
    """
    daemon = make_daemon("a")
    path = stale(daemon, content.format(stranger=stranger.pid, master=os.getpid()))

    assert daemon.run("status").status == 1  # dead, but there is its pid file
    result = daemon.run("stop")
    assert (result.status, "not running" in result.out) == (0, True)
    stale(daemon, content.format(stranger=stranger.pid, master=os.getpid()))
    daemon.start()
    assert path.read_text() == f"{daemon.master()}\n"
    daemon.stop()

    assert is_alive(stranger.pid)
    assert not path.exists()
    assert daemon.run("status").status == 3


def test_after_a_kill(daemon, stranger, arrivals):
    """A master that was killed leaves pid file and socket behind: the next start takes their place (P03)."""
    for pid in daemon.processes():
        os.kill(pid, 9)
    daemon.eventually(lambda: not daemon.processes())
    assert daemon.run("status").status == 1
    (daemon.run_dir / "fluentlite.pid").write_text(f"{stranger.pid}\n")
    daemon.start()
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])

    daemon.stop()
    assert is_alive(stranger.pid)
    assert list(daemon.run_dir.iterdir()) == []


def link(path, victim):
    path.symlink_to(victim)


def fifo(path, _victim):
    os.mkfifo(path)


def directory(path, _victim):
    path.mkdir()


@pytest.mark.parametrize("make", [link, fifo, directory])
def test_a_trap_in_its_place(make_daemon, tmp_path, make):
    """A link, a pipe or a directory in the place of the pid file is neither followed nor waited for (P03)."""
    daemon = make_daemon("a")
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    daemon.run_dir.mkdir()
    make(daemon.run_dir / "fluentlite.pid", victim)
    results = {command: daemon.run(command, timeout=20) for command in ("status", "start", "stop")}

    assert results["start"].status == 1
    assert str(daemon.run_dir / "fluentlite.pid") in results["start"].err
    assert not [result for result in results.values() if "Traceback" in result.err]
    assert (victim.read_text(), daemon.processes()) == ("precious\n", [])


def test_a_lock_that_is_not_a_master_s(make_daemon, stranger):
    """
    A lock held by something that does not answer is a failed start that says so, within seconds; and whatever pid stands
    in the file, nobody who has not got it open is signalled (P03).
    """
    daemon = make_daemon("a")
    path = stale(daemon, f"{stranger.pid}\n")
    with open(path) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        start = daemon.run("start", timeout=30)
        stop = daemon.run("stop", "--timeout", "0.5", timeout=30)

    assert (start.status, stop.status) == (1, 1)
    assert str(path) in start.err
    assert str(path) in stop.err
    assert is_alive(stranger.pid)


def test_two_starts(daemon):
    """A start while it runs says so, names the process and changes nothing (P04)."""
    before = daemon.processes()
    result = daemon.run("start")

    assert result.status == 0
    assert f"process {daemon.master()}" in result.out
    assert daemon.processes() == before


def test_starts_at_the_same_instant(make_daemon, arrivals):
    """Of six starts at one instant one makes the master; the others say that it runs, or that they did not (P04)."""
    daemon = make_daemon("a", "b")
    starts = [
        subprocess.Popen(daemon.command("start"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    said = [start.communicate(timeout=60) for start in starts]
    statuses = [start.returncode for start in starts]
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])

    assert len([out for out, _err in said if "started" in out]) == 1
    for status, (out, err) in zip(statuses, said, strict=True):
        assert (status == 0 and "process" in out) or (status == 1 and "locked" in err), said
    assert len(daemon.processes()) == 3
    assert daemon.said().count("fluentlite started") == 1


def test_a_pid_file_that_was_removed(daemon, arrivals):
    """Without its pid file a running master still answers; it can be stopped, and no line is read twice (P02, P03)."""
    master = daemon.master()
    (daemon.run_dir / "fluentlite.pid").unlink()
    daemon.run("start")
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])
    daemon.run("stop")

    daemon.eventually(lambda: not is_alive(master))
    assert arrivals.lines("a") == ["one"]


def test_an_emptied_run_directory(make_daemon, arrivals):
    """A run directory that somebody empties, or removes, is made anew: the master stays within reach (P03)."""
    daemon = make_daemon("a")
    daemon.start_watchful()
    daemon.announce("run_dir|fluentlite.(pid|sock)")
    master = daemon.master()
    for remove in (
        lambda: shutil.rmtree(daemon.run_dir),
        lambda: [path.unlink() for path in daemon.run_dir.iterdir()],
    ):
        remove()
        daemon.eventually(daemon.is_running, 20)
        assert (daemon.master(), daemon.run("start").status) == (master, 0)
    daemon.stop()

    assert not is_alive(master)
