"""The power fails, at any call, and leaves any of the disks that it can leave: nothing is lost, little arrives twice."""

import contextlib
import itertools
import os
import random
import time
from types import SimpleNamespace

import pytest
from clients import eventually
from following import Follower, Log, lines_of, log_settings
from powerloss import Disk, write_tree
from sending import Worker, forward_settings
from servers import ScriptedServer

from fluentlite.core.position import SLOT_SIZE, SLOTS, checkpoint_name
from fluentlite.worker import checkpoint as checkpoint_module

MOST_DOUBLED = 2.0
"""Seconds: what was delivered earlier than that before the power failed does not come twice."""


class Stage:
    """
    A worker's reading half on a disk that is recorded, with what its clock and its server saw.

    Attributes:
        delivered: Each line with the second in which it was delivered.
    """

    def __init__(self, tmp_path, monkeypatch, log, inbox):
        (tmp_path / "disk").mkdir()
        self.disk, self.delivered, self.written = Disk(tmp_path / "disk"), [], []
        self._fresh = (tmp_path / f"after-{number}" for number in itertools.count())
        self._monkeypatch, self._log, self._inbox = monkeypatch, log, inbox
        self.follower = self._make(log.path, tmp_path / "disk")
        clock = SimpleNamespace(monotonic=lambda: self.follower.now, time_ns=time.time_ns)
        monkeypatch.setattr(checkpoint_module, "time", clock)
        monkeypatch.setattr(checkpoint_module, "Background", self.disk.background)

    def _make(self, path, disk):
        return Follower(path, disk / "lib" / "state", read_from_head=False)

    def open(self, follower):
        """Its checkpoint as a worker opens it, perhaps with the position of another path."""
        follower.wait_for_checkpoint(self._inbox, names={checkpoint_name(follower.settings.path)})
        return follower.start()

    def follow_as(self, path):
        """The log has another path from now on."""
        self.follower.stop()
        now = self.follower.now
        self.follower = self._make(path, self.disk.root)
        self.follower.now = now
        self.open(self.follower)

    def write(self, *lines):
        self.written.extend(lines)
        self._log.append(*lines)

    @contextlib.contextmanager
    def begun(self):
        """What happens inside, from the first start of the worker on, is recorded."""
        with self.disk.recorded():
            self.note()
            self.open(self.follower)
            yield

    def take_turns(self, numbers, seconds=0.3):
        """Turns of the worker, in each of which two lines with its number are written."""
        for turn in numbers:
            self.write(*lines(f"turn {turn}"))
            self.step(seconds)

    def step(self, seconds=0.3):
        """A turn of the worker: look, read, deliver, sync if that is due."""
        follower = self.follower
        follower.look(seconds)
        follower.checkpoint.sync_if_due(follower.now)
        follower.read()
        while follower.unacked:
            # The server has them from now on, the checkpoint not yet: there, too, the power may fail.
            self.delivered += [(line.decode(), follower.now) for line in lines_of(follower.unacked[0])]
            self.note()
            follower.deliver(1)
        self.note()

    def note(self):
        self.disk.note(len(self.delivered), self.follower.now)

    def check(self, *, most_doubled=MOST_DOUBLED, since=0):
        """
        Start on every disk that may be left from the moment *since* on: with what was delivered before, all arrives.

        Returns:
            How many different disks these were.
        """
        self._monkeypatch.setattr(os, "fsync", lambda _fd: None)  # here nobody pulls the plug
        self._monkeypatch.setattr(os, "fdatasync", lambda _fd: None)
        arrived, rng = {}, random.Random(7)
        for moment in self.disk.moments[since:]:
            count, now = moment.facts
            for state in moment.states(rng):
                key = tuple(sorted(state.items()))
                if key not in arrived:
                    arrived[key] = self._start_on(state)
                self._judge(moment.call, self.delivered[:count], now, arrived[key], most_doubled)
        return len(arrived)

    def _judge(self, call, before, now, arrived, most_doubled):
        had = {line for line, _when in before}
        missing = [line for line in self.written if line not in had and line not in arrived]
        # Who has delivered nothing may look at the log for the first time again.
        assert missing == [] or not before, (
            f"lost by a power loss after {call}: {missing[:3]}, delivered {len(before)}"
        )
        old = [line for line, when in before if line in arrived and now - when > most_doubled]
        assert old == [], f"doubled by a power loss after {call}: {old[:3]}"

    def _start_on(self, state):
        directory = next(self._fresh)
        directory.mkdir()
        write_tree(state, directory)
        follower = self.open(self._make(self.follower.settings.path, directory))
        follower.finish()
        follower.stop()
        return follower.lines


@pytest.fixture(params=["app", "a" * 240])
def log(request, directory):
    """A log whose checkpoint fits into a sector, and one whose checkpoint does not."""
    return Log(directory / request.param)


@pytest.fixture
def stage(tmp_path, monkeypatch, log, inbox, said):
    said()  # torn slots are told, which is a test of its own
    stage = Stage(tmp_path, monkeypatch, log, inbox)
    yield stage
    stage.follower.close()


def lines(prefix, count=2):
    return [f"{prefix} {number}" for number in range(count)]


def test_following_and_rotating(stage, log):
    """From the first sight on, through rotations, orderly stops and kills: a start goes on from any disk that may be left (T48)."""
    log.append(*lines("old"))
    with stage.begun():
        for turn in range(8):
            stage.write(*lines(f"turn {turn}"))
            stage.step()
            if turn % 3 == 1:
                log.rotate()
                stage.write(f"after rotation {turn}")
        stage.follower.kill_and_start()
        stage.take_turns(range(8, 14))
        stage.follower.stop_and_start()
        stage.take_turns(range(14, 17), 0.7)
        stage.follower.stop()
        stage.note()

    assert stage.check() > 100


