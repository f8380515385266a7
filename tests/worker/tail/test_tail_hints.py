"""inotify tells at once, the poll tells the truth: neither may be missed, and either may be missing."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import inotify_simple
import pytest
from following import EVENT_TIME_NS, Follower, lines_of

from fluentlite.core.forward import ChunkEncoder
from fluentlite.loop import Loop
from fluentlite.worker.checkpoint import Checkpoint
from fluentlite.worker.drain import Drain, entry_packer, max_lines
from fluentlite.worker.follow import FollowedLog

NEVER = 3600.0
"""A poll_interval that no test waits for: what arrives has been hinted at."""


class Worker:
    """The reading half of a worker with its loop, its hints and the real clock; every chunk is delivered at once."""

    def __init__(self, path, state_dir, poll_interval, while_made=contextlib.nullcontext()):  # noqa: B008
        settings = Follower(path, state_dir, poll_interval=poll_interval).settings
        packer = entry_packer(settings)
        self.loop, self.lines, self.wakes, self.turns = Loop(), [], 0, 0
        checkpoint = Checkpoint(str(state_dir), str(path))
        with while_made:
            self.followed = FollowedLog(
                settings, checkpoint, max_lines(settings, packer), self.loop, self._wake
            )
        self.drain = Drain(settings, self.followed.lines, packer, ChunkEncoder("t", require_ack=True))
        self.is_blocked = False
        self.followed.start(time.monotonic())
        self.followed.resume()
        self.turn()

    def _wake(self):
        self.wakes += 1

    def turn(self, timeout=0.0):
        """One turn of the loop."""
        self.turns += 1
        self.loop.wait(max(0.0, min(timeout, self.followed.deadline - time.monotonic())))
        self.followed.tick(time.monotonic())
        while not self.is_blocked:
            chunk = self.drain.next_chunk(time.monotonic(), EVENT_TIME_NS)
            if chunk is None:
                break
            self.lines += [line.decode() for line in lines_of(chunk)]
            self.followed.delivered([chunk.end])

    def wait_for(self, condition, timeout=5.0):
        """Turn until *condition* is true; return how long that took (seconds)."""
        begin = time.monotonic()
        while not condition():
            assert time.monotonic() - begin < timeout, self.lines
            self.turn(0.2)
        return time.monotonic() - begin

    def close(self):
        self.followed.close()
        self.loop.close()


@pytest.fixture
def make_worker(log, tmp_path):
    made = []

    def make(path=None, poll_interval=NEVER, **how):
        made.append(Worker(path or log.path, tmp_path / "state", poll_interval, **how))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


def test_a_line_is_hinted_at(log, make_worker):
    """A line of a quiet log is read within milliseconds (T52)."""
    log.append("0")
    worker = make_worker()
    times = []
    for number in range(1, 21):
        log.append(str(number))
        times.append(worker.wait_for(lambda number=number: worker.lines[-1] == str(number)))

    assert worker.lines == [str(number) for number in range(21)]
    assert sorted(times)[10] < 0.02


def test_nothing_wakes_an_idle_worker(log, make_worker):
    """Where nothing happens nothing is done (T52)."""
    log.append("0")
    worker = make_worker()
    worker.wait_for(lambda: worker.lines == ["0"])
    worker.loop.wait(0.05)
    before = worker.wakes
    worker.loop.wait(0.2)

    assert worker.wakes == before


def test_other_files_do_not_wake_it(log, make_worker):
    """What happens to other files in the directory is nobody's business (T52)."""
    log.append("0")
    worker = make_worker()
    worker.wait_for(lambda: worker.lines == ["0"])
    before = worker.wakes
    for number in range(50):
        log.path.with_name(f"other {number}").write_text("x")
        worker.loop.wait(0.0)

    assert worker.wakes == before


def test_rotations_are_hinted_at(log, make_worker):
    """Rotation, gap, new file, deletion and atomic replacement are all noticed without a poll (T01, T15, T18)."""
    log.append("one")
    worker = make_worker()
    log.rotate()
    worker.turn(0.05)
    log.append("two")
    worker.wait_for(lambda: worker.lines == ["one", "two"])
    log.path.unlink()
    worker.turn(0.05)
    log.create("three")
    worker.wait_for(lambda: worker.lines[2:] == ["three"])
    new = log.path.with_name("new")
    log.append("four", to=new)
    new.rename(log.path)
    worker.wait_for(lambda: worker.lines[3:] == ["four"])
    log.append("five")
    worker.wait_for(lambda: worker.lines[4:] == ["five"])


