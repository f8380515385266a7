"""The daemon's own log: rotated by every means, on a full disk, and never the reason for a full disk."""

import contextlib
import os
import pwd
import signal
import subprocess

import psutil
import pytest
from kernel import open_files
from servers import ScriptedServer
from strangers import IS_ROOT, open_directory


def holders(daemon, path):
    """The processes that have *path* open."""
    return [pid for pid in daemon.processes() if str(path) in open_files(pid).values()]


@pytest.fixture(params=["as the caller", "as another user"])
def rotated(request, make_daemon, arrivals):
    """A daemon whose log is rotated; as root also one whose workers have given up their privileges."""
    if request.param == "as the caller":
        yield make_daemon("a", "b")
        return
    # Without root there is no other user to become: naming one's own is as far as it goes.
    user = "nobody" if IS_ROOT else pwd.getpwuid(os.getuid()).pw_name
    with open_directory() as directory:
        daemon = make_daemon("a", "b", directory=directory / "agent", user=user)
        own = directory / "agent" / "own"
        own.mkdir()
        os.chown(own, pwd.getpwnam(user).pw_uid, -1)
        daemon.log_path = own / "fluentlite.log"
        daemon.config["master"]["log_file"] = str(daemon.log_path)
        daemon.write_config()
        yield daemon
        daemon.close()


def test_renamed_and_told(rotated, arrivals):
    """After a rename and USR1 master and workers all write to a new file, and nobody has the old one open (P18)."""
    daemon = rotated
    daemon.start()
    daemon.wait_for_workers()
    old = daemon.log_path.rename(daemon.log_path.with_name("fluentlite.log.1"))
    os.kill(daemon.master(), signal.SIGUSR1)
    daemon.eventually(lambda: len(holders(daemon, daemon.log_path)) == 3)

    assert holders(daemon, old) == []
    assert oct(daemon.log_path.stat().st_mode & 0o777) == "0o640"
    os.kill(daemon.master(), signal.SIGHUP)  # each of them has something to say
    workers = daemon.workers().values()
    daemon.eventually(
        lambda: all(f"({pid}) " in daemon.log_path.read_text() for pid in (*workers, daemon.master()))
    )


def test_renamed_only(rotated, arrivals):
    """Without a signal a new file is made as soon as somebody has something to say, and each goes over to it (P18)."""
    daemon = rotated
    daemon.start()
    daemon.wait_for_workers()
    old = daemon.log_path.rename(daemon.log_path.with_name("fluentlite.log.1"))
    os.kill(daemon.master(), signal.SIGHUP)
    workers = daemon.workers().values()
    daemon.eventually(
        lambda: all(f"({pid}) " in _text(daemon.log_path) for pid in (*workers, daemon.master()))
    )

    assert holders(daemon, old) == []
    assert len(holders(daemon, daemon.log_path)) == 3


def test_removed(rotated, arrivals):
    """The same when it was removed; and a storm of USR1 makes one file (P18, P06)."""
    daemon = rotated
    daemon.start()
    daemon.wait_for_workers()
    daemon.log_path.unlink()
    for _ in range(100):
        os.kill(daemon.master(), signal.SIGUSR1)
    daemon.eventually(lambda: len(holders(daemon, daemon.log_path)) == 3)

    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])


def test_workers_are_the_user(rotated):
    """Workers run as the user, with its groups and no way back; checkpoints and log belong to it (P18)."""
    daemon = rotated
    daemon.start()
    daemon.wait_for_workers()
    name = daemon.config["master"].get("user")
    uid = pwd.getpwnam(name).pw_uid if name else os.getuid()
    for pid in daemon.workers().values():
        assert set(psutil.Process(pid).uids()) == {uid}
        assert set(psutil.Process(pid).gids()) == {pwd.getpwuid(uid).pw_gid if name else os.getgid()}
    assert os.stat(f"/proc/{daemon.master()}").st_uid == os.getuid()

    assert {path.stat().st_uid for path in daemon.state_dir.glob("*.checkpoint")} == {uid}
    assert daemon.log_path.stat().st_uid == uid


