"""Files of the checkpoint that cannot be opened when the agent starts: their positions wait, nothing is read twice or lost."""

from __future__ import annotations

import contextlib
import os
import threading

import pytest
from following import Follower, Log, leased, numbered


@pytest.fixture(params=["stop", "kill"])
def end(request):
    """How the agent ends: told to, or killed."""
    return request.param


@contextlib.contextmanager
def closed_file(log):
    log.path.chmod(0)
    yield
    log.path.chmod(0o644)


@contextlib.contextmanager
def closed_directory(log):
    log.path.parent.chmod(0)
    yield
    log.path.parent.chmod(0o755)


@contextlib.contextmanager
def directory_without_search(log):
    log.path.parent.chmod(0o444)
    yield
    log.path.parent.chmod(0o755)


@contextlib.contextmanager
def not_mounted(log):
    """As a file system that is not mounted yet: an empty directory."""
    with no_directory(log):
        log.path.parent.mkdir()
        yield
        log.path.parent.rmdir()


@contextlib.contextmanager
def no_directory(log):
    aside = log.path.parent.rename(log.path.parent.with_name("aside"))
    yield
    aside.rename(log.path.parent)


@contextlib.contextmanager
def no_file(log):
    aside = log.path.rename(log.path.parent.with_name("aside"))
    yield
    aside.rename(log.path)


@contextlib.contextmanager
def looping_link(log):
    with no_directory(log):
        log.path.parent.symlink_to("logs")
        yield
        log.path.parent.unlink()


@contextlib.contextmanager
def fifo(log):
    with no_file(log):
        os.mkfifo(log.path)
        yield
        log.path.unlink()


@contextlib.contextmanager
def broken_disk(log):
    """What is at the path can be opened, and gives an error instead of its bytes."""
    with no_file(log):
        log.path.symlink_to("/proc/self/mem")
        yield
        log.path.unlink()


def leased_file(log):
    """It cannot be opened without waiting, by root neither."""
    return leased(log.path)


HINDRANCES = [
    closed_file, closed_directory, directory_without_search, not_mounted, no_directory, no_file, looping_link,
    fifo, broken_disk, leased_file,
]  # fmt: skip


def undelivered(guarded):
    """A log of which four lines were delivered, and one was seen and not delivered; the follower is stopped."""
    log, follower = guarded
    log.append("1", "2", "3", "4")
    follower.start()
    follower.follow()
    log.append("5")
    follower.look()
    follower.stop()
    return log, follower


@pytest.mark.parametrize("hindrance", HINDRANCES)
def test_it_goes_on_at_its_position(guarded, said, hindrance, end):
    """
    Whatever keeps the file from being opened at the start, the checkpoint keeps its position, over any number of
    lives; once it can be opened it is read on from there (T35, T36, T46).
    """
    log, follower = undelivered(guarded)
    points = follower.points
    assert points == [(log.inode(), 8)]
    with hindrance(log):
        for _ in range(3):
            follower.start()
            follower.follow(20)
            assert follower.points == points
            assert (follower.tail.lag, follower.tail.generations[0].delivered.offset) == (2, 8)
            assert follower.trouble
            getattr(follower, end)()
        follower.start()
        follower.follow(2)
    follower.follow()
    log.append("6")
    follower.follow()

    assert follower.lines == numbers(1, 6)
    assert follower.points == [(log.inode(), 12)]
    assert follower.trouble == ""
    assert said("ERROR") == []
    assert len(said()) == 5  # in each of four lives that it is so, and in the last that it is over


def numbers(first, last):
    return [str(number) for number in range(first, last + 1)]


@pytest.mark.parametrize("hindrance", HINDRANCES)
def test_over_at_the_next_start(guarded, said, hindrance, end):
    """The same where it can be opened again while the agent is down (T35, T36, T46)."""
    log, follower = undelivered(guarded)
    with hindrance(log):
        follower.start()
        follower.follow()
        getattr(follower, end)()
    log.append("6")
    follower.start()
    follower.follow()

    assert follower.lines == numbers(1, 6)
    assert said("ERROR") == []


