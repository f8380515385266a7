"""The checkpoint on disk: torn, lost, foreign, locked, removed, on a full disk. Doubles at worst, never a loss."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from following import Follower, Log, log_settings, numbered, slurp
from slots import LATER, slot_of

from fluentlite import report
from fluentlite.core.lines import MARKER_SIZE
from fluentlite.core.position import MOST, SLOT_SIZE, SLOTS, Marker, Point, State, decode_slot, split_slots
from fluentlite.core.rotation import Identity
from fluentlite.errors import LockedError, StateError
from fluentlite.report import Condition
from fluentlite.worker import checkpoint as checkpoint_module
from fluentlite.worker import waiting
from fluentlite.worker.checkpoint import Checkpoint, checkpoint_path
from fluentlite.worker.opening import open_checkpoint
from fluentlite.worker.positions import record
from fluentlite.worker.waiting import Patience, ToldToStopError

PATH = "/var/log/app.log"


@pytest.fixture
def state_dir(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def make_checkpoint(state_dir):
    """Open the checkpoint of a log; those that are still open are closed at the end."""
    made = []

    def make(path=PATH):
        made.append(Checkpoint(str(state_dir), path))
        return made[-1]

    yield make
    for checkpoint in made:
        with contextlib.suppress(OSError):
            checkpoint.close()


@contextlib.contextmanager
def disk_full(size=0):
    """
    No file of this process may become larger than *size* bytes, or be written to beyond it.

    For whoever writes a checkpoint that is a full disk, with another number of the error, and needs no privilege.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def state(offset, path=PATH):
    """Some state, told apart by a number."""
    return State(path, True, (Point(Identity(1, 2), 0, offset, Marker.of(b""), offset, 0),))


def slots_of(checkpoint):
    return split_slots(slurp(checkpoint.path))


def numbers_of(checkpoint):
    """The sequence numbers of the slots that are whole."""
    return [number for number in map(number_of, slots_of(checkpoint)) if number >= 0]


# -- the file -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0, 0o077])
def test_a_new_checkpoint(make_checkpoint, state_dir, umask):
    """The file is ours alone whatever the umask, and all of its blocks are written, so that later writes need no space (T49, P21)."""
    before = os.umask(umask)
    try:
        checkpoint = make_checkpoint()
    finally:
        os.umask(before)
    facts = checkpoint.path.stat()

    assert (facts.st_mode & 0o7777, facts.st_size) == (0o600, SLOTS * SLOT_SIZE)
    assert facts.st_blocks * 512 >= facts.st_size
    assert state_dir.stat().st_mode & 0o027 == 0
    assert [path.name for path in state_dir.iterdir()] == [checkpoint.path.name]
    assert checkpoint.state == State(PATH)
    assert not checkpoint.is_broken


@pytest.mark.parametrize("is_linked", [False, True], ids=["before-its-place", "before-its-draft-was-gone"])
def test_killed_while_it_was_made(make_checkpoint, state_dir, is_linked):
    """What a killed worker has left half-made is removed by the next one; what a living one makes is left to it."""
    first = make_checkpoint()
    os.close(first._fd)
    stem = str(first.path).removesuffix(".checkpoint")
    left, living, other = (Path(f"{stem}.new-{word}") for word in (pid_of_the_dead(), os.getppid(), "txt"))
    first.path.rename(left)
    if is_linked:
        os.link(left, first.path)
    living.write_bytes(b"")
    other.write_bytes(b"")
    make_checkpoint()

    assert sorted(state_dir.iterdir()) == sorted([first.path, living, other])


def pid_of_the_dead():
    """The pid of a process that is gone."""
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def test_writes_go_to_the_slots_in_turn(make_checkpoint):
    """Neither the state before the last one is touched by a write, nor the one that is known to be synced (T48)."""
    checkpoint = make_checkpoint()
    checkpoint.write(state(0))  # the first one is synced at once
    for number in range(2, 20):
        checkpoint.write(state(number))
        assert {1, number - 1, number} <= set(numbers_of(checkpoint))

    assert checkpoint.path.stat().st_size == SLOTS * SLOT_SIZE