def _text(path):
    return path.read_text() if path.exists() else ""


class TmpfsDisk:
    """A disk of 256 KiB, of its own."""

    def __init__(self, directory):
        self.directory = directory
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "fluentlite-test", directory], check=True)

    def fill(self, _pids):
        with contextlib.suppress(OSError), open(self.directory / "filler", "wb", buffering=0) as filler:
            while filler.write(b"\0" * 4096) == 4096:
                pass

    def make_room(self, _pids):
        (self.directory / "filler").unlink()

    def close(self):
        subprocess.run(["umount", self.directory], check=True)


class LimitedFiles:
    """What comes nearest without root: the kernel refuses to let the processes' files grow."""

    def __init__(self, directory):
        self.directory = directory

    def fill(self, pids):
        for pid in pids:
            process = psutil.Process(pid)
            hard = process.rlimit(psutil.RLIMIT_FSIZE)[1]
            # Checkpoints are smaller and can still be written.
            process.rlimit(psutil.RLIMIT_FSIZE, (65536, hard))

    def make_room(self, pids):
        for pid in pids:
            process = psutil.Process(pid)
            hard = process.rlimit(psutil.RLIMIT_FSIZE)[1]
            process.rlimit(psutil.RLIMIT_FSIZE, (hard, hard))

    def close(self):
        pass


@pytest.fixture
def disk(tmp_path):
    """A disk that can be filled."""
    (tmp_path / "disk").mkdir()
    made = (TmpfsDisk if IS_ROOT else LimitedFiles)(tmp_path / "disk")
    yield made
    made.close()


def test_a_full_disk(disk, make_daemon, arrivals):
    """A full disk under its own log stops nobody; when there is room again, the log goes on (O04)."""
    daemon = make_daemon("a", "b", log_level="debug", log_file=str(disk.directory / "own.log"))
    own = disk.directory / "own.log"
    own.write_text("what was before\n" * 4096)  # 64 KiB
    daemon.start()
    before = daemon.processes()
    disk.fill(before)
    for number in range(5):
        os.kill(daemon.master(), signal.SIGHUP)
        os.kill(daemon.master(), signal.SIGUSR1)
        daemon.append("a", f"line {number}")
        arrivals.wait_for_lines("a", [f"line {n}" for n in range(number + 1)])
    daemon.eventually(lambda: daemon.processes() == before)  # but for one that reads the configuration

    disk.make_room(before)
    size = own.stat().st_size
    os.kill(daemon.master(), signal.SIGHUP)
    daemon.eventually(lambda: b"configuration read again" in own.read_bytes()[size:])
    daemon.stop()


def test_a_device_that_is_full(make_daemon, arrivals):
    """A log that can never be written, from the start on, stops nobody either (O04)."""
    daemon = make_daemon("a", log_file="/dev/full")
    daemon.start()
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])
    assert daemon.run("reload").status == 0

    daemon.stop()


def test_a_lasting_failure(make_daemon):
    """A server that fails for long is a few lines in the log, not one for each attempt of each worker (O02)."""
    with ScriptedServer(listening=False) as server:
        daemon = make_daemon("a", "b", server=server.address, log_level="warning")
        daemon.announce(server.address)
        daemon.append("a", "one")
        daemon.append("b", "one")
        daemon.start()
        daemon.eventually(lambda: all(row["state"] == "connecting" for row in daemon.ask()["workers"]))
        daemon.wait_until_said("lines wait")
        for _ in range(3):  # nor one for each reload
            assert daemon.run("reload").status == 0
        complaints = [line for line in daemon.said().splitlines() if server.address in line]
        server.restart()
        server.wait_for(lambda: len(server.lines()) == 2)
        daemon.close()

    assert len(complaints) <= 4, complaints