def test_what_is_said_of_a_closed_file(guarded, said):
    """Once: what cannot be opened, why, what to do, and that the position is kept; and once that it is over (T35)."""
    log, follower = undelivered(guarded)
    with closed_file(log):
        follower.start()
        follower.follow(60)
        assert follower.trouble == said()[0]
    follower.follow()

    assert said() == [
        f"{log.path}: it cannot be opened (Permission denied); let user {os.geteuid()} read it; "
        "its position is kept; trying again",
        f"{log.path}: it can be opened again",
    ]


def test_what_is_said_of_a_missing_file(guarded, said):
    """A log that was there is missed aloud, with its position (T36)."""
    log, follower = undelivered(guarded)
    inode = log.inode()
    with not_mounted(log):
        follower.start()
        follower.follow(60)
        assert follower.tail.troubles.is_waiting
        assert follower.trouble == said()[0]
    follower.follow()

    assert said() == [
        f"{log.path}: no such file, but a position in it (offset 8 of inode {inode}, with 2 bytes behind it), which "
        "is kept; mount or put back what holds it",
        f"{log.path}: no position waits for a file any more",
    ]


@pytest.mark.parametrize("way", ["renamed", "copied"])
def test_rotated_and_closed(guarded, said, end, way):
    """
    A rotated file that cannot be opened keeps its position and holds up nothing: the one at the path is read; once
    it can be opened the old one is read to its end (T05, T35).
    """
    log, follower = undelivered(guarded)
    inode = log.inode()
    old = log.rotate() if way == "renamed" else log.copytruncate()
    old.chmod(0)
    log.append("new 1")
    follower.start()
    follower.finish()
    assert follower.lines == [*numbers(1, 4), "new 1"]
    assert follower.points == [(inode, 8), (log.inode(), 6)]
    assert follower.trouble == said()[0]
    getattr(follower, end)()
    log.append("new 2")
    follower.start()
    follower.finish()
    assert follower.lines == [*numbers(1, 4), "new 1", "new 2"]
    old.chmod(0o644)
    follower.follow()
    log.append("new 3")
    follower.finish()

    assert follower.lines == [*numbers(1, 4), "new 1", "new 2", "5", "new 3"]
    assert follower.points == [(log.inode(), 18)]
    assert said() == [
        *2 * [
            f"{old}: it cannot be read (Permission denied), so inode {inode} of {log.path} is not read on from offset 8; "
            f"let user {os.geteuid()} read it; its position is kept; trying again"
        ],
        f"{log.path}: no position waits for a file any more",
    ]  # fmt: skip


def test_older_lines_first_where_they_can_be_had(guarded, said):
    """Of several files of the checkpoint, those that can be opened are read in order, whenever that is (T05, T35)."""
    log, follower = undelivered(guarded)
    oldest = log.rename("app.log-1")
    log.append("6")
    middle = log.rename("app.log-2")
    log.append("7")
    follower.start()
    follower.look()
    follower.kill()
    log.append("8")
    for path in (oldest, middle, log.path):
        path.chmod(0)
    follower.start()
    follower.finish()
    assert follower.lines == numbers(1, 4)
    assert len(follower.points) == 3
    for path in (oldest, middle, log.path):
        path.chmod(0o644)
    follower.finish()

    assert follower.lines == numbers(1, 8)
    assert len(follower.points) == 1
    assert said()


def test_a_directory_that_cannot_be_listed(guarded, said, end):
    """The file at the path is read on though its directory cannot be listed; nothing has to be found for that (T35)."""
    log, follower = undelivered(guarded)
    log.path.parent.chmod(0o311)
    follower.start()
    follower.follow()
    getattr(follower, f"{end}_and_start")()
    log.append("6")
    follower.finish()

    assert follower.lines == numbers(1, 6)
    assert said() == []


