"""The file of a letter, opened by root in a directory that belongs to somebody else."""

from __future__ import annotations

import fcntl
import os

import pytest

from fluentlite.errors import LetterError
from fluentlite.letter_file import LetterFile


@pytest.fixture
def real(tmp_path):
    made = tmp_path / "real.letter"
    made.write_bytes(b"content")
    made.chmod(0o600)
    return made


def test_read_and_removed(real):
    """What is ours is read, and removed for good."""
    with LetterFile(str(real), {os.geteuid()}) as file:
        assert file.read() == b"content"
        file.remove()
    assert not real.exists()


def test_in_the_current_directory(real, monkeypatch):
    """A name without a directory is enough."""
    monkeypatch.chdir(real.parent)
    with LetterFile(real.name, {os.geteuid()}) as file:
        file.remove()
    assert not real.exists()


PLANTED = {
    "link": "Too many levels of symbolic links",
    "hard link": "something that leads to another one",
    "linked directory": "Not a directory",
    "fifo": "something that leads to another one",
    "directory": "something that leads to another one",
    "missing": "No such file",
    "open to others": "others may write to it",
}


@pytest.mark.parametrize("kind", PLANTED)
def test_planted_letters(real, tmp_path, kind):
    """No link is followed, nothing is waited for, and what others can write is not believed (S36)."""
    letter = tmp_path / "planted.letter"
    match kind:
        case "link":
            letter.symlink_to(real)
        case "hard link":
            letter.hardlink_to(real)
        case "linked directory":
            (tmp_path / "link").symlink_to(tmp_path)
            letter = tmp_path / "link/real.letter"
        case "fifo":
            os.mkfifo(letter)
        case "directory":
            letter.mkdir()
        case "open to others":
            letter.write_bytes(b"content")
            letter.chmod(0o666)
    with pytest.raises(LetterError, match=PLANTED[kind]):
        LetterFile(str(letter), {os.geteuid()})


def test_replaced_while_it_was_sent(real, tmp_path):
    """What lies under its name by now is another letter, and stays (S36)."""
    with LetterFile(str(real), {os.geteuid()}) as file:
        other = tmp_path / "other"
        other.write_bytes(b"other")
        other.rename(real)
        file.remove()
    assert real.read_bytes() == b"other"


def test_locked(real):
    """One that is being sent is opened by nobody else; afterwards it can be (S36)."""
    with LetterFile(str(real), {os.geteuid()}), pytest.raises(LetterError, match="another replay"):
        LetterFile(str(real), {os.geteuid()})
    with LetterFile(str(real), {os.geteuid()}):
        pass


def test_sent_by_another_one_meanwhile(real, monkeypatch):
    """One that was removed between its opening and its lock is not sent once more (S36)."""
    flock = fcntl.flock

    def lock_too_late(fd, how):
        real.unlink()
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", lock_too_late)
    with pytest.raises(LetterError, match="another replay has sent it"):
        LetterFile(str(real), {os.geteuid()})