def test_a_file_of_two_slots(make_checkpoint, said):
    """A checkpoint of a version that had two slots is understood, grows, and goes on (C05)."""
    checkpoint = make_checkpoint()
    checkpoint.write(state(1))
    checkpoint.close()
    os.truncate(checkpoint.path, 2 * SLOT_SIZE)
    later = make_checkpoint()
    assert later.state == state(1)
    for number in range(2, 8):
        later.write(state(number))
        assert max(numbers_of(later)) == number
    later.close()

    assert make_checkpoint().state == state(7)
    assert later.path.stat().st_size > (SLOTS - 1) * SLOT_SIZE
    assert said() == []


def test_what_was_written_is_read(make_checkpoint):
    """A later start finds the last state, however the one before ended (T46)."""
    first = make_checkpoint()
    written = State(PATH, True)
    first.write(written)
    os.close(first._fd)  # as after SIGKILL
    second = make_checkpoint()

    assert second.state == written
    assert not second.is_broken


def test_the_directory_is_made(make_checkpoint, state_dir):
    """A state_dir that is missing is made, with its parents."""
    deep = state_dir / "a" / "b"
    Checkpoint(str(deep), PATH).close()

    assert len(list(deep.iterdir())) == 1


def test_checkpoints_do_not_touch_each_other(make_checkpoint, state_dir):
    """Each log has a file of its own, and nobody cleans up what is not his (T50)."""
    paths = [f"/var/log/{number}/app.log" for number in range(20)]
    foreign = state_dir / "notes.txt"
    for path in paths:
        checkpoint = make_checkpoint(path)
        foreign.write_text("mine")
        checkpoint.write(State(path, True))

    assert all(checkpoint_path(str(state_dir), path).exists() for path in paths)
    assert len(list(state_dir.iterdir())) == 21
    assert foreign.read_text() == "mine"


def test_sync_is_due_once_a_second(make_checkpoint):
    """What was written is synced within a second, in a thread, and then nothing is due (T47, T48)."""
    checkpoint = make_checkpoint()
    checkpoint.write(state(0))
    assert checkpoint.deadline == float("inf"), "the first one is synced before anything is read"
    checkpoint.write(state(1))
    now = checkpoint.deadline
    assert now <= time.monotonic() + 1.0
    checkpoint.sync_if_due(now - 0.01)
    assert checkpoint.deadline == now
    checkpoint.sync_if_due(now)
    assert checkpoint.deadline == float("inf")
    checkpoint.write(state(2))
    assert now < checkpoint.deadline <= now + 1.0


@pytest.fixture
def failing_syncs(monkeypatch):
    """Append an errno for each sync that is to fail."""
    errors, real = [], os.fdatasync

    def fdatasync(fd):
        if errors:
            raise OSError(errors[0], os.strerror(errors.pop(0)))
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    return errors


def until_synced(checkpoint):
    """Let it sync, once a second, until it has nothing to do."""
    while checkpoint.deadline < float("inf"):
        checkpoint.sync_if_due(checkpoint.deadline)
        assert checkpoint._syncer.wait(10)


@pytest.mark.parametrize("number", [errno.EIO, errno.EDQUOT, errno.ENOSPC, errno.ESTALE])
def test_a_sync_that_fails(make_checkpoint, said, failing_syncs, number):
    """It is said once; the state is written again, to another slot, and synced: of the first one the kernel may have let go (T48)."""
    checkpoint = make_checkpoint()
    checkpoint.write(state(1))
    checkpoint.write(state(2))
    failing_syncs += [number] * 3
    checkpoint.sync_if_due(checkpoint.deadline)
    assert checkpoint._syncer.wait(10)
    assert os.strerror(number) in checkpoint.trouble
    until_synced(checkpoint)

    assert [decode_slot(slot)[1] for slot in slots_of(checkpoint)].count(state(2)) >= 2
    assert checkpoint.trouble == ""
    assert [message.endswith("can be written again") for message in said()] == [False, True]
    assert f"the checkpoint cannot be written ({os.strerror(number)})" in said()[0]


def test_the_first_position_cannot_be_synced(make_checkpoint, said, failing_syncs):
    """Whoever relies on it is told, with the reason (T48, T49)."""
    checkpoint = make_checkpoint()
    failing_syncs += [errno.EIO] * 2
    with pytest.raises(
        StateError, match=r"the first position cannot be synced \(Input/output error\); mend the disk"
    ):
        record(checkpoint, state(1))
    until_synced(checkpoint)
    record(checkpoint, state(2))

    assert len(said()) == 2