def test_rotated_in_a_directory_that_cannot_be_listed(guarded, said, end):
    """Where a rotated file cannot be found, its position waits until it can, and the file at the path does not (T05, T35)."""
    log, follower = undelivered(guarded)
    inode = log.inode()
    log.path.parent.chmod(0o311)
    log.rotate()
    log.append("6")
    for _ in range(2):
        follower.start()
        follower.finish()
        assert follower.lines == [*numbers(1, 4), "6"]
        assert follower.points == [(inode, 8), (log.inode(), 2)]
        getattr(follower, end)()
    follower.start()
    log.path.parent.chmod(0o755)
    follower.finish()

    assert follower.lines == [*numbers(1, 4), "6", "5"]
    assert f"{log.path.parent}: it cannot be read (Permission denied)" in said()[0]
    assert said("ERROR") == []


def test_cut_short_in_a_directory_that_cannot_be_listed(guarded, said, end):
    """The copy of a file that was cut short waits likewise, and the new content of the file does not (T07, T35)."""
    log, follower = undelivered(guarded)
    log.path.parent.chmod(0o311)
    log.copytruncate()
    log.append("6")
    for _ in range(2):
        follower.start()
        follower.finish()
        assert follower.lines == [*numbers(1, 4), "6"]
        assert follower.points == [(log.inode(), 8), (log.inode(), 2)]
        getattr(follower, end)()
    follower.start()
    log.path.parent.chmod(0o755)
    follower.finish()

    assert follower.lines == [*numbers(1, 4), "6", "5"]
    assert said("ERROR") == []


def test_deleted_for_good(guarded, said, end):
    """A position in a deleted file is kept while nothing is at the path; given up, with what is lost, when something is (T33)."""
    log, follower = undelivered(guarded)
    inode = log.inode()
    log.path.unlink()
    follower.start()
    follower.follow(20)
    assert follower.points == [(inode, 8)]
    getattr(follower, f"{end}_and_start")()
    follower.follow()
    assert follower.points == [(inode, 8)]
    log.append("6")
    follower.follow()

    assert follower.lines == [*numbers(1, 4), "6"]
    assert follower.points == [(log.inode(), 2)]
    assert [text for text in said() if "at least 2 bytes behind offset 8 are unreachable" in text] == said(
        "ERROR"
    )
    assert len(said("ERROR")) == 1
    assert follower.trouble == ""


def test_deleted_and_delivered(guarded, said):
    """Nothing is lost with a file that was delivered whole, so nothing is said to be (T33)."""
    log, follower = guarded
    log.append("1")
    follower.start()
    follower.follow()
    follower.stop()
    log.path.unlink()
    follower.start()
    follower.follow()
    log.append("2")
    follower.follow()

    assert follower.lines == ["1", "2"]
    assert said("ERROR") == []


def test_the_directory_is_given_back_with_other_logs(guarded, said):
    """A position is not given up before something is at the path, whatever else is in the directory (T36)."""
    log, follower = undelivered(guarded)
    with not_mounted(log):
        other = log.path.with_name("other.log")
        other.write_text("x\n")
        follower.start()
        follower.follow()
        other.unlink()
    follower.follow()

    assert follower.lines == numbers(1, 5)
    assert said("ERROR") == []


def test_written_while_it_is_not_mounted(guarded, said, end):
    """
    What is written in the place of the real log is read. The real one is not to be found then, and said to be; should
    it come back, it is known where to go on, so nothing is doubled, nor lost (T36).
    """
    log, follower = undelivered(guarded)
    with no_directory(log):
        log.path.parent.mkdir()
        log.append("early")
        follower.start()
        follower.follow()
        assert follower.lines == [*numbers(1, 4), "early"]
        assert "at least 2 bytes behind offset 8 are unreachable" in said("ERROR")[0]
        getattr(follower, f"{end}_and_start")()
        follower.follow()
        log.path.unlink()
        log.path.parent.rmdir()
    log.append("6")
    follower.finish()

    assert follower.lines == [*numbers(1, 4), "early", "5", "6"]
    assert len(said("ERROR")) == 1


def test_cut_short_while_it_is_closed(guarded, said):
    """The bytes before the position tell that the file was cut short meanwhile: it is read from 0 (T07, T35)."""
    log, follower = undelivered(guarded)
    with closed_file(log):
        follower.start()
        follower.follow()
    os.truncate(log.path, 0)
    log.append("6", "7", "8", "9", "10", "11")
    follower.follow()

    assert follower.lines == numbers(1, 4) + numbers(6, 11)
    assert "at least 2 bytes behind offset 8 are unreachable" in said("ERROR")[0]


