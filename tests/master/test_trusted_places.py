"""Directories that others can write or replace, and what they plant there: refused, or made harmless."""

from __future__ import annotations

import errno
import os
import stat
import threading

import pytest
from strangers import (
    IS_ROOT,
    MALLORY,
    WORKER,
    directory,
    hard_link,
    open_directory,
    pipe,
    process_of,
    symbolic_link,
    workers_account,
)

from fluentlite.config.model import MasterSettings
from fluentlite.errors import ConfigError
from fluentlite.logfile import open_own_log
from fluentlite.master import pidfile
from fluentlite.master.account import rights_of
from fluentlite.master.directories import open_log, prepare
from fluentlite.master.pidfile import PidFile, PidFileError, holder
from fluentlite.trust import is_of, judge_log_dir, judge_run_dir, judge_state_dir

JUDGES = {
    "run_dir": judge_run_dir,
    "state_dir": lambda path: judge_state_dir(path, None),
    "log": lambda path: judge_log_dir(path, None),
}


@pytest.fixture
def place(tmp_path):
    """A directory in a directory, both ours alone."""
    path = tmp_path / "above" / "place"
    path.mkdir(parents=True)
    for made in (path, path.parent):
        made.chmod(0o755)
    return path


@pytest.fixture
def victim(tmp_path):
    """What nobody may lead us to write to, nor give away, nor lock."""
    path = tmp_path / "victim"
    path.write_text("precious\n")
    path.chmod(0o604)
    before = path.stat()
    yield path
    after = path.stat()
    assert path.read_text() == "precious\n"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


# -- directories ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "refused"),
    [
        (0o700, set()),
        (0o755, set()),
        (0o775, {"run_dir"}),
        (0o2775, {"run_dir"}),
        (0o777, {"run_dir", "state_dir", "log"}),
        (0o1777, {"run_dir", "state_dir"}),
    ],
    ids=["0700", "0755", "0775", "2775", "0777", "1777"],
)
def test_who_may_write_to_the_directory(place, mode, refused):
    """run_dir is ours alone; in state_dir and beside the log a group may write, and beside the log all if it is sticky."""
    os.chown(place, -1, MALLORY.pw_gid if IS_ROOT else os.getgid())
    place.chmod(mode)
    found = {name: judge(str(place)) for name, judge in JUDGES.items()}

    assert {name for name, problems in found.items() if problems} == refused
    for problem in [problem for problems in found.values() for problem in problems]:
        assert "can be written by " in problem
        assert f"{place}, or name another directory." in problem or "chmod +t" in problem


def test_the_group_of_root(place, monkeypatch):
    """Whoever is in the group of root may write to run_dir: in some containers all that there is belongs to it."""
    place.chmod(0o775)
    if not IS_ROOT:  # nor has who is not root anything of that group
        lstat = os.lstat
        monkeypatch.setattr(os, "lstat", lambda path: os.stat_result((*lstat(path)[:5], 0, *lstat(path)[6:])))

    assert judge_run_dir(str(place)) == []


@pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)
@pytest.mark.parametrize(
    ("mode", "is_refused"), [(0o755, False), (0o775, False), (0o1777, False), (0o777, True)]
)
def test_who_may_write_above_it(place, judge, mode, is_refused):
    """Where everybody can rename it, everybody can replace it; a group such as that of /var/log is trusted."""
    place.parent.chmod(mode)
    for path in (place, place / "not" / "there"):
        problems = judge(str(path))
        assert bool(problems) == is_refused
        assert all(f"the directory {place.parent} on the way to it can be written by everybody" in p for p in problems)  # fmt: skip


@pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)
@pytest.mark.parametrize("which", ["itself", "above", "a link"])
def test_whose_it_is(place, judge, which, give_away):
    """Nor may it, or what is above it, or a link on the way, belong to somebody who is neither root nor us."""
    path = place
    if which == "a link":
        path = place.parent / "link"
        path.symlink_to(place)
    given = {"itself": place, "above": place.parent, "a link": path}[which]
    assert judge(str(path)) == []
    give_away(given)

    found = [problem for problem in judge(str(path)) if "belongs to" in problem]
    if which == "itself":
        assert any(f" {given}, or name another" in problem for problem in found)
    else:
        assert any(f"{given} on the way to it belongs to" in problem for problem in found)
    assert not [problem for problem in found if "chown" in problem and f" {given}" not in problem]


