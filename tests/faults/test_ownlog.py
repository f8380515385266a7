"""The daemon's own log is read to its end, also when it is rotated."""

from __future__ import annotations

from . import ownlog
from .ownlog import OwnLog


def test_what_is_written_to_a_renamed_log_is_read(tmp_path, monkeypatch):
    """Entries that a quiet process writes to the renamed file are read and counted, once, like those of the new one."""
    path = tmp_path / "agent.log"
    log = OwnLog(path)
    assert log.read() == [] and log.count("started") == 0
    with open(path, "ab", buffering=0) as old:
        old.write(b"one started\nhalf")
        assert log.read() == ["one started"]
        assert log.count("started") == 1
        log.rotate()
        assert (tmp_path / "agent.log.1").exists() and not path.exists()
        old.write(b" two started\n")
        path.write_bytes(b"three started\n")
        assert sorted(log.read()) == ["half two started", "three started"]
        assert log.count("started") == 3
        old.write(b"four started\n")
        monkeypatch.setattr(ownlog, "_KEPT_OPEN", 0.0)  # what has not been read is not let go of
        assert log.read() == ["four started"]
    assert log.count("started") == 4
    assert log.read() == []
    assert log.count("started") == 4
    assert log.last("started") == "four started"
    log.close()
