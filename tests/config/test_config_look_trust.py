"""What ``check`` finds before a start would: places of ours that others can write, and what they have put there."""

from __future__ import annotations

import os
import re
import socket
import stat

import pytest
from strangers import hard_link, pipe, symbolic_link

from fluentlite.config.look_trust import open_files, untrusted
from fluentlite.config.model import MasterSettings
from fluentlite.config.toml import read
from fluentlite.master.directories import pid_path, socket_path, state_lock_path


@pytest.fixture
def master(tmp_path):
    """Directories that are there and ours."""
    for name in ("run", "state", "own"):
        (tmp_path / name).mkdir(mode=0o755)
    return MasterSettings(
        run_dir=str(tmp_path / "run"),
        state_dir=str(tmp_path / "state"),
        log_file=str(tmp_path / "own" / "own.log"),
    )


def paths_of(master):
    return {
        "pid": pid_path(master.run_dir),
        "socket": socket_path(master.run_dir),
        "lock": state_lock_path(master.state_dir),
        "log": master.log_file,
    }


def test_nothing_to_complain_of(master):
    """Neither of directories that are ours, nor of our files in them; nor where nothing is there yet."""
    paths = paths_of(master)
    assert untrusted(master) == []
    for name in ("pid", "lock", "log"):
        open(paths[name], "w").close()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(paths["socket"])
    assert untrusted(master) == []

    later = {name: f"{master.run_dir}/not/there/{name}" for name in ("run_dir", "state_dir", "log_file")}
    assert untrusted(MasterSettings(**later)) == []


@pytest.mark.parametrize("name", ["run_dir", "state_dir", "the directory of log_file"])
def test_directories(master, name):
    """Each directory that everybody can write is named with the remedy."""
    path = {"run_dir": master.run_dir, "state_dir": master.state_dir}.get(
        name, os.path.dirname(master.log_file)
    )
    os.chmod(path, 0o777)

    [problem] = untrusted(master)
    assert problem.startswith(f"{name} {path}: it can be written by everybody")
    assert "Run: chmod " in problem


@pytest.mark.parametrize(
    ("plant", "told"),
    [
        (symbolic_link, "it is a symbolic link"),
        (hard_link, "it has another name as well, a hard link|it is not a socket"),
        (pipe, "it is not a (regular file|socket)"),
    ],
    ids=["symbolic-link", "hard-link", "pipe"],
)
@pytest.mark.parametrize("name", ["pid", "socket", "lock", "log"])
def test_what_is_planted(master, tmp_path, name, plant, told):
    """What is in the place of a file of ours and none of ours is named, with the path and what it is."""
    victim, path = tmp_path / "victim", paths_of(master)[name]
    victim.touch()
    plant(path, victim)

    [problem] = untrusted(master)
    assert re.search(rf"{path}: what is there is none of ours: ({told})\. Look who put it", problem)


@pytest.mark.parametrize("name", ["pid", "lock"])
def test_locks_of_somebody_else(master, name, give_away):
    """A lock that another user holds would keep us out for ever."""
    path = paths_of(master)[name]
    open(path, "w").close()
    give_away(path)

    assert any(
        f"{path}: what is there is none of ours: it belongs to" in problem for problem in untrusted(master)
    )


@pytest.mark.parametrize("which", ["file", "directory", "included", "servers"])
def test_a_configuration_that_everybody_can_write(tmp_path, which):
    """Each file of it is looked at, the lists that it names too, and the directories they are in."""
    for name in ("main", "more"):
        (tmp_path / name).mkdir(mode=0o755)
    config, included, servers = tmp_path / "main/c.toml", tmp_path / "more/i.toml", tmp_path / "more/servers"
    config.write_text('include = ["../more/i.toml"]\n[forward]\nprimary_file = "../more/servers"\n')
    included.write_text('[[log]]\ntag = "a"\npath = "/var/log/a"\n')
    servers.write_text("127.0.0.1\n")
    for path in (config, included, servers):
        path.chmod(0o664)  # a group was chosen by whoever owns the file
    assert read(str(config), {}).warnings == ()
    spoilt = {"file": config, "directory": config.parent, "included": included, "servers": servers}[which]
    spoilt.chmod(stat.S_IMODE(spoilt.stat().st_mode) | 0o002)

    [warning] = read(str(config), {}).warnings
    assert f"everybody can write to {spoilt}" in warning
    assert warning.endswith(f"Run: chmod o-w {spoilt}")
    assert list(open_files([str(config.parent.parent / "gone.toml")])) == []