def test_the_workers_user_may_have_state_and_log(place, give_away):
    """What belongs to the workers' user will do for state and log, and not for run_dir."""
    user = give_away(place)

    assert judge_state_dir(str(place), user) == judge_log_dir(str(place), user) == []
    if IS_ROOT:
        assert judge_run_dir(str(place))


@pytest.mark.parametrize("which", ["run_dir", "state_dir", "log_file"])
def test_nothing_is_made_where_others_can_write(tmp_path, place, which):
    """A start that is refused for a directory has not made it."""
    place.parent.chmod(0o777)
    paths = {name: str(tmp_path / name / "x") for name in ("run_dir", "state_dir", "log_file")}
    paths[which] = str(place.parent / "new" / "x")

    with pytest.raises(ConfigError, match=rf"{place.parent} on the way to it can be written by everybody"):
        prepare(MasterSettings(**paths), None)
    assert not (place.parent / "new").exists()


@pytest.mark.parametrize("umask", [0, 0o077, 0o777])
def test_modes_whatever_the_umask(tmp_path, umask):
    """What is made has the modes of the table in OPERATIONS, and nobody else can write to it even for a moment (P21)."""
    paths = {name: str(tmp_path / name / "x") for name in ("run_dir", "state_dir", "log_file")}
    before = os.umask(umask)
    try:
        prepare(MasterSettings(**paths), None)
        assert os.umask(umask) == umask
    finally:
        os.umask(before)

    assert {name: oct(stat.S_IMODE(os.stat(path).st_mode)) for name, path in paths.items()} == {
        "run_dir": "0o755",
        "state_dir": "0o750",
        "log_file": "0o640",
    }


# -- what is planted in the place of a file ---------------------------------------------------------------


TRAPS = [symbolic_link, hard_link, pipe, directory]


@pytest.fixture
def workers_place():
    """A directory of the workers' user, who can get there, unlike to those of pytest."""
    account = workers_account()
    with open_directory() as above:
        place = above / "place"
        place.mkdir(mode=0o755)
        if account is not None:
            os.chown(place, account.uid, account.gid)
        yield place


@pytest.mark.parametrize("plant", TRAPS)
def test_a_trap_in_place_of_a_lock(workers_place, victim, plant):
    """Where the workers' user could plant it, a link of either kind is neither emptied nor locked, and a pipe not waited for."""
    path = workers_place / "fluentlite.lock"
    plant(path, victim)

    with pytest.raises(
        PidFileError, match=r"fluentlite\.lock: the pid file (cannot be opened|is none of ours)"
    ):
        PidFile(str(path), workers_account())


@pytest.mark.parametrize("plant", TRAPS)
def test_a_trap_in_place_of_the_pid_file(place, victim, plant):
    """The same in run_dir, also for who only asks whether a master runs."""
    path = place / "fluentlite.pid"
    plant(path, victim)

    with pytest.raises(PidFileError):
        PidFile(str(path))
    if plant is symbolic_link:
        with pytest.raises(PidFileError):
            holder(str(path))
    else:
        assert holder(str(path)) is None


@pytest.mark.parametrize("plant", TRAPS)
def test_a_trap_in_place_of_our_log(workers_place, victim, plant):
    """Our own log is written into nothing that it is not."""
    path = workers_place / "own.log"
    plant(path, victim)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe opens only if somebody reads it
    try:
        with pytest.raises(OSError) as caught:
            open_log(str(path), workers_account())
    finally:
        os.close(reader)

    assert caught.value.errno in (errno.EPERM, errno.ELOOP, errno.EACCES, errno.EISDIR)


