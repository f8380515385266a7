"""Where the control socket is made, what it replaces and what it never touches."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat

import pytest
from asking import as_stranger

from fluentlite.errors import StateError
from fluentlite.master import listener
from fluentlite.master.listener import Listener


@pytest.fixture
def umask():
    """Set the umask; the old one comes back."""
    old = os.umask(0o022)
    yield os.umask
    os.umask(old)


@pytest.mark.parametrize("mask", [0, 0o022, 0o077, 0o777])
def test_everybody_may_connect_whatever_the_umask(socket_file, umask, mask):
    """The socket's mode is 0666 for every umask, and the umask is as before afterwards (P21)."""
    umask(mask)
    made = Listener(socket_file)

    assert stat.S_IMODE(os.stat(socket_file).st_mode) == 0o666
    assert umask(0o022) == mask
    made.close()


def test_the_umask_comes_back_after_an_error(open_dir, umask):
    """Also when the socket cannot be made (P21)."""
    umask(0o027)
    with pytest.raises(StateError):
        Listener(os.path.join(open_dir, "missing", "fluentlite.sock"))

    assert umask(0o022) == 0o027


def test_the_socket_of_the_dead_is_replaced(socket_file):
    """A socket that nobody listens on is no obstacle."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(socket_file)
    made = Listener(socket_file)

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(socket_file)
    made.close()


def test_the_socket_of_the_killed_is_replaced_at_once(socket_file):
    """A master killed by SIGKILL leaves its socket, and the next one starts in the same moment."""
    for _ in range(5):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                Listener(socket_file)
                os.write(writer, b"x")
                signal.pause()
            finally:
                os._exit(1)
        assert os.read(reader, 1) == b"x"
        os.kill(pid, signal.SIGKILL)
        made = Listener(socket_file)
        os.waitpid(pid, 0)
        assert os.path.exists(socket_file)
        made.close()
        os.close(reader)
        os.close(writer)


def test_the_socket_of_the_living_is_not_taken(socket_file, monkeypatch):
    """Where somebody listens, another master does not start, and says how to find who it is (P04)."""
    monkeypatch.setattr(listener, "_PATIENCE", 0.05)
    living = Listener(socket_file)
    with pytest.raises(StateError, match=r"somebody listens on this control socket already.*ss -xlp"):
        Listener(socket_file)

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(socket_file)
    living.close()


def test_a_living_master_with_a_full_queue_is_alive(socket_file, monkeypatch):
    """A master too busy to accept anybody keeps its place (P04)."""
    monkeypatch.setattr(listener, "_PATIENCE", 0.05)
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(socket_file)
        busy.listen(0)
        waiting.connect(socket_file)
        with pytest.raises(StateError, match="somebody listens"):
            Listener(socket_file)


@pytest.mark.parametrize("target", ["victim", "missing", "fluentlite.sock"])
def test_a_symbolic_link_is_refused(open_dir, socket_file, target):
    """A link in the socket's place is refused and left, wherever it leads; so is what it leads to."""
    victim = os.path.join(open_dir, "victim")
    with open(victim, "w") as file:
        file.write("precious")
    os.symlink(os.path.join(open_dir, target), socket_file)
    with pytest.raises(StateError, match=r"is a symbolic link, and not ours\. Look who put it there"):
        Listener(socket_file)

    assert os.path.islink(socket_file)
    assert not os.path.exists(os.path.join(open_dir, "missing"))
    with open(victim) as file:
        assert file.read() == "precious"


def test_a_link_to_a_socket_is_refused(open_dir, socket_file):
    """A link is a link, also if a socket is behind it."""
    other = Listener(os.path.join(open_dir, "other"))
    os.symlink(os.path.join(open_dir, "other"), socket_file)
    with pytest.raises(StateError, match="symbolic link"):
        Listener(socket_file)
    other.close()


@pytest.mark.parametrize("make", [lambda path: open(path, "w").close(), os.mkdir, os.mkfifo])
def test_what_is_no_socket_is_refused(socket_file, make):
    """A file, a directory or a pipe in the socket's place is refused and left."""
    make(socket_file)
    before = os.lstat(socket_file)
    with pytest.raises(StateError, match=r"is no socket, and not ours.*remove it, and start again"):
        Listener(socket_file)

    assert os.lstat(socket_file) == before


def test_a_directory_that_is_missing_is_said(open_dir):
    """The error names the socket, the reason and the remedy."""
    with pytest.raises(
        StateError, match=r"fluentlite\.sock: .*No such file or directory.*Make run_dir a directory"
    ):
        Listener(os.path.join(open_dir, "missing", "fluentlite.sock"))


def test_a_directory_that_may_not_be_written_is_said(open_dir, socket_file):
    """Who may not write run_dir is told so."""
    os.chmod(open_dir, 0o555)

    def attempt():
        try:
            Listener(socket_file)
        except StateError as exc:
            return str(exc)

    problem = as_stranger(attempt)
    os.chmod(open_dir, 0o755)

    assert "Permission denied" in problem
    assert "this user may write" in problem


def test_a_path_that_is_too_long_is_said(tmp_path):
    """The kernel takes 107 bytes; the remedy is a shorter directory."""
    directory = tmp_path / ("d" * 108)
    directory.mkdir()
    with pytest.raises(StateError, match=r"too long.*Choose a shorter run_dir"):
        Listener(str(directory / "fluentlite.sock"))


def test_close_removes_our_socket(socket_file):
    """After ``close`` the place is empty."""
    Listener(socket_file).close()

    assert not os.path.lexists(socket_file)


def test_close_leaves_the_socket_of_a_successor(socket_file):
    """What another master has put in our place stays."""
    ours = Listener(socket_file)
    os.rename(socket_file, socket_file + ".moved")
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(socket_file)
        ours.close()

        assert os.path.exists(socket_file)


def test_close_bears_that_the_socket_is_gone(open_dir, socket_file):
    """Somebody may have removed the socket, or its whole directory."""
    ours = Listener(socket_file)
    os.unlink(socket_file)
    ours.close()

    assert os.listdir(open_dir) == []


def test_it_cannot_be_seen_for_a_moment(socket_file, monkeypatch):
    """An error of the disk is no proof that somebody removed the socket: it is not made again for that."""
    made = Listener(socket_file)
    with monkeypatch.context() as patched:
        patched.setattr(os, "lstat", refuse_to_look)
        assert made.is_there()
    assert made.is_there()
    made.close()
    assert not os.path.lexists(socket_file)


def test_it_cannot_be_seen_after_it_was_made(socket_file, monkeypatch):
    """A socket that could not be told from somebody else's is not used; it is no obstacle to the next one."""
    looks = []

    def look(path):
        looks.append(path)
        if len(looks) == 1:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        refuse_to_look(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "lstat", look)
        with pytest.raises(StateError, match="the control socket cannot be made"):
            Listener(socket_file)
    made = Listener(socket_file)
    assert made.is_there()
    made.close()


def refuse_to_look(path):
    raise OSError(errno.EIO, os.strerror(errno.EIO), path)
