"""A log whose checkpoint cannot be had yet: where it begins was decided when it was first seen."""

import os
import resource
import signal
import time

import pytest
from following import numbered

from fluentlite.errors import StateError
from fluentlite.signals import SignalInbox
from fluentlite.worker import opening
from fluentlite.worker.checkpoint import checkpoint_path
from fluentlite.worker.waiting import ToldToStopError


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(opening, "RETRY_INTERVAL", 0.01)


@pytest.fixture
def inbox():
    """Signals as a worker gets them; the handlers of the tests come back."""
    signums = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(signum) for signum in signums]
    reader = SignalInbox(signums)
    yield reader
    for signum, handler in zip(signums, before, strict=True):
        signal.signal(signum, handler)
    os.close(signal.set_wakeup_fd(-1))
    os.close(reader.fileno())


class Blocked:
    """A worker whose checkpoint cannot be had until all *steps* are done, one after each attempt."""

    def __init__(self, follower, inbox, *steps):
        self._follower, self._inbox, self._steps = follower, inbox, list(steps)
        self._path = checkpoint_path(follower.state_dir, follower.settings.path)
        self._aside = self._path.with_suffix(".aside")

    def start(self):
        """Start it, with something in the place of its checkpoint."""
        self._path.parent.mkdir(exist_ok=True)
        if self._path.exists():
            self._path.rename(self._aside)
        self._path.mkdir()
        self._follower.wait_for_checkpoint(self._inbox, self._tell)
        return self._follower.start()

    def _tell(self, reason):
        if not reason:
            return
        if self._steps:
            self._steps.pop(0)()
        else:
            self.unblock()

    def unblock(self):
        """Make room."""
        if self._path.is_dir():
            self._path.rmdir()
            if self._aside.exists():
                self._aside.rename(self._path)


@pytest.fixture
def make_blocked(make_follower, inbox, said):
    said()  # it says so: that is a test's of its own

    def make(*steps, read_from_head=False):
        return Blocked(make_follower(read_from_head=read_from_head), inbox, *steps)

    return make


def test_lines_written_meanwhile(log, make_blocked):
    """A log begins where its end was at the first look, not when there is room at last (T49)."""
    log.append("old")
    follower = make_blocked(lambda: log.append("one"), lambda: log.append("two")).start()
    log.append("three")
    follower.follow()

    assert follower.lines == ["one", "two", "three"]


def test_a_line_that_was_being_written(log, make_blocked):
    """... with the whole line that was being written then (T22)."""
    log.write("old\nbegin ")
    follower = make_blocked(lambda: log.append("end")).start()
    follower.follow()

    assert follower.lines == ["begin end"]


def test_from_the_head(log, make_blocked):
    """A log that is read from its head is read from there, rotated or not (T20)."""
    log.append("one")
    follower = make_blocked(log.rotate, lambda: log.append("two"), read_from_head=True).start()
    follower.finish()

    assert follower.lines == ["one", "two"]


@pytest.mark.parametrize("times", [1, 3])
def test_rotated_meanwhile(log, make_blocked, times):
    """Rotated meanwhile, once or several times: all that was written since the first look arrives, in order (T05, T06)."""
    log.append("old")
    expected, steps = [], []
    for number in range(times):
        expected += [f"{number} a", f"{number} b"]
        steps += [
            lambda n=number: log.append(f"{n} a"),
            log.rotate,
            lambda n=number: log.append(f"{n} b"),
        ]
    follower = make_blocked(*steps).start()
    follower.finish()

    assert follower.lines == expected


def test_cut_short_meanwhile(log, make_blocked):
    """Cut short and written anew: the new content from its beginning, the rest of the old one from its copy (T07)."""
    log.append(*numbered(1, 100))
    follower = make_blocked(lambda: log.append("one"), log.copytruncate, lambda: log.append("two")).start()
    follower.finish()

    assert follower.lines == ["one", "two"]


def test_a_log_that_came_meanwhile(log, make_blocked):
    """What was not there at the first look is read from its beginning, also if it is rotated before there is room (T19)."""
    follower = make_blocked(
        lambda: log.append("one"), log.rotate, lambda: log.append("two"), log.rotate
    ).start()
    log.append("three")
    follower.finish()

    assert follower.lines == ["one", "two", "three"]


def test_a_log_that_came_and_went_at_the_last_moment(log, make_blocked):
    """... or between its last look and the moment at which there is room (T19)."""

    def at_once():
        log.write("one\n")
        os.utime(log.rotate())
        log.write("two\n")
        os.utime(log.path)
        blocked.unblock()

    blocked = make_blocked(at_once)
    follower = blocked.start()
    follower.finish()

    assert follower.lines == ["one", "two"]