def test_a_disk_that_hangs_at_the_start(make_checkpoint, said, monkeypatch):
    """It costs a start some seconds, and no more than that (T48)."""
    monkeypatch.setattr(checkpoint_module, "SYNC_PATIENCE", 0.05)
    make_checkpoint().close()
    go_on = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda _fd: go_on.wait(10) and None)
    checkpoint = make_checkpoint()
    with pytest.raises(StateError, match=r"cannot be synced \(the disk has not taken it within 0.05 s\)"):
        record(checkpoint, state(1))
    assert checkpoint.state == state(1), "it is written, and delivery could go on"
    go_on.set()
    until_synced(checkpoint)
    record(checkpoint, state(2))


# -- damage ---------------------------------------------------------------------------------------------

DAMAGES = {
    "nuls": lambda slot: bytes(len(slot)),
    "half": lambda slot: slot[: len(slot) // 2],
    "torn": lambda slot: slot[:30] + bytes(len(slot) - 30),
    "last byte": lambda slot: slot[:-1] + b"!",
    "text": lambda slot: b"what is this file? can it go?\n"[: len(slot)],
    "ones": lambda slot: b"\xff" * len(slot),
}


@pytest.fixture(params=DAMAGES.values(), ids=DAMAGES.keys())
def damage(request):
    return request.param


def damage_slot(path, index, damage):
    """Damage the content of one slot, as a power loss or a dying disk does it."""
    slots = split_slots(slurp(path))
    content = slots[index].rstrip(b"\0")
    slots[index] = damage(content).ljust(SLOT_SIZE, b"\0")
    path.write_bytes(b"".join(slots))


def newer_slot(checkpoint):
    """Which slot was written last."""
    return max(range(SLOTS), key=lambda index: number_of(slots_of(checkpoint)[index]))


def number_of(slot):
    """The sequence number of a slot, -1 if it is none."""
    try:
        return decode_slot(slot)[0]
    except ValueError:
        return -1


def test_the_last_write_was_torn(log, follower, said, damage):
    """The slot before it is used: what it did not know of yet arrives twice, nothing is lost, and it is said (T20, T48)."""
    log.append("one")
    follower.start()
    follower.follow()
    log.append("two")
    follower.look()
    follower.read()
    follower.deliver()
    follower.kill()
    damage_slot(follower.checkpoint.path, newer_slot(follower.checkpoint), damage)
    log.append("three")
    follower.start()
    follower.follow()

    assert follower.lines == ["one", "two", "two", "three"]
    assert len(said()) == 1
    assert f"{follower.checkpoint.path}: a slot was not usable" in said()[0]


def test_the_slot_before_was_torn(log, follower, said, damage):
    """The last one is used: nothing is lost or doubled (T48)."""
    log.append("one")
    follower.start()
    follower.follow()
    follower.kill()
    damage_slot(follower.checkpoint.path, (newer_slot(follower.checkpoint) - 1) % SLOTS, damage)
    log.append("two")
    follower.start()
    follower.follow()

    assert follower.lines == ["one", "two"]
    assert len(said()) == 1


def test_all_slots_are_gone(log, make_follower, said, damage):
    """That is no first start: it is kept aside, said, and the log is read from its beginning (T20, T48)."""
    log.append("one")
    follower = make_follower(read_from_head=False).start()
    log.append("two")
    follower.follow()
    follower.kill()
    path = follower.checkpoint.path
    for index in range(SLOTS):
        damage_slot(path, index, damage)
    broken = slurp(path)
    log.append("three")
    follower.start()
    follower.follow()

    assert follower.lines == ["two", "one", "two", "three"]
    (kept,) = path.parent.glob("*.broken-*")
    assert slurp(kept) == broken
    (message,) = said("ERROR")
    assert message.startswith(f"{path}: the checkpoint cannot be used (")
    assert kept.name in message and str(log.path) in message
    follower.kill_and_start()
    follower.follow()
    assert follower.lines == ["two", "one", "two", "three"], "the new checkpoint is one"


@pytest.fixture
def changed_meanwhile(log, make_follower):
    """A follower that has delivered a line and goes on with the next one, after *change* has had its checkpoint."""

    def follow(change, *words):
        log.append("one")
        follower = make_follower().start()
        follower.follow()
        follower.stop()
        change(follower.checkpoint.path, *words)
        log.append("two")
        follower.start()
        follower.follow()
        return follower

    return follow


ABSURD = {
    "offset-beyond-any-kernel": {3: 1 << 70},
    "marker-of-a-terabyte": {3: 1 << 40, 4: 1 << 40},
    "device-of-65-bits": {0: 1 << 64},
    "negative-inode": {1: -1},
    "digest-of-20-kb": {5: "0" * 20_000},
}
FAR = {
    "last-offset-of-all": {3: MOST},
    "last-of-everything": {2: 1 << 32, 3: MOST, 4: MARKER_SIZE, 6: MOST, 7: MOST},
    "offset-0-with-a-marker": {3: 0, 4: MARKER_SIZE},
}


def write_whole_slots(path, change):
    """Change the points of all slots, and let these be whole: a bug, a hand, or a disk with bad luck."""
    data, slots = slurp(path), []
    for number, slot in enumerate(split_slots(data), 1):
        length = int.from_bytes(slot[16:20], "big")
        document = json.loads(slot[24 : 24 + length]) if length else {"points": []}
        if not document["points"]:  # from before the first line; it would be believed instead
            slots.append(bytes(SLOT_SIZE))
            continue
        for row in (*document["points"], *document["finished"]):
            for index, value in change.items():
                row[index] = value
        slots.append(slot_of(document, sequence=number).ljust(SLOT_SIZE, b"\0"))
    path.write_bytes(b"".join(slots))


@pytest.mark.parametrize("change", ABSURD.values(), ids=ABSURD)
def test_a_whole_checkpoint_that_cannot_be_true(changed_meanwhile, said, change):
    """Numbers that no worker can have written are damage like any other: kept aside, said, nothing lost (T48)."""
    follower = changed_meanwhile(write_whole_slots, change)

    assert follower.lines == ["one", "one", "two"]
    (message,) = said("ERROR")
    assert "its content is not understood" in message
    assert len(message) < 1000


@pytest.mark.parametrize("change", FAR.values(), ids=FAR)
def test_a_checkpoint_that_speaks_of_what_is_not_there(changed_meanwhile, said, change):
    """The largest numbers that there can be neither end nor stop a worker: the file is another one, and is read (T48)."""
    follower = changed_meanwhile(write_whole_slots, change)
    follower.kill_and_start()
    follower.follow()

    assert [*dict.fromkeys(follower.lines)] == ["one", "two"]
    expected = ("is gone: at least 4 bytes behind", "a slot was not usable (it is empty)")
    assert all(any(words in message for words in expected) for message in said())


@pytest.mark.parametrize(
    "size", [0, 1, 20, 100, SLOT_SIZE + 1, SLOT_SIZE, 2 * SLOT_SIZE + 20, 3 * SLOT_SIZE, 4 * SLOT_SIZE - 1]
)
def test_the_file_was_cut_short(changed_meanwhile, said, size):
    """Cut anywhere (0 bytes after a power loss) it is a slot, or broken; no line is lost (T48)."""
    follower = changed_meanwhile(os.truncate, size)

    assert [*dict.fromkeys(follower.lines)] == ["one", "two"]
    assert len(said()) == (0 if size and size % SLOT_SIZE in (0, SLOT_SIZE - 1) else 1), (
        "what is torn is told"
    )


def test_old_files_beside_a_lost_checkpoint(log, make_follower, said):
    """With a lost checkpoint not all that ever was rotated is read again: only what was written since (T20)."""
    for number in range(3):
        log.append(f"old {number}")
        log.rotate()
    log.append("one")
    follower = make_follower().start()
    follower.follow()
    follower.stop()
    written_ns = os.stat(log.path).st_mtime_ns + 1
    log.append("two")
    log.rotate()
    log.append("three")
    follower.checkpoint.path.write_bytes(b"")
    os.utime(follower.checkpoint.path, ns=(written_ns, written_ns))
    follower.start()
    follower.finish()

    assert follower.lines == ["one", "one", "two", "three"]
    assert "those written after the checkpoint are read as well" in said()[0]


def test_the_checkpoint_of_another_log(log, make_follower, said, state_dir):
    """A checkpoint that was copied or renamed to ours is not ours: kept aside, never taken for a position (T50)."""
    other = Log(log.path.with_name("other.log"))
    other.append(*numbered(1, 1000))
    log.append("one", "two")
    first = make_follower(other.path).start()
    first.follow()
    first.stop()
    first.checkpoint.path.rename(checkpoint_path(str(state_dir), str(log.path)))
    follower = make_follower(read_from_head=False).start()
    follower.follow()

    assert follower.lines == ["one", "two"]
    assert f"it belongs to '{other.path}'" in said()[0]
    assert len(list(state_dir.glob("*.broken-*"))) == 1


def test_a_later_version(make_checkpoint, said):
    """A checkpoint of a later version stops the worker and is not touched: whoever goes back decides (C05, T20)."""
    checkpoint = make_checkpoint()
    checkpoint.write(state(1))
    checkpoint.close()
    checkpoint.path.write_bytes(LATER.ljust(SLOTS * SLOT_SIZE, b"\0"))
    before = slurp(checkpoint.path)
    with pytest.raises(StateError, match=r"written by a later version of fluentlite.*use that version"):
        make_checkpoint()

    assert slurp(checkpoint.path) == before
    assert said() == []


def test_removed_while_in_use(log, follower, said):
    """A checkpoint that somebody removes is written anew, so that the next start finds a position (T50)."""
    log.append("one")
    follower.start()
    follower.follow()
    follower.checkpoint.path.unlink()
    log.append("two")
    follower.follow()
    follower.checkpoint.sync_if_due(time.monotonic() + 10)
    follower.kill()
    log.append("three")
    follower.start()
    follower.follow()

    assert follower.lines == ["one", "two", "three"]
    assert len(said()) == 1
    assert "was removed while in use; it is written anew" in said()[0]


def test_removed_with_its_directory(log, follower, said):
    """The same with the whole directory, before a clean stop (T50)."""
    log.append("one")
    follower.start()
    follower.follow()
    follower.checkpoint.path.unlink()
    follower.checkpoint.path.parent.rmdir()
    follower.stop_and_start()
    follower.follow()

    assert follower.lines == ["one"]
    assert len(said()) == 1


# -- full disks and closed directories ------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 100, SLOT_SIZE + 100])
def test_disk_full_while_following(log, follower, said, size):
    """Shipping goes on with positions in memory; it is said once; the first write that succeeds repairs it (T49)."""
    log.append("0")
    follower.start()
    follower.follow()
    with disk_full(size):
        for number in range(1, 20):
            with contextlib.suppress(OSError):
                log_beyond_the_limit(log, str(number))
            follower.follow()
    assert follower.lines == [str(number) for number in range(20)]
    log.append("20")
    follower.follow()
    follower.kill_and_start()
    follower.follow()

    assert follower.lines == [str(number) for number in range(21)]
    assert len(said()) == 2
    assert f"{follower.checkpoint.path}: the checkpoint cannot be written (" in said()[0]
    assert "free space or mend the directory" in said()[0]
    assert said()[1] == f"{follower.checkpoint.path}: the checkpoint can be written again"


def log_beyond_the_limit(log, line):
    """Append as another process would, which has space on its disk."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    soft = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    log.append(line)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_disk_full_leaves_the_last_whole_state(make_checkpoint, said):
    """However many writes fail, and however far each of them got, the last whole state stays readable (T48, T49)."""
    checkpoint = make_checkpoint()
    for number in range(3):
        checkpoint.write(state(number))
    for size in (3 * SLOT_SIZE + 10, SLOT_SIZE, SLOT_SIZE + 10, 10, 0):
        with disk_full(size):
            for number in range(3, 8):
                checkpoint.write(state(number))
        assert max(numbers_of(checkpoint)) >= 2
    os.close(checkpoint._fd)

    assert make_checkpoint().state in map(state, range(2, 8))
    assert said()


def test_what_could_not_be_written_is_written_later(make_checkpoint, said):
    """A state that could not be written is tried again each second, also if nothing else changes (T49)."""
    checkpoint = make_checkpoint()
    with disk_full():
        checkpoint.write(state(1))
        assert checkpoint.deadline < float("inf")
        checkpoint.sync_if_due(checkpoint.deadline)
    assert numbers_of(checkpoint) == [0]
    checkpoint.sync_if_due(checkpoint.deadline)

    assert decode_slot(slots_of(checkpoint)[1]) == (1, state(1))
    assert [message.endswith("can be written again") for message in said()] == [False, True]


def test_written_at_the_stop(make_checkpoint, said):
    """The last chance is the stop (T49)."""
    checkpoint = make_checkpoint()
    with disk_full():
        checkpoint.write(state(1))
    checkpoint.close()

    assert make_checkpoint().state == state(1)
    assert said()


@pytest.mark.parametrize("size", [0, 10, 4096, SLOT_SIZE, SLOTS * SLOT_SIZE - 1])
def test_disk_full_at_the_first_start(make_checkpoint, state_dir, size):
    """Without space for a checkpoint nothing is started, and no half of one is left behind (C06, T49)."""
    with disk_full(size), pytest.raises(StateError, match=r"cannot be created \(.*free space on its disk"):
        make_checkpoint()

    assert list(state_dir.iterdir()) == []


def test_closed_directory(as_user):
    """A state_dir that may not be written to is an error that names it and says what to do, before any line is read (C06)."""
    state_dir = as_user / "state"
    state_dir.mkdir(mode=0o500)
    with pytest.raises(StateError, match=r"state/app.log-\w+.checkpoint: the checkpoint cannot be created \(Permission denied\).*make state_dir writable"):  # fmt: skip
        Checkpoint(str(state_dir), PATH)


def test_no_directory_can_be_made(as_user):
    """So is one that cannot be made (C06)."""
    (as_user / "file").write_text("")
    with pytest.raises(StateError, match=r"state_dir '.*file/state' cannot be created \(Not a directory\)"):
        Checkpoint(str(as_user / "file" / "state"), PATH)


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o200])
def test_closed_checkpoint(as_user, mode):
    """A checkpoint that may not be read and written, perhaps of another user, is an error, not a first start (T20, C06)."""
    Checkpoint(str(as_user), PATH).close()
    checkpoint_path(str(as_user), PATH).chmod(mode)
    with pytest.raises(StateError, match=r"the checkpoint cannot be opened \(Permission denied\)"):
        Checkpoint(str(as_user), PATH)


def test_a_link_in_the_place_of_the_checkpoint(make_checkpoint, state_dir, tmp_path):
    """A link in its place is not followed: nobody makes us write elsewhere."""
    state_dir.mkdir()
    target = tmp_path / "target"
    target.write_text("precious")
    checkpoint_path(str(state_dir), PATH).symlink_to(target)
    with pytest.raises(StateError, match="the checkpoint cannot be opened"):
        make_checkpoint()

    assert target.read_text() == "precious"


def test_the_directory_closes_while_following(as_user, said):
    """A directory that is closed later disturbs nobody who has the file open (T49)."""
    log = Log(as_user / "app.log")
    follower = Follower(log.path, as_user / "state")
    log.append("one")
    follower.start()
    follower.follow()
    (as_user / "state").chmod(0)
    log.append("two")
    follower.follow()
    (as_user / "state").chmod(0o700)
    follower.kill_and_start()
    log.append("three")
    follower.follow()
    follower.close()

    assert follower.lines == ["one", "two", "three"]
    assert said() == []


# -- the lock -------------------------------------------------------------------------------------------

HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(state_dir):
    """Another process that holds the lock until its standard input is closed."""
    Checkpoint(str(state_dir), PATH).close()
    command = [sys.executable, "-c", HOLDER, checkpoint_path(str(state_dir), PATH)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"locked\n"
        yield process
        process.kill()


def wait_for_checkpoint(state_dir, inbox, lifeline=None, tell=lambda _reason: None):
    """As a worker opens it."""
    return open_checkpoint(log_settings(PATH), str(state_dir), Patience(inbox, lifeline, tell), None)


def test_locked_by_another_process(make_checkpoint, holder):
    """Two readers of one log cannot be: the second says who is in its way, and touches nothing (P02)."""
    before = slurp(holder.args[3])
    with pytest.raises(
        LockedError,
        match=rf"another process follows '{PATH}' with this state_dir; stop it first \(pid {holder.pid}\)",
    ):
        make_checkpoint()

    assert slurp(holder.args[3]) == before


def test_locked_by_another_worker_of_ours(make_checkpoint):
    """Nor two in one process, so a lock is not given away by opening the file again (P02)."""
    make_checkpoint()
    with pytest.raises(LockedError):
        make_checkpoint()


def test_a_predecessor_that_is_finishing(state_dir, holder, inbox):
    """A start waits a while for the one before it to give the lock back (P02)."""
    threading.Timer(0.2, holder.stdin.close).start()
    begin, beats = time.monotonic(), []
    checkpoint = wait_for_checkpoint(state_dir, inbox, tell=beats.append)
    checkpoint.close()

    assert 0.1 < time.monotonic() - begin < 5
    assert len(beats) > 1, "it shows that it lives"


def test_a_predecessor_that_does_not_finish(state_dir, holder, inbox, monkeypatch):
    """... but not for ever, and then it says so (P02)."""
    monkeypatch.setattr(waiting, "LOCK_PATIENCE", 0.2)
    with pytest.raises(LockedError, match="another process follows"):
        wait_for_checkpoint(state_dir, inbox)


def test_told_to_stop_while_waiting(state_dir, holder, inbox):
    """Waiting for the lock it obeys TERM at once (P12)."""
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
    begin = time.monotonic()

    with pytest.raises(ToldToStopError):
        wait_for_checkpoint(state_dir, inbox)
    assert time.monotonic() - begin < 5


def test_the_master_ends_while_it_waits(state_dir, holder, inbox):
    """Waiting for the lock it stops when the lifeline ends (P02)."""
    reader, writer = os.pipe()
    threading.Timer(0.1, os.close, (writer,)).start()
    begin = time.monotonic()

    with pytest.raises(ToldToStopError):
        wait_for_checkpoint(state_dir, inbox, reader)
    assert time.monotonic() - begin < 5
    os.close(reader)


def test_the_lock_dies_with_its_process(state_dir, holder, make_checkpoint):
    """A lock left behind by a kill does not exist (P01, P02)."""
    holder.kill()
    holder.wait()

    assert make_checkpoint().state == State(PATH)


def test_the_lock_is_of_the_file_at_the_path(make_checkpoint, state_dir):
    """Who locks a file that was set aside in the meantime takes the one that is there now (P02)."""
    path = checkpoint_path(str(state_dir), PATH)
    make_checkpoint().close()
    old = path.open("r+b")
    fcntl.flock(old, fcntl.LOCK_EX)
    path.rename(path.with_suffix(".aside"))
    checkpoint = make_checkpoint()
    old.close()

    assert os.path.samestat(os.fstat(checkpoint._fd), path.stat())


# -- what is said ---------------------------------------------------------------------------------------


def test_a_condition_is_said_once(said):
    """A lasting condition costs one line, and one when it is over (O02, T49)."""
    condition = Condition(report_log())
    for _ in range(100):
        condition.raise_("it is broken")
    assert condition.message == "it is broken"
    condition.clear("it works again")
    condition.clear("it works again")

    assert said() == ["it is broken", "it works again"]
    assert condition.message == ""


def test_a_condition_is_said_again_after_a_while(said, monkeypatch):
    """... and one every now and then while it lasts, with how often it came up (O02, T49)."""
    monkeypatch.setattr(report, "REPEAT_INTERVAL", 0.02)
    condition = Condition(report_log())
    deadline = time.monotonic() + 5
    while len(said()) < 3 and time.monotonic() < deadline:
        condition.raise_("it is broken")

    assert said()[0] == "it is broken"
    assert said()[1].startswith("it is broken (and ")


def test_a_new_reason_is_said(said):
    """Another reason is news (O02)."""
    condition = Condition(report_log())
    condition.raise_("a")
    condition.raise_("b")
    condition.raise_("b")

    assert said() == ["a", "b"]


def test_a_condition_that_comes_and_goes(said):
    """One that comes and goes does not fill the log either (O02)."""
    condition = Condition(report_log())
    for _ in range(100):
        condition.raise_("it is broken")
        condition.clear("it works again")

    assert said() == ["it is broken", "it works again"]


def report_log():
    return logging.getLogger("test")
