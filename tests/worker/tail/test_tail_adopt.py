"""The position belongs to the file, not to the configuration: a log that has another path now goes on where it was."""

import errno
import inspect
import os
import resource
import shutil
import signal
import threading

import inotify_simple
import pytest
from following import numbered

from fluentlite.core.position import State, checkpoint_name
from fluentlite.errors import LockedError, StateError
from fluentlite.worker import adopt, opening, waiting
from fluentlite.worker.checkpoint import Checkpoint
from fluentlite.worker.waiting import ToldToStopError


@pytest.fixture
def start(inbox):
    """
    Start a follower as a worker starts whose master has the logs in *configured* and this one; None: without master.
    """

    def start(follower, configured=(), tell=lambda _reason: None):
        names = (
            None
            if configured is None
            else {checkpoint_name(p) for p in (*configured, follower.settings.path)}
        )
        follower.wait_for_checkpoint(inbox, tell, names)
        return follower.start()

    return start


def end_of(make_follower, path):
    """A follower of *path* that begins at the end of what it sees for the first time."""
    return make_follower(path, read_from_head=False)


def checkpoints(follower):
    return sorted(os.listdir(follower.state_dir))


def link_to_target(directory):
    (directory / "link.log").symlink_to("app.log")
    return "link.log", "app.log"


def target_to_link(directory):
    return tuple(reversed(link_to_target(directory)))


def linked_directory(directory):
    (directory.parent / "elsewhere").symlink_to(directory)
    return "app.log", "../elsewhere/app.log"


def hard_link(directory):
    (directory / "app.log").touch()
    (directory / "other.log").hardlink_to(directory / "app.log")
    return "app.log", "other.log"


@pytest.mark.parametrize("other_name", [link_to_target, target_to_link, linked_directory, hard_link])
@pytest.mark.parametrize("has_master", [True, False])
def test_the_same_file_by_another_path(directory, log, make_follower, start, said, other_name, has_master):
    """With another path for the same file nothing is lost and nothing is doubled (C04)."""
    old, new = (os.path.normpath(directory / name) for name in other_name(directory))
    log.append(*numbered(1, 100))
    first = make_follower(old).start()
    first.follow()
    first.stop()
    log.append(*numbered(101, 200))
    second = start(end_of(make_follower, new), () if has_master else None)
    log.append(*numbered(201, 300))
    second.follow()

    assert first.lines + second.lines == numbered(1, 300)
    assert said() == [f"{new}: the file was followed as {old}; going on at its position"]
    assert checkpoints(second) == [checkpoint_name(new)], "the other one is of no use any more"


@pytest.mark.parametrize("call", ["lstat", "pread", "stat", "scandir"])
def test_it_cannot_be_seen_for_a_moment(directory, log, make_follower, start, said, monkeypatch, call):
    """An error while the position is looked for is no sign that there is none: it is looked for again, and nothing is lost."""
    (directory / "link.log").symlink_to("app.log")
    log.append(*numbered(1, 10))
    first = start(end_of(make_follower, directory / "link.log"))
    log.append(*numbered(11, 20))
    first.follow()
    first.stop()
    log.append(*numbered(21, 30))
    second, failing = end_of(make_follower, directory / "app.log"), getattr(os, call)
    is_over = []

    def fail_once(*words, **how):
        caller = inspect.currentframe().f_back
        callers = {caller.f_code.co_filename, caller.f_back.f_code.co_filename}
        if adopt.__file__ in callers and not is_over:
            is_over.append(True)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return failing(*words, **how)

    monkeypatch.setattr(opening, "RETRY_INTERVAL", 0.01)
    monkeypatch.setattr(os, call, fail_once)
    start(second).follow()

    assert is_over
    assert second.lines == numbered(21, 30)
    assert "it cannot be seen whether it is of" in said()[0]


def test_a_directory_that_was_moved(directory, log, make_follower, start, said):
    """The same where the old path is no more (C04)."""
    log.append("one")
    first = make_follower().start()
    first.follow()
    first.stop()
    log.append("two")
    moved = directory.rename(directory.parent / "moved")
    second = start(end_of(make_follower, moved / "app.log"))
    second.follow()

    assert second.lines == ["two"]
    assert len(said()) == 1


def test_there_and_back(directory, log, make_follower, start, said):
    """However often it changes (C04)."""
    link, _ = link_to_target(directory)
    lines = []
    for number in range(6):
        path = directory / link if number % 2 else log.path
        follower = start(make_follower(path, read_from_head=number == 0))
        log.append(f"{number} a")
        follower.follow()
        follower.stop()
        log.append(f"{number} b")
        lines += follower.lines

    assert lines == [f"{n} {x}" for n in range(6) for x in "ab"][:-1]
    assert len(said()) == 5