def test_old_files_beside_it(log, make_blocked):
    """What lay beside the log at the first look is old (T20)."""
    for number in range(12):
        log.append(f"old {number}")
        log.rotate()
    follower = make_blocked(lambda: log.append("one")).start()
    follower.finish()

    assert follower.lines == ["one"]


def test_a_position_that_cannot_be_read_for_a_while(log, make_follower, make_blocked):
    """Where there is a position, it counts, however late it can be read."""
    log.append("one")
    first = make_follower().start()
    first.follow()
    first.stop()
    log.append("two")
    follower = make_blocked(lambda: log.append("three")).start()
    follower.follow()

    assert follower.lines == ["two", "three"]


@pytest.fixture
def no_space():
    """No file may become longer than 4096 bytes; call it and there is room again."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_no_space(log, make_follower, inbox, said, no_space):
    """On a full disk it waits as well, and what it needs is said once (T49, O02)."""
    follower, reasons = make_follower(read_from_head=False), []

    def tell(reason):
        reasons.append(reason)
        if len(reasons) == 2:
            assert os.listdir(follower.state_dir) == [], "no draft is left"
        if len(reasons) == 5:
            no_space()
            log.append("one")

    log.append("old")
    follower.wait_for_checkpoint(inbox, tell)
    follower.start().follow()

    assert follower.lines == ["one"]
    assert reasons[0] == ""
    assert len(set(reasons[1:])) == 1
    assert "free space on its disk; trying again" in reasons[1]
    assert said() == [reasons[1], f"{follower.checkpoint.path}: the checkpoint can be used now"]
    assert said("ERROR") == reasons[1:2]


def test_no_space_for_setting_a_broken_one_aside(log, make_follower, inbox, said, no_space):
    """A broken checkpoint is no first sight, also if there is no room at first for the one that replaces it (T48, T49)."""
    follower, reasons = make_follower(read_from_head=False), []
    path = checkpoint_path(follower.state_dir, follower.settings.path)
    path.parent.mkdir()
    path.write_text("broken")

    def tell(reason):
        reasons.append(reason)
        if len(reasons) == 4:
            no_space()

    log.append("one")
    follower.wait_for_checkpoint(inbox, tell)
    follower.start().follow()

    assert follower.lines == ["one"]
    assert len(list(path.parent.iterdir())) == 2, "it is kept once"
    assert "the checkpoint cannot be used" in said()[1]


def test_without_a_master(log, make_follower, inbox):
    """Whoever started an agent by hand is told at once (C06)."""
    follower = make_follower()
    checkpoint_path(follower.state_dir, follower.settings.path).mkdir(parents=True)
    with pytest.raises(StateError, match="Is a directory"):
        follower.wait_for_checkpoint(inbox, print, None)


@pytest.mark.parametrize("by", ["signal", "lifeline"])
def test_told_to_stop(log, make_follower, inbox, said, monkeypatch, by):
    """Waiting for room it obeys TERM, and notices that the master is gone (P12)."""
    monkeypatch.setattr(opening, "RETRY_INTERVAL", 60.0)
    follower, (lifeline, writer) = make_follower(), os.pipe()
    checkpoint_path(follower.state_dir, follower.settings.path).mkdir(parents=True)

    def tell(reason):
        if reason and by == "signal":
            os.kill(os.getpid(), signal.SIGTERM)
        elif reason:
            os.close(writer)

    begin = time.monotonic()
    with pytest.raises(ToldToStopError):
        follower.wait_for_checkpoint(inbox, tell, lifeline=lifeline)
    assert time.monotonic() - begin < 10
    assert len(said()) == 1
    os.close(lifeline)
    if by == "signal":
        os.close(writer)


def test_another_signal_is_no_reason_to_hurry(log, make_follower, inbox, said, monkeypatch):
    """A signal that means nothing to it costs one attempt, not all of a CPU."""
    monkeypatch.setattr(opening, "RETRY_INTERVAL", 0.2)
    follower, reasons = make_follower(), []
    path = checkpoint_path(follower.state_dir, follower.settings.path)
    path.mkdir(parents=True)

    def tell(reason):
        reasons.append(reason)
        if len(reasons) == 2:
            os.kill(os.getpid(), signal.SIGHUP)
        elif len(reasons) == 5:
            path.rmdir()

    begin = time.monotonic()
    follower.wait_for_checkpoint(inbox, tell)

    assert time.monotonic() - begin > 0.5
    assert len(reasons) == 5
    assert said("ERROR") == reasons[1:2]
