"""The pid file where the kernel does not do what it should; all else is tested with whole daemons."""

import errno
import fcntl
import os

import pytest

from fluentlite.master.pidfile import PidFile, PidFileError


def test_it_cannot_be_seen_for_a_moment(tmp_path, monkeypatch):
    """An error of the disk is no proof that somebody removed the file: a master would take itself for another one."""
    path = tmp_path / "fluentlite.pid"
    file = PidFile(str(path))
    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", refuse_to_look)
        assert file.is_there()
    assert file.is_there()
    path.unlink()
    assert not file.is_there()
    file.close()


def refuse_to_look(path, **_how):
    raise OSError(errno.EIO, os.strerror(errno.EIO), path)


def test_there_are_no_locks(tmp_path, monkeypatch):
    """A file system or a kernel that has no lock for it is named, with what to do, and nothing stays open."""

    def refuse(_fd, _how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(
        PidFileError, match=r"fluentlite\.pid: the pid file cannot be locked \(No locks available\)"
    ):
        PidFile(str(tmp_path / "fluentlite.pid"))

    assert os.listdir("/proc/self/fd") == before