def test_rotated_meanwhile(directory, log, make_follower, start, said):
    """Rotated between the old worker and the new one: the rest of the old file, then the new one from 0 (C04, T05)."""
    link, _ = link_to_target(directory)
    log.append("one")
    first = make_follower(directory / link).start()
    first.follow()
    first.stop()
    log.append("two")
    log.rotate()
    log.append("three")
    second = start(end_of(make_follower, log.path))
    second.finish()

    assert second.lines == ["two", "three"]
    assert len(said()) == 1


def test_an_older_generation_is_not_delivered_yet(directory, log, make_follower, start, said):
    """All that the checkpoint says is taken over, not only the file at the path (C04)."""
    link, _ = link_to_target(directory)
    log.append("one")
    first = make_follower(directory / link).start()
    first.follow()
    log.append("two")
    log.rotate()
    log.append("three")
    first.look()
    assert len(first.points) == 2
    first.kill()
    second = start(end_of(make_follower, log.path))
    second.finish()

    assert second.lines == ["two", "three"]
    assert len(said()) == 1


def test_an_empty_file(directory, log, make_follower, start, said):
    """A position of 0 is one, too (C04, T21)."""
    link, _ = link_to_target(directory)
    log.create()
    make_follower(directory / link).start().stop()
    log.append("one")
    second = start(end_of(make_follower, log.path))
    second.follow()

    assert second.lines == ["one"]
    assert len(said()) == 1


def test_an_empty_file_whose_inode_was_used_again(directory, log, make_follower, start):
    """Of an empty file that has no name any more nothing tells it from another one with its inode: a first sight (T12)."""
    link, _ = link_to_target(directory)
    log.create()
    make_follower(directory / link).start().stop()
    (directory / link).unlink()
    log.append("of another log")
    second = start(end_of(make_follower, log.path))
    log.append("new")
    second.follow()

    assert second.lines == ["new"]


@pytest.mark.parametrize("content", ["short\n", "other " * 1000 + "\n"])
def test_an_inode_that_was_used_again(directory, log, make_follower, start, content):
    """With another content before the position it is another file: a first sight, and the other one stays (T12)."""
    link, _ = link_to_target(directory)
    log.append(*numbered(1, 100))
    first = make_follower(directory / link).start()
    first.follow()
    first.stop()
    log.path.write_text(content)
    second = start(end_of(make_follower, log.path))
    log.append("new")
    second.follow()

    assert second.lines == ["new"]
    assert len(checkpoints(second)) == 2


def test_another_log_that_only_sounds_like_a_rotated_one(directory, log, make_follower, start):
    """What is still at its own path was not rotated from the new one."""
    log.append("old")
    other = directory / "app-1.log"
    log.append(*numbered(1, 10), to=other)
    make_follower(other).start().stop()
    second = start(end_of(make_follower, log.path))
    log.append("new")
    second.finish()

    assert second.lines == ["new"]
    assert len(checkpoints(second)) == 2


def test_the_last_one_counts(directory, log, make_follower, start, said):
    """Of several that are left of former configurations the one that was written last is taken."""
    for number in range(3):
        (directory / f"link{number}").symlink_to("app.log")
        log.append(f"{number}")
        follower = make_follower(directory / f"link{number}").start()  # without a look at the others
        follower.follow()
        follower.stop()
        os.utime(follower.checkpoint.path, (number, number))
    log.append("3")
    last = start(end_of(make_follower, log.path))
    last.follow()

    assert last.lines == ["3"]
    assert len(said()) == 1


def test_configured_logs_are_left_alone(directory, log, make_follower, start, tmp_path):
    """A checkpoint that a configured log has is not even opened: a thousand first starts stay cheap."""
    link, _ = link_to_target(directory)
    log.append("one")
    first = make_follower(directory / link).start()
    first.follow()
    first.stop()
    with inotify_simple.INotify() as opens:
        opens.add_watch(first.checkpoint.path, inotify_simple.flags.OPEN)
        second = start(end_of(make_follower, log.path), configured=[first.settings.path])
        assert opens.read(timeout=0) == []
    log.append("new")
    second.follow()

    assert second.lines == ["new"]


def test_not_at_a_later_start(directory, log, make_follower, start, said):
    """Who has a position keeps it, whatever lies beside it: killed before the other one was removed, too (T46)."""
    link, _ = link_to_target(directory)
    log.append("one")
    first = make_follower(directory / link).start()
    first.follow()
    first.stop()
    log.append("two")
    kept = shutil.copy2(first.checkpoint.path, directory)
    second = start(end_of(make_follower, log.path))
    second.follow()
    second.stop()
    shutil.copy2(kept, first.checkpoint.path)
    start(second)
    log.append("three")
    second.follow()

    assert second.lines == ["two", "three"]
    assert len(said()) == 1


