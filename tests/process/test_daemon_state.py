"""Positions: of another version, and wanted by two daemons at once."""

import os
import signal

from following import numbered
from slots import LATER

from fluentlite.core.position import SLOT_SIZE, SLOTS


def checkpoints(daemon):
    return list(daemon.state_dir.iterdir())


def test_a_later_version(make_daemon, arrivals):
    """
    After a downgrade a position of a later version is not guessed: the log waits, ``status`` says why, nothing is sent
    from its head or skipped; with the right version it goes on (C05).
    """
    daemon = make_daemon("a", "b")
    daemon.announce("later version")
    daemon.start()
    daemon.append("a", *numbered(1, 100))
    arrivals.wait_for_lines("a", numbered(1, 100))
    daemon.stop()
    [checkpoint] = [path for path in checkpoints(daemon) if path.name.startswith("a.log")]
    current = checkpoint.read_bytes()
    checkpoint.write_bytes(LATER.ljust(SLOTS * SLOT_SIZE, b"\0"))
    daemon.start()
    daemon.append("a", *numbered(101, 200))
    daemon.append("b", "other")
    arrivals.wait_for_lines("b", ["other"])
    daemon.eventually(lambda: "later version" in daemon.row("a")["last_error"])
    assert arrivals.lines("a") == numbered(1, 100)
    assert daemon.run("status", "--strict").status == 2

    checkpoint.write_bytes(current)
    arrivals.wait_for_lines("a", numbered(1, 200), 40)


def test_two_daemons_with_one_state_directory(make_daemon, arrivals):
    """A second daemon with the same positions is refused, and told whose they are; later it goes on from there (P02)."""
    first = make_daemon("a")
    first.start()
    first.append("a", *numbered(1, 100))
    arrivals.wait_for_lines("a", numbered(1, 100))
    second = make_daemon("a", run_dir=str(first.directory / "run2"))
    second.run_dir = first.directory / "run2"
    result = second.run("start")
    assert result.status == 1
    assert str(first.master()) in result.err

    os.kill(first.master(), signal.SIGTERM)
    first.eventually(lambda: not first.processes())
    second.start()
    second.append("a", *numbered(101, 200))
    arrivals.wait_for_lines("a", numbered(1, 200))


def test_two_daemons_on_one_log(make_daemon, arrivals, tmp_path):
    """With positions of their own two daemons may follow one log, and each delivers every line (C03)."""
    daemons = [make_daemon("a", directory=tmp_path / name) for name in ("first", "second")]
    daemons[1].config["log"][0] = {"tag": "second", "path": str(daemons[0].path("a"))}
    daemons[1].write_config()
    for daemon in daemons:
        daemon.start()
    daemons[0].append("a", *numbered(1, 100))

    arrivals.wait_for_lines("a", numbered(1, 100))
    arrivals.wait_for_lines("second", numbered(1, 100))