def test_at_the_first_sight_nothing_was_written(stage):
    """A log that is not there at first is read from its beginning, after a power loss as well (T19, T48)."""
    with stage.begun():
        stage.note()
        since = len(stage.disk.moments)
        stage.take_turns(range(3))

    assert stage.check(since=since) > 10
    assert stage.follower.lines == stage.written


def test_a_sync_that_fails(stage, log):
    """What a sync could not write may be dropped by the kernel, and the next sync knows nothing of it: it is written again (T48)."""
    log.append("old")
    with stage.begun():
        stage.take_turns(range(3))
        stage.disk.failing_syncs = 1
        stage.take_turns(range(3, 6))
        for _ in range(12):
            stage.step(0.5)  # nothing more is written

    assert stage.disk.failing_syncs == 0
    assert [moment.call for moment in stage.disk.moments].count("fdatasync fails") == 1
    assert stage.check(most_doubled=2 * MOST_DOUBLED) > 20


def test_a_disk_that_takes_its_time(stage):
    """While a sync is under way what it writes is not written over, nor what was safe before (T48)."""
    with stage.begun():
        stage.take_turns(range(12), 0.4)

    assert stage.check(most_doubled=2 * MOST_DOUBLED) > 100


def test_a_damaged_checkpoint_is_set_aside(stage, log):
    """Whenever the power fails while a damaged one is replaced: that is no first start (T20, T48)."""
    log.append("old")
    with stage.begun():
        stage.take_turns(range(4))
        stage.follower.stop()
        stage.note()
        since = len(stage.disk.moments)
        fd = os.open(stage.follower.checkpoint.path, os.O_WRONLY)
        for slot in range(SLOTS):
            os.pwrite(fd, b"damage", slot * SLOT_SIZE)
        os.fsync(fd)
        os.close(fd)
        stage.open(stage.follower)
        stage.take_turns(range(4, 7), 1.0)

    assert stage.check(since=since + SLOTS, most_doubled=1000) > 20


def test_another_path_for_the_log(stage, log, directory):
    """The position of the old path goes when that of the new one, and its name, are safe (C04, T48)."""
    link = directory / "link.log"
    link.symlink_to(log.path.name)
    log.append("old")
    with stage.begun():
        stage.take_turns(range(4))
        stage.write(*lines("meanwhile"))
        stage.note()
        since = len(stage.disk.moments)
        stage.follow_as(link)
        stage.take_turns(range(4, 7))

    assert len(list((stage.disk.root / "lib" / "state").iterdir())) == 1
    assert stage.check(since=since) > 20


def test_it_checks_what_it_should(stage, monkeypatch):
    """Were syncs only said and not done, this would be found: a test that finds nothing holds nothing."""
    monkeypatch.setattr(stage.disk, "_sync", lambda _fd, _name: None)
    with stage.begun():
        stage.take_turns(range(3))

    with pytest.raises(AssertionError, match="a power loss after"):
        stage.check()


@pytest.mark.parametrize("log", ["a" * 240], indirect=True)
def test_a_real_worker(stage, log, tmp_path):
    """The whole worker, on some of these disks: it delivers what is missing, and of the rest the last seconds at most (T48)."""
    with stage.begun():
        stage.take_turns(range(9))
        stage.write(*lines("not delivered", 5))
        stage.note()
    stage.follower.kill()
    states = list(stage.disk.moments[-1].states(random.Random(3)))
    safe = [line for line, when in stage.delivered if stage.follower.now - when > MOST_DOUBLED]
    assert safe and len(states) > 8
    for number, state in enumerate([states[0], states[len(states) // 2], states[-1]]):
        directory = tmp_path / f"worker-{number}"
        directory.mkdir()
        write_tree({path.replace("lib/", "", 1): state[path] for path in state if path != "lib"}, directory)
        with ScriptedServer() as server:
            settings = log_settings(
                log.path, {"primary": forward_settings([server]).primary}, read_from_head=False
            )
            with Worker.of(directory, settings) as worker:
                eventually(lambda: b"not delivered 4" in server.lines())
                worker.stop()
            arrived = [line.decode() for line in server.lines()]
            assert arrived[-5:] == lines("not delivered", 5)
            assert not set(arrived) & set(safe)
            assert {*arrived, *(line for line, _when in stage.delivered)} == set(stage.written)


# -- the log itself -------------------------------------------------------------------------------------


def came_back_shorter(content):
    return content[: len(content) // 2]


def came_back_with_nuls(content):
    return content[: len(content) // 2].ljust(len(content), b"\0")


def came_back_with_old_blocks(content):
    return content[: len(content) // 2] + b"what was in this block before\n" * 40


@pytest.mark.parametrize("came_back", [came_back_shorter, came_back_with_nuls, came_back_with_old_blocks])
def test_the_log_is_not_what_it_was(log, make_follower, came_back):
    """Of a log that has lost its last blocks, what its disk has kept and what is written next arrives, some of it again (T48)."""
    follower = make_follower(log.path).start()
    log.append(*lines("before", 2000))
    follower.follow()
    follower.kill()
    content = came_back(log.path.read_bytes())
    log.path.write_bytes(content)
    kept = [line.decode() for line in content.replace(b"\0", b"").split(b"\n")[:-1]]
    follower.start()
    follower.follow()
    log.append("", *lines("after", 20))
    follower.follow()

    assert set(kept) <= set(follower.lines)
    assert follower.lines[-20:] == lines("after", 20)
    assert follower.lines[2000 : 2000 + len(kept)] == kept, "from its beginning"