def test_truncation_is_hinted_at(log, make_worker):
    """So is copytruncate (T07)."""
    log.append("one")
    worker = make_worker()
    worker.wait_for(lambda: worker.lines == ["one"])
    log.copytruncate()
    worker.turn(0.05)
    log.append("two")
    worker.wait_for(lambda: worker.lines == ["one", "two"])


def test_target_of_a_link_is_hinted_at(log, directory, make_worker):
    """The directory of a link's target is watched as well (T16)."""
    (directory / "link").mkdir()
    link = directory / "link" / "app"
    link.symlink_to(log.path)
    log.append("one")
    worker = make_worker(link)
    log.rotate()
    log.append("two")

    worker.wait_for(lambda: worker.lines == ["one", "two"])


def test_blocked_it_sees_rotations_and_not_lines(log, make_worker):
    """While nothing can be sent a busy writer wakes nobody, but each rotation is noticed at once (T03)."""
    log.append("0")
    worker = make_worker()
    worker.wait_for(lambda: worker.lines == ["0"])
    worker.is_blocked = True
    worker.followed.mute()
    worker.turn(0.05)
    before = worker.wakes
    for number in range(1, 100):
        log.append(str(number))
        worker.turn()
    assert worker.wakes == before
    log.rotate()
    log.append("100")
    worker.wait_for(lambda: len(worker.followed.tail.generations) == 2)
    worker.is_blocked = False
    worker.followed.resume()

    worker.wait_for(lambda: worker.lines == [str(number) for number in range(101)])
    log.append("101")
    worker.wait_for(lambda: worker.lines[-1] == "101")


def test_the_queue_of_hints_overflows(log, make_worker):
    """Events that the kernel has dropped cost nothing but a look: nothing is lost (T39)."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    log.append("one")
    worker = make_worker()
    worker.wait_for(lambda: worker.lines == ["one"])
    noise = [str(log.path.with_name(name)) for name in ("x", "y")]
    for name in noise:
        Path(name).touch()
    for _ in range(limit // 4 + 10):  # two events each: equal ones in a row would be joined
        os.rename(noise[0], noise[1])
        os.rename(noise[1], noise[0])
    log.rotate()
    log.append("two")

    worker.wait_for(lambda: worker.lines == ["one", "two"], timeout=10)


def everything(log, worker):
    """Whatever can happen to a log, one after another; each is noticed."""
    log.append("two")
    worker.wait_for(lambda: worker.lines[1:] == ["two"])
    log.rotate()
    log.append("three")
    worker.wait_for(lambda: worker.lines[2:] == ["three"])
    log.copytruncate()
    log.append("four")
    worker.wait_for(lambda: worker.lines[3:] == ["four"])
    log.path.unlink()
    worker.turn()
    log.append("five")
    worker.wait_for(lambda: worker.lines[4:] == ["five"])


def test_everything_is_hinted_at(log, make_worker):
    """What the next test finds by polling alone is otherwise found without a poll."""
    log.append("one")
    everything(log, make_worker())


REFUSALS = [
    ("init", errno.EMFILE, "inotify is not available (Too many open files)", "instances"),
    ("init", errno.ENOSYS, "inotify is not available (Function not implemented)", "instances"),
    ("watch", errno.ENOSPC, "inotify cannot watch it (No space left on device)", "watches"),
]


@pytest.mark.parametrize(("call", "error", "words", "limit"), REFUSALS)
def test_polling_alone(tmp_path, call, error, words, limit):
    """Where the kernel refuses inotify the poll notices everything; reason and remedy are said once (T38, T39, T40)."""
    script = Path(__file__).with_name("without_inotify.py")
    command = [sys.executable, script, tmp_path, call, str(error)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60)
    *said, last = child.stdout.splitlines() or [""]

    assert (last, child.stderr) == ("all was noticed", "")
    assert said == [
        f"{tmp_path}/app.log: {words}; polling alone, so lines come up to poll_interval later; "
        f"raise fs.inotify.max_user_{limit}"
    ]


def test_inotify_is_tried_again(log, make_worker, make_descriptors, said):
    """A lack of inotify is not for ever: it is asked for again, and hints come again (T38)."""
    inotify_simple.INotify().close()  # the first one looks for the C library, and opens files for it
    log.append("one")
    worker = make_worker(poll_interval=0.02, while_made=make_descriptors(0))
    log.append("two")
    worker.wait_for(lambda: worker.lines == ["one", "two"])

    assert len(said()) == 2
    assert "inotify is not available (Too many open files)" in said()[0]
    assert said()[1] == f"{log.path}: inotify watches it again"
