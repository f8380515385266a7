"""How often an idle log is looked at: seldom where hints can be relied on, every poll_interval elsewhere."""

import mmap
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from following import EVENT_TIME_NS, Follower, Log, lines_of

from fluentlite.core.forward import ChunkEncoder
from fluentlite.core.patience import LONGEST
from fluentlite.loop import Loop
from fluentlite.worker import mounts
from fluentlite.worker.checkpoint import Checkpoint
from fluentlite.worker.drain import Drain, entry_packer, max_lines
from fluentlite.worker.follow import FollowedLog
from fluentlite.worker.mounts import is_local, is_local_directory
from fluentlite.worker.watch import Watch
from fluentlite.worker.way import names_on_the_way


class Idler:
    """
    The reading half of a worker whose time the test moves; hints are the kernel's.

    Attributes:
        visits: When it was woken by its own clock.
        looks: How often it has looked closely.
    """

    def __init__(self, path, state_dir, **tail):
        settings = Follower(path, state_dir, **tail).settings
        packer = entry_packer(settings)
        self.now, self.visits, self.looks, self.lines = time.monotonic(), [], 0, []
        self.loop = Loop()
        checkpoint = Checkpoint(str(state_dir), str(path))
        self.followed = FollowedLog(
            settings, checkpoint, max_lines(settings, packer), self.loop, lambda: None
        )
        self.drain = Drain(settings, self.followed.lines, packer, ChunkEncoder("t", require_ack=True))
        look = self.followed.tail.look

        def counted(now):
            self.looks += 1
            look(now)

        self.followed.tail.look = counted
        self.followed.start(self.now)
        self.turn()

    def turn(self):
        """What a worker does after each wait."""
        is_woken = self.loop.wait(0.0)
        if not is_woken and self.followed.is_quiet(self.now):
            return
        self.followed.tick(self.now)
        while chunk := self.drain.next_chunk(self.now, EVENT_TIME_NS):
            self.lines += [line.decode() for line in lines_of(chunk)]
            self.followed.delivered([chunk.end])

    def pass_(self, seconds):
        """Let time pass in which only its own clock wakes it."""
        end = self.now + seconds
        polling = (
            self.followed._polling
        )  # not followed.deadline: that is the checkpoint's too, whose clock is real
        while polling.due <= end:
            assert polling.due > self.now, "it does not wait at all"
            self.now = polling.due
            self.visits.append(self.now)
            self.turn()
        self.now = end

    def visits_in(self, seconds):
        self.visits.clear()
        self.pass_(seconds)
        return len(self.visits)

    def close(self):
        self.followed.close()
        self.loop.close()


@pytest.fixture
def directory():
    """A directory in memory: on every machine a file system that only its kernel changes."""
    directory = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def make_idler(log, tmp_path):
    made = []

    def make(path=None, **tail):
        made.append(Idler(path or log.path, tmp_path / "state", **tail))
        return made[-1]

    yield make
    for idler in made:
        idler.close()


@pytest.fixture
def log(directory):
    return Log(directory / "app.log")


@pytest.fixture
def idler(log, make_idler):
    """It has read its log, and nothing has happened for a while."""
    log.append("one")
    idler = make_idler()
    idler.pass_(60.0)
    assert idler.lines == ["one"]
    return idler


def test_an_idle_log_is_left_alone(idler):
    """With reliable hints an idle log is visited every 8 s, and only once a minute more than a glance is taken (T52)."""
    idler.looks = 0
    visits = idler.visits_in(600.0)

    assert 70 <= visits <= 80
    assert idler.looks <= 11