def test_copytruncated_while_it_is_closed(guarded, said):
    """... after what the copy has (T07, T35)."""
    log, follower = undelivered(guarded)
    with closed_file(log):
        follower.start()
        follower.follow()
    log.copytruncate()
    log.append("6")
    follower.finish()

    assert follower.lines == numbers(1, 6)
    assert said("ERROR") == []


def test_an_inode_used_again_while_it_is_not_there(guarded, said):
    """Another file with the inode is another file: it is read from 0 (T12, T36)."""
    log, follower = undelivered(guarded)
    inode = log.inode()
    log.path.rename(log.path.parent.with_name("aside"))
    follower.start()
    follower.follow()
    log.path.parent.with_name("aside").rename(log.path)
    log.path.write_text("another\nof the same inode\n")
    assert log.inode() == inode
    follower.follow()

    assert follower.lines == [*numbers(1, 4), "another", "of the same inode"]
    assert said("ERROR")


def test_put_back_as_a_copy(guarded, said):
    """What comes back as another file with the same bytes, as from a backup, is read on (T14, T36)."""
    log, follower = undelivered(guarded)
    content = log.path.read_bytes()
    log.path.unlink()
    follower.start()
    follower.follow()
    draft = log.path.with_name("draft")
    draft.write_bytes(content)
    log.touch(draft)
    draft.rename(log.path)
    log.append("6")
    follower.follow()

    assert follower.lines == numbers(1, 6)
    assert said("ERROR") == []


def test_rotated_while_it_is_not_mounted(guarded, said):
    """Files that come back together are told apart: the position, what was never seen, and the file at the path (T05, T06, T36)."""
    log, follower = undelivered(guarded)
    with not_mounted(log):
        follower.start()
        follower.follow()
        real = Log(log.path.parent.with_name("aside") / "app.log")
        real.clock = log.clock
        real.rotate()
        real.append("6")
        real.rotate()
        real.append("7")
    follower.finish()

    assert follower.lines == numbers(1, 7)
    assert said("ERROR") == []


def test_finished_files_are_remembered_while_nothing_can_be_listed(guarded, said, end):
    """What was delivered whole is not read again because the directory could not be listed for a while (T06, T35)."""
    log, follower = guarded
    log.append("1")
    follower.start()
    follower.follow()
    old = log.rotate()
    log.append("2")
    follower.finish()
    log.path.parent.chmod(0o311)
    os.rename(log.path, log.path.with_name("app.log.2"))
    log.append("3")
    follower.finish()
    getattr(follower, f"{end}_and_start")()
    follower.follow()
    log.path.parent.chmod(0o755)
    log.touch(old)  # no line in it is new
    log.touch(log.path.with_name("app.log.2"))
    log.rename("app.log.3")
    log.append("4")
    follower.finish()

    assert follower.lines == numbers(1, 4)
    assert said() == []


def test_closed_and_opened_at_any_moment(guarded, said):
    """However often and whenever it is closed and opened while the agent starts and looks, each line arrives once, in order (T35)."""
    log, follower = guarded
    is_over = threading.Event()

    def close_and_open():
        while not is_over.is_set():
            log.path.chmod(0)
            log.path.chmod(0o644)

    log.append("line 000000")
    thread = threading.Thread(target=close_and_open)
    thread.start()
    try:
        with open(log.path.parent / "app.log", "ab", opener=reopened) as writer:
            for line in numbered(1, 150):
                follower.start()
                follower.follow(2)
                writer.write(f"{line}\n".encode())
                writer.flush()
                follower.follow(2)
                follower.kill()
    finally:
        is_over.set()
        thread.join()
    follower.start()
    follower.finish()

    assert follower.lines == numbered(0, 150)
    assert said("ERROR") == []


def reopened(path, flags):
    """Open until it is allowed."""
    while True:
        with contextlib.suppress(PermissionError):
            return os.open(path, flags)


