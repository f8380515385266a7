"""The daemon with a state directory that is full, has no inode left or is read-only: refused at start, survived while it runs."""

import errno
import os
import signal

import pytest
from disks import ClosedDirectory, ReadOnlyMount, RealDisk
from following import numbered

if os.geteuid() == 0:
    KINDS = [(RealDisk, errno.ENOSPC), (RealDisk, errno.EDQUOT), (ReadOnlyMount, errno.EROFS)]
else:
    KINDS = [(ClosedDirectory, errno.EACCES)]


def named(kind):
    return f"{kind[0].__name__}-{errno.errorcode[kind[1]]}"


@pytest.fixture(params=KINDS, ids=named)
def disk(request, tmp_path):
    """A disk; ``fail`` without an argument makes it take nothing more."""
    kind, number = request.param
    (tmp_path / "disk").mkdir()
    made = kind(tmp_path / "disk")
    made.number, fail = number, made.fail
    made.fail = lambda: fail(number)
    yield made
    made.close()


def takes_names(disk):
    """Whether an empty file can be made on it: then it is the worker that finds no room."""
    return isinstance(disk, RealDisk) and disk.number == errno.ENOSPC


def test_at_the_start(make_daemon, arrivals, disk):
    """
    ``check`` and ``start`` name the directory that takes nothing, and no line is sent before its position has a place; one
    that takes names, but no bytes, is enough for logs whose positions have their place already: a start takes it (C06, T49).
    """
    daemon = make_daemon("a", state_dir=str(disk.directory), tail={"read_from_head": False})
    daemon.announce("the checkpoint cannot be created", "the checkpoint can be used now")
    daemon.append("a", "old")
    disk.fail()
    checked = daemon.run("check")
    assert (checked.status, str(disk.directory) in checked.out) == (1, True), checked
    started = daemon.run("start")
    if takes_names(disk):
        assert started.status == 0, started
        daemon.eventually(lambda: "free space on its disk" in (daemon.row("a")["last_error"] or ""))
    else:
        assert (started.status, str(disk.directory) in started.err) == (1, True), started
        assert daemon.processes() == []
    assert arrivals.chunks == []

    disk.mend()
    assert daemon.run("check").status == 0
    daemon.start()
    daemon.eventually(lambda: daemon.row("a")["state"] == "following")
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])
    assert arrivals.lines("a") == ["one"]


@pytest.mark.parametrize("disk", dict.fromkeys([KINDS[0], KINDS[-1]]), ids=named, indirect=True)
def test_while_it_runs(make_daemon, arrivals, disk):
    """
    What is followed goes on, over rotations and a kill; what is new is refused by ``reload``, or waits and says so in ``status``;
    when there is room it begins where its end was when it was first seen (C06, T49).
    """
    daemon = make_daemon("a", state_dir=str(disk.directory))
    daemon.announce(
        "the checkpoint cannot be created",
        "the checkpoint cannot be opened .Read-only",
        "the checkpoint can be used now",
        "was killed by SIGKILL",
        "reload refused",
    )
    daemon.start()
    daemon.append("a", *numbered(1, 10))
    arrivals.wait_for_lines("a", numbered(1, 10))
    disk.fail()
    daemon.append("a", *numbered(11, 20))
    arrivals.wait_for_lines("a", numbered(1, 20))
    os.rename(daemon.path("a"), f"{daemon.path('a')}.1")
    daemon.append("a", *numbered(21, 30))
    arrivals.wait_for_lines("a", numbered(1, 30))

    daemon.append("b", "before")
    daemon.config["log"].append({"tag": "b", "path": str(daemon.path("b")), "read_from_head": False})
    daemon.write_config()
    reload = daemon.run("reload")
    if takes_names(disk):
        daemon.eventually(lambda: "the checkpoint cannot be created" in daemon.row("b")["last_error"])
        assert daemon.run("status", "--strict").status == 2
    else:
        assert (reload.status, str(disk.directory) in reload.err) == (1, True)
    daemon.append("b", *numbered(1, 10))
    os.kill(daemon.worker("a"), signal.SIGKILL)
    daemon.append("a", *numbered(31, 40))
    if isinstance(disk, ReadOnlyMount):
        daemon.eventually(lambda: "Read-only" in (daemon.row("a")["last_error"] or ""))
    else:
        arrivals.wait_for_lines("a", numbered(1, 40))

    disk.mend()
    arrivals.wait_for_lines("a", numbered(1, 40), 30)
    if takes_names(disk):
        arrivals.wait_for_lines("b", numbered(1, 10), 30)
        daemon.eventually(lambda: not daemon.row("b")["last_error"])
    else:
        daemon.eventually(lambda: daemon.run("reload").status == 0)
    daemon.stop()
    assert arrivals.lines("a") == numbered(1, 40)