def test_patience_grows(log, make_idler):
    """After the last change the next look is one poll_interval away; then the waits grow (T52)."""
    log.append("one")
    idler = make_idler(poll_interval=1.0)
    idler.pass_(20.0)
    idler.visits.clear()
    log.append("two")
    begin = idler.now
    idler.turn()  # the hint
    idler.pass_(40.0)

    waits = [after - before for before, after in zip([begin, *idler.visits], idler.visits, strict=False)]
    assert waits[0] == 1.0
    assert [wait for wait in waits if wait >= 2.0] == [2.0, 4.0, 8.0, 8.0, 8.0]
    assert idler.lines == ["one", "two"]


def test_poll_interval_can_be_longer(log, make_idler):
    """A poll_interval above 8 s is what it says."""
    log.append("one")
    idler = make_idler(poll_interval=60.0)
    idler.pass_(120.0)

    assert idler.visits_in(600.0) == 10


def test_a_missing_file_is_waited_for(log, make_idler):
    """Its directory tells when a file comes: until then that is no more work than an idle log (T18, T52)."""
    idler = make_idler()
    idler.pass_(60.0)
    assert idler.visits_in(80.0) <= 11
    log.append("one")
    idler.turn()

    assert idler.lines == ["one"]


def test_a_file_with_a_position_is_waited_for(log, tmp_path, make_idler, said):
    """A file that is missing at the start, with its position, costs no more; what comes back is read on from there (T36, T52)."""
    log.append("one")
    follower = Follower(log.path, tmp_path / "state").start()
    follower.follow()
    follower.stop()
    log.append("two")
    aside = log.path.parent.with_name(f"{log.path.parent.name}.aside")  # in memory, too
    log.path.rename(aside)
    idler = make_idler()
    idler.pass_(60.0)
    idler.looks = 0
    assert idler.visits_in(600.0) <= 80
    assert idler.looks <= 11
    aside.rename(log.path)
    idler.turn()

    assert idler.lines == ["two"]
    assert len(said()) == 2


@pytest.mark.parametrize("what", ["unknown file system", "no directory"])
def test_where_nothing_can_be_relied_on(log, directory, make_idler, monkeypatch, what):
    """What others may write to, and what cannot be watched, is looked at closely every poll_interval (T36, T40)."""
    if what == "unknown file system":
        monkeypatch.setattr(mounts, "LOCAL", frozenset())
    log.append("one")
    idler = make_idler() if what == "unknown file system" else make_idler(directory / "none" / "app.log")
    idler.pass_(60.0)
    idler.looks = 0

    assert idler.visits_in(100.0) >= 99
    assert idler.looks == len(idler.visits)


@pytest.mark.parametrize("what", ["muted", "no inotify"])
def test_where_hints_cannot_be_relied_on(log, make_idler, monkeypatch, what):
    """Without hints there is no patience, but on a file system of our own a glance is enough (T38, T52)."""
    log.append("one")
    if what == "no inotify":
        monkeypatch.setattr(Watch, "_open", lambda _watch: None)
    idler = make_idler()
    if what == "muted":
        idler.followed.mute()
    idler.pass_(60.0)
    idler.looks = 0

    assert idler.visits_in(100.0) >= 99
    assert idler.looks <= 3


def test_rotate_wait_is_kept(idler, log):
    """While a rotated file waits for its last lines, patience is not tried (T01)."""
    log.rotate()
    idler.turn()
    log.append("two")
    idler.turn()
    assert len(idler.followed.tail.generations) == 2
    idler.pass_(idler.followed.tail._settings.rotate_wait + 1.5)

    assert len(idler.followed.tail.generations) == 1
    assert idler.lines == ["one", "two"]


def test_a_truncation_is_confirmed_soon(idler, log):
    """A file that seems shorter is looked at again within poll_interval and a tenth of a second (T07, T40)."""
    os.truncate(log.path, 0)
    idler.turn()  # the hint
    idler.pass_(1.2)
    assert idler.followed.tail.newest.splitter.read_offset == 0
    log.append("two")
    idler.turn()

    assert idler.lines == ["one", "two"]