def test_a_file_of_somebody_else(place, give_away):
    """Nor into a file of another user where all may put one, nor is his lock believed to be ours."""
    place.chmod(0o1777)
    for name in ("own.log", "fluentlite.pid"):
        (place / name).touch()
        (place / name).chmod(0o666)
        give_away(place / name)

    with pytest.raises(PermissionError, match="it belongs to"):
        open_own_log(str(place / "own.log"))
    with pytest.raises(PidFileError, match="none of ours: it belongs to"):
        PidFile(str(place / "fluentlite.pid"))


def test_what_an_administrator_has_made(place):
    """A log that was made for another owner in a directory of root's is used, and given to the workers' user."""
    path, account = place / "own.log", workers_account()
    path.touch()
    path.chmod(0o600)
    os.close(open_log(str(path), account))

    assert path.stat().st_uid == (account.uid if account else os.getuid())


def test_a_directory_that_is_replaced(workers_place, tmp_path):
    """Where the workers' user leads us by a link in the *directory* part, only what he may make himself is made."""
    account = workers_account()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o755)
    if account is None:
        closed.chmod(0o555)
    link = workers_place / "logs"
    link.symlink_to(closed)
    if account is not None:
        os.chown(link, account.uid, -1, follow_symlinks=False)

    with pytest.raises(PermissionError):
        open_log(str(link / "own.log"), account)
    with pytest.raises(PidFileError):
        PidFile(str(link / "fluentlite.lock"), account)
    with pytest.raises(ConfigError):
        prepare(
            MasterSettings(
                run_dir=str(tmp_path / "run"),
                state_dir=str(link / "state"),
                log_file=str(link / "own" / "log"),
            ),
            account,
        )
    assert list(closed.iterdir()) == []
    closed.chmod(0o755)


def test_a_race_for_a_path(workers_place, victim):
    """However fast the workers' user changes what is at a path: root never writes to, empties or gives away the victim."""
    path = workers_place / "fluentlite.lock"
    spare = workers_place / "spare"

    def swap(ready):
        spare.symlink_to(victim)
        while True:
            os.rename(spare, path)
            ready()
            os.symlink(victim, spare)
            path.unlink()
            path.touch()

    opened = 0
    with process_of(WORKER, swap):
        for _ in range(400):
            for open_it in (lambda: PidFile(str(path), workers_account()).remove, lambda: open_log(str(path), workers_account())):  # fmt: skip
                try:
                    done = open_it()
                except (PidFileError, OSError):
                    continue
                opened += 1
                done() if callable(done) else os.close(done)

    assert opened > 0, "neither of the two was ever the faster one"


# -- whom a pid belongs to --------------------------------------------------------------------------------


def test_a_pid_of_other_rights_is_not_believed(place, monkeypatch):
    """
    A process that has the locked file open and more rights than its owner is no master of his: somebody has started one
    of root's programs with his file, that ``stop`` should end it.
    """
    path = place / "fluentlite.pid"
    held = PidFile(str(path))
    held.write(os.getpid())
    assert holder(str(path)) == os.getpid()
    if IS_ROOT:
        os.chown(path, WORKER.pw_uid, -1)
    else:
        monkeypatch.setattr(pidfile, "owner_of", lambda _pid: 0)

    assert holder(str(path)) == 0
    held.close()


def test_rights_of_a_process():
    """A process is of the user that it can become; rights that root has lent for a moment do not count."""
    with rights_of(workers_account()):
        assert pidfile.owner_of(os.getpid()) == os.getuid()
    with process_of(WORKER, lambda ready: (ready(), threading.Event().wait())) as pid:
        assert pidfile.owner_of(pid) == (WORKER.pw_uid if IS_ROOT else os.getuid())
    assert pidfile.owner_of(pid) is None


def test_a_directory_of_somebody_alone(place, give_away):
    """Somebody's directory is believed to hold his own things only while nobody else can write there."""
    user = give_away(place)

    assert is_of(str(place), user)
    assert not is_of(str(place), user + 7)
    place.chmod(0o777)
    assert not is_of(str(place), user)
