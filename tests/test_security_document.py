"""docs/SECURITY.md says of owners, modes and directories what the program does."""

import os
import re
import stat
from pathlib import Path

import pytest

import fluentlite
from fluentlite.config.model import MasterSettings
from fluentlite.core.letter import DIRECTORY
from fluentlite.master import control, directories, request
from fluentlite.master.listener import Listener
from fluentlite.master.pidfile import PidFile
from fluentlite.trust import judge_log_dir, judge_run_dir, judge_state_dir
from fluentlite.worker import letters
from fluentlite.worker.checkpoint import Checkpoint

ROOT = Path(fluentlite.__file__).parents[1]
PAGE = " ".join((ROOT / "docs/SECURITY.md").read_text().split())
MODES = {
    name: int(mode, 8)
    for names, mode in re.findall(
        r"^\| (.+?) \| (0\d{3}) \|", (ROOT / "docs/SECURITY.md").read_text(), re.MULTILINE
    )
    for name in names.replace("`", "").split(", ")
}


@pytest.fixture
def made(tmp_path):
    """Everything that the table names, as it is made; by what the table calls it."""
    master = MasterSettings(
        run_dir=str(tmp_path / "run"),
        state_dir=str(tmp_path / "state"),
        log_file=str(tmp_path / "own" / "own.log"),
    )
    directories.prepare(master, None)
    paths = {"run_dir": master.run_dir, "state_dir": master.state_dir, "own log": master.log_file}
    kept = []
    for path in (directories.pid_path(master.run_dir), directories.state_lock_path(master.state_dir)):
        kept.append(PidFile(path))
        paths[os.path.basename(path)] = path
    paths["fluentlite.sock"] = directories.socket_path(master.run_dir)
    kept += [Listener(paths["fluentlite.sock"]), Checkpoint(master.state_dir, str(tmp_path / "a.log"))]
    paths["checkpoints"] = str(kept[-1].path)
    paths["dead-letters"] = os.path.join(master.state_dir, DIRECTORY)
    paths["dead letters"] = os.path.join(paths["dead-letters"], "a.letter")
    letters._make_private(paths["dead-letters"])
    letters._write(paths["dead-letters"], "a.letter", b"")
    yield paths
    for one in kept:
        one.close()


def test_modes(made):
    """Each file and directory of ours is in the table, with the mode that it gets."""
    assert {name: oct(stat.S_IMODE(os.stat(path).st_mode)) for name, path in made.items()} == {
        name: oct(mode) for name, mode in MODES.items()
    }


def test_what_is_made_is_accepted(made):
    """What a start makes, the next start does not refuse."""
    assert judge_run_dir(made["run_dir"]) == judge_state_dir(made["state_dir"], None) == []
    assert judge_log_dir(os.path.dirname(made["own log"]), None) == []


@pytest.mark.parametrize("command", request.FOR_OWNER)
def test_commands_for_the_owner(command):
    """The commands that others are refused are named."""
    assert re.search(rf"\b{command}\b[\w ]* are for the master's user and root", PAGE)


def test_places_are_kept():
    """Others never take all places at the control socket."""
    assert "with places kept for owner and root" in PAGE
    assert control.MAX_STRANGERS < control.MAX_CLIENTS


def test_the_unit_is_as_it_says():
    """The settings of the unit that the page names are in it."""
    unit = (ROOT / "init/fluentlite.service").read_text()
    named = re.findall(r"`(\w+=[\w]*)`", PAGE)
    assert named
    for name in named:
        assert f"\n{name}" in unit

    assert "list of system calls" in PAGE
    assert "\nSystemCallFilter=" in unit


@pytest.mark.parametrize("document", ["README.md", "docs/OPERATIONS.md", "docs/DESIGN.md"])
def test_it_is_found(document):
    """Who reads another page is led to this one."""
    assert "SECURITY.md)" in (ROOT / document).read_text()


@pytest.mark.parametrize(
    "text",
    [
        "SO_PEERCRED",
        "fs.protected_hardlinks",
        "without details",
        "ask for a private channel",
        "latest release",
    ],
)
def test_what_must_be_said(text):
    """What a reader looks for is there."""
    assert text in PAGE