def test_what_nobody_hints_at(log, make_idler):
    """A writer that maps the file into its memory makes no hints; a glance finds its lines (T39)."""
    log.write(b"one\n" + bytes(100))
    idler = make_idler()
    idler.pass_(60.0)
    assert idler.lines == ["one"]
    with open(log.path, "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[4:8] = b"two\n"
    os.utime(log.path)  # as the kernel does sooner or later
    while idler.loop.wait(0.0):  # were there a hint, this turn would lose it
        pass
    idler.pass_(LONGEST + 0.1)

    assert idler.lines == ["one", "two"]


def test_a_directory_above_gets_another_name(directory, make_idler):
    """That is found by a glance as well (T16)."""
    (directory / "a" / "b").mkdir(parents=True)
    log = Log(directory / "a" / "b" / "app.log")
    log.append("one")
    idler = make_idler(log.path)
    idler.pass_(60.0)
    (directory / "a").rename(directory / "old")
    (directory / "a" / "b").mkdir(parents=True)
    log.append("two")
    idler.pass_(LONGEST + 2.1)

    assert idler.lines == ["one", "two"]


def test_a_linked_directory_leads_elsewhere(directory, make_idler):
    """A link in the directory part is hinted at, so that it needs no poll (T16)."""
    for release in ("r1", "r2"):
        (directory / release).mkdir()
        Log(directory / release / "app.log").append(release)
    current = directory / "current"
    current.symlink_to("r1")
    idler = make_idler(current / "app.log")
    idler.pass_(60.0)
    new = directory / "new"
    new.symlink_to("r2")
    new.rename(current)
    idler.turn()

    assert idler.lines == ["r1", "r2"]
    assert idler.visits_in(80.0) <= 20


def test_the_directory_gets_another_name(directory, make_idler):
    """The directory's own new name is hinted at (T16)."""
    log = Log(directory / "logs" / "app.log")
    log.path.parent.mkdir()
    log.append("one")
    idler = make_idler(log.path)
    idler.pass_(60.0)
    log.path.parent.rename(directory / "old")
    idler.turn()
    idler.visits.clear()
    log.path.parent.mkdir()
    log.append("two")
    idler.pass_(1.1)

    assert idler.lines == ["one", "two"]


def test_names_on_the_way(directory):
    """Every link on the way, relative, absolute, in the middle or at the end, and the path's own name."""
    (directory / "real" / "deep").mkdir(parents=True)
    (directory / "rel").symlink_to("real/deep")
    (directory / "abs").symlink_to(directory / "rel")
    (directory / "real" / "deep" / "now.log").symlink_to("../deep/app-1.log")

    assert names_on_the_way(f"{directory}/abs/now.log") == {
        f"{directory}/abs": {"now.log"},
        str(directory): {"abs", "rel"},
        f"{directory}/real/deep": {"now.log", "app-1.log"},
    }
    assert names_on_the_way(f"{directory}/none/app.log") == {f"{directory}/none": {"app.log"}}


def test_links_in_a_circle_end(directory):
    """A circle of links is followed no further than the kernel would."""
    (directory / "a").symlink_to("b")
    (directory / "b").symlink_to("a")

    assert names_on_the_way(f"{directory}/a")[str(directory)] == {"a", "b"}


@pytest.mark.parametrize("path", ["/", "/dev/shm", "/proc", "/sys", "/tmp", "/var/log"])
def test_file_systems(path):
    """What is local is what ``stat`` says is of a kind that only this kernel changes (T40)."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    expected = kind in ("ext2/ext3", "xfs", "btrfs", "tmpfs", "zfs", "f2fs")

    assert is_local_directory(path) is expected
    assert is_local_directory("/none") is False


def test_the_file_system_of_an_open_file(directory):
    """An open file is judged by its own mount, whatever its name is by now."""
    path = directory / "file"
    with path.open("w") as file, open("/proc/self/status") as other:
        path.unlink()
        assert is_local(file.fileno())
        assert not is_local(other.fileno())
