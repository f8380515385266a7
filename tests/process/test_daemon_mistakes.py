"""Commands given by mistake, and files removed under a running daemon: nobody else's daemon is touched."""

from __future__ import annotations

import shutil

import pytest
from clients import eventually

from fluentlite.config.model import MasterSettings
from fluentlite.config.whereabouts import find_master
from fluentlite.errors import FluentliteError
from fluentlite.service import run_reload, run_stop


def test_a_broken_configuration_still_names_its_run_dir(tmp_path):
    """Whatever else is wrong with a configuration, the line with run_dir says where its master is (P10)."""
    config = tmp_path / "c.toml"
    config.write_text('[master]\nrun_dir = "there"\n[[log]\nx = \n')

    master, warning = find_master(str(config), {})

    assert (master.run_dir, warning) == (str(tmp_path / "there"), "")


@pytest.mark.parametrize("run", [run_stop, run_reload], ids=["stop", "reload"])
def test_a_configuration_that_is_not_there_stops_nobody(make_daemon, arrivals, monkeypatch, run):
    """A command with a configuration that cannot be read leaves the daemon alone that runs where others run (P03)."""
    daemon = make_daemon("a")
    daemon.start()
    place = MasterSettings(run_dir=str(daemon.run_dir))
    monkeypatch.setattr("fluentlite.service.find_master", lambda *_: (place, "typo.toml cannot be read"))

    with pytest.raises(FluentliteError, match=f"has another configuration.*-c {daemon.config_path}"):
        run(["-c", str(daemon.directory / "typo.toml")])
    assert daemon.processes()

    assert run(["-c", str(daemon.config_path)]) == 0


def test_state_and_run_directory_removed_and_started_again(make_daemon, arrivals):
    """A second master after both directories were removed takes over from the first: in the end there is one (P02, P04)."""
    daemon = make_daemon("a")
    daemon.announce("another master has taken our place", "another process follows", "somebody removed it")
    daemon.start()
    first = daemon.master()
    for key in ("run_dir", "state_dir"):
        shutil.rmtree(daemon.config["master"][key])
    daemon.start()

    assert daemon.master() != first
    eventually(lambda: first not in daemon.processes(), 30)