def test_mounted_at_any_moment(guarded, said):
    """The same for a directory that is put in its place, and taken away, at any moment (T36)."""
    log, follower = guarded
    log.append("line 000000")
    real, empty, place = (log.path.parent.with_name(name) for name in ("real", "empty", "logs"))
    log.path.parent.rename(real)
    empty.mkdir()
    place.symlink_to("real")
    is_over = threading.Event()

    def switch():
        while not is_over.is_set():
            for target in ("empty", "real"):
                draft = place.with_name("draft")
                draft.symlink_to(target)
                draft.rename(place)

    thread = threading.Thread(target=switch)
    thread.start()
    try:
        for line in numbered(1, 150):
            follower.start()
            follower.follow(2)
            with open(real / "app.log", "a") as writer:
                writer.write(f"{line}\n")
            follower.follow(2)
            follower.kill()
    finally:
        is_over.set()
        thread.join()
    follower.start()
    follower.finish()
    place.unlink()
    real.rename(place)

    assert follower.lines == numbered(0, 150)
    assert said("ERROR") == []


def test_positions_that_wait_are_bounded(guarded, said):
    """So many positions wait that a checkpoint has room for the others; of more, the oldest are given up, aloud (T51)."""
    log, follower = guarded
    log.append("0")
    log.path.parent.chmod(0o311)
    follower.start()
    for number in range(1, 80):
        follower.look()
        follower.kill()
        os.rename(log.path, log.path.with_name(f"app.log.{number}"))
        log.append(str(number))
        follower.start()
    follower.follow()

    assert len(follower.points) == 65
    assert follower.points[-1] == (log.inode(), 3)
    assert len([text for text in said("ERROR") if "bytes behind offset 0 are unreachable" in text]) == 15
    log.path.parent.chmod(0o755)
    follower.finish()
    assert sorted(map(int, follower.lines)) == list(range(15, 80))


@pytest.mark.parametrize("left", range(4))
def test_no_descriptors_at_a_start(log, make_follower, said, make_descriptors, left):
    """With no or few descriptors left at the start, all is read in order as soon as there are some again (T38)."""
    log.append("1")
    follower = make_follower().start()
    follower.follow()
    log.append("2")
    log.rotate()
    log.append("3")
    follower.look()
    follower.stop()
    with make_descriptors(1 + left):  # one is for the checkpoint
        follower.start()
        for _ in range(3):
            follower.look()
    follower.finish()

    assert follower.lines == numbers(1, 3)
    assert follower.trouble == ""
    assert len(said()) in (0, 2)


def test_no_descriptors_at_the_first_start(log, make_follower, said, make_descriptors):
    """A log that could not be opened at its first sight for want of a descriptor is, once it is, in no trouble (T38)."""
    log.append("old")
    follower = make_follower(read_from_head=False)
    with make_descriptors(1):
        follower.start()
        assert "Too many open files" in follower.trouble
    follower.follow()
    log.append("1")
    follower.follow()

    assert follower.lines == ["1"]
    assert follower.trouble == ""
    assert len(said()) == 2


def test_a_file_that_gives_errors(log, follower, said, end):
    """A file that can be opened and not read stops nothing: it is said, and whatever comes in its place is read (T35)."""
    log.append("1")
    follower.start()
    follower.follow()
    log.rotate()
    log.path.symlink_to("/proc/self/mem")
    follower.finish()
    assert "Input/output error" in follower.trouble
    getattr(follower, f"{end}_and_start")()
    follower.follow()
    assert "Input/output error" in follower.trouble
    log.path.unlink()
    log.append("2")
    follower.finish()

    assert follower.lines == ["1", "2"]
    assert len(said()) == 3  # in each life that it is so, and that it is over


def test_a_follower_that_knows_nothing(directory, said):
    """A log that was never there has no position to wait for: it is read from 0 when it comes (T19)."""
    log = Log(directory / "app.log")
    follower = Follower(log.path, directory / "state", read_from_head=False)
    follower.start()
    follower.follow()
    follower.kill_and_start()
    assert follower.tail.generations == []
    log.append("1")
    follower.follow()
    follower.close()

    assert follower.lines == ["1"]
    assert said() == []