def test_what_is_no_checkpoint(directory, log, make_follower, start):
    """What else lies in state_dir is passed over, whatever it is called."""
    state_dir = make_follower().state_dir
    os.mkdir(state_dir)
    names = (f"{state_dir}/{name}.checkpoint" for name in ("directory", "pipe", "link", "empty", "text"))
    directory_, pipe, link, empty, text = names
    os.mkdir(directory_)
    os.mkfifo(pipe)
    os.symlink(text, link)
    open(empty, "w").close()
    with open(text, "w") as file:
        file.write("text" * 20000)
    log.append("old")
    follower = start(end_of(make_follower, log.path))
    log.append("new")
    follower.follow()

    assert follower.lines == ["new"]


def test_a_copy_of_a_checkpoint(directory, log, make_follower, start):
    """A copy that somebody keeps beside it belongs to the log it is of, which may be configured."""
    link, _ = link_to_target(directory)
    log.append("one")
    first = make_follower(directory / link).start()
    first.follow()
    first.stop()
    shutil.copy(first.checkpoint.path, first.checkpoint.path.with_name("copy.checkpoint"))
    second = start(end_of(make_follower, log.path), configured=[first.settings.path])
    log.append("new")
    second.follow()

    assert second.lines == ["new"]


# -- while the old worker is still there ----------------------------------------------------------------


@pytest.fixture
def finishing(directory, log, make_follower):
    """A worker of the old path that has not delivered all that it has sent."""
    link, _ = link_to_target(directory)
    log.append("one")
    follower = make_follower(directory / link).start()
    follower.follow()
    log.append("two")
    follower.look()
    follower.read()
    log.append("three")
    return follower


def finish(follower):
    follower.deliver()
    follower.stop()


def test_the_old_worker_is_finishing(finishing, log, make_follower, start, said):
    """The old worker is waited for; what it delivers meanwhile is not sent again (C04, P02)."""
    beats = []
    threading.Timer(0.3, finish, [finishing]).start()
    second = start(end_of(make_follower, log.path), tell=beats.append)
    second.follow()

    assert finishing.lines + second.lines == ["one", "two", "three"]
    assert set(beats) == {""}, "that is ordinary"
    assert len(beats) > 2, "it shows that it lives"
    assert len(said()) == 1


def test_the_old_worker_does_not_finish(finishing, log, make_follower, start, said, monkeypatch):
    """... but not for ever; it says who is in its way, and takes nothing for a first sight (C04, P02)."""
    for name, seconds in (("LOCK_PATIENCE", 0.3), ("LOCK_USUAL", 0.1)):
        monkeypatch.setattr(waiting, name, seconds)
    second, reasons = end_of(make_follower, log.path), []
    with pytest.raises(LockedError, match=f"another process follows '{finishing.settings.path}'") as refused:
        start(second, tell=reasons.append)
    assert f"the same file as '{log.path}'" in str(refused.value)
    assert reasons[-1] == str(refused.value)
    finish(finishing)
    start(second).follow()

    assert finishing.lines + second.lines == ["one", "two", "three"]
    assert len(said()) == 1


def test_told_to_stop_meanwhile(finishing, log, make_follower, start):
    """Waiting for the old worker it obeys TERM, and has decided nothing (C04, P12)."""
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(ToldToStopError):
        start(end_of(make_follower, log.path))
    checkpoint = Checkpoint(finishing.state_dir, str(log.path))
    checkpoint.close()

    assert checkpoint.state == State(str(log.path))


def test_what_another_agent_holds(finishing, log, make_follower, start):
    """Without a master nobody knows who is about to leave: what is held is left alone."""
    second = start(end_of(make_follower, log.path), configured=None)
    log.append("new")
    second.follow()

    assert second.lines == ["new"]
    finish(finishing)


# -- safe at any moment ---------------------------------------------------------------------------------


def test_no_space_for_the_new_one(directory, log, make_follower, start, said):
    """The old checkpoint is there until the new one is written (T49)."""
    link, _ = link_to_target(directory)
    log.append("one")
    first = make_follower(directory / link).start()
    first.follow()
    first.stop()
    log.append("two")
    second = end_of(make_follower, log.path)
    Checkpoint(second.state_dir, str(log.path)).close()
    before, limits = checkpoints(second), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with pytest.raises(StateError, match="the checkpoint cannot be written"):
            start(second, configured=None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert checkpoints(second) == before
    start(second).follow()

    assert second.lines == ["two"]
    assert said()[-1].endswith("going on at its position")
