"""What a master holds for itself: its pid file and the directory of the positions."""

from __future__ import annotations

import errno
import os

import pytest

from fluentlite.config.model import MasterSettings
from fluentlite.errors import FluentliteError
from fluentlite.master import pidfile
from fluentlite.master.pidfile import PidFileError
from fluentlite.master.places import Places


@pytest.fixture
def places(tmp_path):
    """A way to take the places of one of the run directories, all with the same state_dir."""
    for name in ("run", "other", "state"):
        (tmp_path / name).mkdir()
    taken = []

    def take(run_dir):
        master = MasterSettings(run_dir=str(tmp_path / run_dir), state_dir=str(tmp_path / "state"))
        taken.append(Places(master, None))
        return taken[-1]

    yield take
    for one in taken:
        one.remove()


def fill(monkeypatch, descriptor):
    """Have nothing go to *descriptor*, as on a full disk."""

    def pwrite(fd, data, offset, *, _real=os.pwrite):
        if fd == descriptor:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return _real(fd, data, offset)

    monkeypatch.setattr(pidfile.os, "pwrite", pwrite)


def test_a_full_disk_of_state_dir_keeps_nobody_from_starting(places, monkeypatch, tmp_path):
    """Positions need no room, and the lock of state_dir holds without a pid: a crash on a full disk is no outage (T49)."""
    mine = places("run")
    fill(monkeypatch, mine.descriptors[1])
    mine.write(os.getpid())

    assert (tmp_path / "run/fluentlite.pid").read_text() == f"{os.getpid()}\n"
    with pytest.raises(FluentliteError, match="is in use by another fluentlite"):
        places("other")


def test_a_full_disk_of_run_dir_is_told(places, monkeypatch):
    """Without its pid file a master could not be found by anybody: it does not start."""
    mine = places("run")
    fill(monkeypatch, mine.descriptors[0])
    with pytest.raises(PidFileError, match=r"the pid cannot be written \(No space left on device\)"):
        mine.write(os.getpid())
