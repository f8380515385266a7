"""Dead letters as a worker writes them: whole, once, before its position moves; and waiting where they cannot be written."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
import sys
from dataclasses import replace

import behaviours
import psutil
import pytest
from clients import eventually
from scored import Scored
from sending import forward_settings, numbered
from servers import ScriptedServer, ack_all

from fluentlite.core.letter import decode_letter, name_prefix
from fluentlite.worker import letters
from fluentlite.worker.checkpoint import checkpoint_path

POISON = b"line 000003 poison"
TIMES = {"ack_response_timeout": 10.0, "reconnect_wait_max": 0.02}
LINES = [*numbered(1, 2), POISON, *numbered(4, 40)]
GOOD = [line for line in LINES if line is not POISON]


def text(lines):
    return b"".join(line + b"\n" for line in lines)


@pytest.fixture
def server():
    with ScriptedServer(behaviours.refuse(b"poison")) as server:
        yield server
        assert not server.errors


@pytest.fixture
def make(tmp_path, server):
    """Make a worker for ``app.log``, which is closed at the end."""
    made = []

    def make(*, tail=None, **forward):
        settings = forward_settings([server], **TIMES | forward)
        made.append(Scored(tmp_path, settings, poll_interval=0.05, **tail or {}))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


def letters_of(worker):
    """The files of its letters, drafts included."""
    directory = worker.state_dir / "dead-letters"
    return sorted(directory.iterdir()) if directory.is_dir() else []


def is_over(worker, size):
    """Whether the position is at the end of the log."""
    return lambda: (
        checkpoint_path(str(worker.state_dir), str(worker.path)).exists() and worker.position == size
    )


@pytest.mark.parametrize("how", [{}, {"compress": "gzip"}, {"format": "json"}], ids=str)
def test_a_letter(make, server, how):
    """A refused record lies in a file with all that is needed to send it again; its log goes on behind it (S36)."""
    worker = make(**how)
    size = worker.append(text(LINES))
    with worker:
        eventually(is_over(worker, size))
        assert sorted(server.lines(acked=True)) == GOOD
        score = worker.wait_for(lambda score: score.position == size)
        assert (score.lines, score.bytes, score.last_error) == (len(GOOD), size, "")

    [file] = letters_of(worker)
    letter = decode_letter(file.read_bytes())
    facts = os.stat(worker.path)
    begin = len(text(LINES[:2]))
    assert (letter.tag, letter.path, letter.source) == (
        "app",
        str(worker.path),
        f"{facts.st_dev}:{facts.st_ino}:0",
    )
    assert (letter.start, letter.end, letter.is_exact) == (begin, begin + len(POISON) + 1, True)
    assert (letter.entries, letter.format) == (1, how.get("format", "msgpack"))
    assert POISON in letter.entry
    assert [name for name, _reason in letter.servers] == [server.address]
    assert "it closed the connection" in letter.servers[0][1]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o750
    assert file.name.startswith(name_prefix(str(worker.path)))
    assert json.loads(file.read_bytes().partition(b"\n")[0])["tag"] == "app"


def test_what_travels_with_a_refused_record(make, server):
    """The drain log's message of a chunk that is cut comes once, and not beside the refused record (S36)."""
    worker = make()
    worker.settings = replace(worker.settings, drain_log_tag="drained")
    size = worker.append(text(LINES))
    with worker:
        eventually(is_over(worker, size))
        server.wait_for(lambda: sum(one.tag == "drained" for one in server.chunks) >= 1)
        worker.append(text(numbered(41, 41)))
        server.wait_for(lambda: numbered(41, 41)[0] in server.lines(acked=True))

    drained = [event.record["drain"] for one in server.chunks if one.tag == "drained" for event in one.events]
    assert drained == [len(LINES), 1]


def test_a_record_in_a_cut_line(make):
    """Where lines were cut, nobody knows where exactly a record was: its letter says between which offsets (S36)."""
    worker = make(tail={"max_line_size": 20, "long_lines": "truncate"})
    lines = [b"x" * 30, POISON, *numbered(4, 40)]
    size = worker.append(text(lines))
    with worker:
        eventually(is_over(worker, size))

    [file] = letters_of(worker)
    letter = decode_letter(file.read_bytes())
    assert (letter.start, letter.end, letter.is_exact) == (0, size, False)


MOMENTS = {
    "before the directory": ("_make_private", True),
    "before the draft": ("_write", True),
    "in the draft": ("_write_all", True),
    "draft written": ("_write_all", False),
    "before the position moves": ("_write", False),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_a_letter_is_written(make, server, moment, monkeypatch, tmp_path):
    """Killed at any moment, the record is in one letter afterwards, and no other line is lost (S36)."""
    name, is_before = MOMENTS[moment]
    original, was_here = getattr(letters, name), tmp_path / "killed"

    def kill_once(*args):
        if not is_before:
            original(*args)
        if not was_here.exists():
            was_here.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if is_before:
            original(*args)

    monkeypatch.setattr(letters, name, kill_once)
    worker = make()
    size = worker.append(text(LINES))
    worker.start()
    assert worker.wait()[0] == -signal.SIGKILL
    assert worker.position < size
    before = letters_of(worker)
    assert [file.suffix for file in before] in ([], [".new"], [".letter"])

    worker.leave_alone()
    with make() as successor:
        eventually(is_over(successor, size))
    [file] = letters_of(worker)
    assert file.suffix == ".letter"
    assert POISON in decode_letter(file.read_bytes()).entry
    assert set(server.lines(acked=True)) == set(GOOD)


def test_no_room_for_a_letter(make, monkeypatch):
    """While a letter cannot be written, its record is not dropped: the log waits, says why, and goes on later (S36)."""
    monkeypatch.setattr(letters, "RETRY_INTERVAL", 0.2)
    worker, poison = make(), POISON.ljust(150_000, b".")
    lines = [*numbered(1, 2), poison, *numbered(4, 40)]
    with worker:
        process = psutil.Process(worker.pid)
        hard = process.rlimit(psutil.RLIMIT_FSIZE)[1]
        process.rlimit(psutil.RLIMIT_FSIZE, (140_000, hard))  # its checkpoint fits
        size = worker.append(text(lines))
        score = worker.wait_for(lambda score: "cannot be put there" in score.last_error)
        assert "File too large" in score.last_error
        assert worker.position <= len(text(lines[:2]))
        assert letters_of(worker) == []

        process.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY if hard < 0 else hard, hard))
        eventually(is_over(worker, size), 20.0)
        worker.wait_for(lambda score: score.last_error == "")
        assert len(letters_of(worker)) == 1


@pytest.mark.parametrize("kind", ["file", "link"])
def test_something_else_in_the_place_of_the_letters(make, server, kind, tmp_path):
    """What is at the place of the directory and is none, or leads elsewhere, gets no letter; the log waits (S36)."""
    worker, elsewhere = make(), tmp_path / "elsewhere"
    elsewhere.mkdir()
    worker.state_dir.mkdir()
    place = worker.state_dir / "dead-letters"
    place.touch() if kind == "file" else place.symlink_to(elsewhere)
    worker.append(text(LINES))
    with worker:
        worker.wait_for(lambda score: "cannot be put there" in score.last_error)
        assert list(elsewhere.iterdir()) == []
        server.restart(ack_all)  # and now they take it after all

        eventually(lambda: sorted(server.lines(acked=True)) == sorted(LINES))
        worker.wait_for(lambda score: score.last_error == "")


def test_a_planted_draft_is_not_followed(make, tmp_path, monkeypatch):
    """A link at a draft's place is taken away, not followed (S36)."""
    worker, victim = make(), tmp_path / "victim"
    victim.write_text("untouched")
    original = letters._write

    def plant(directory, name, content):
        os.symlink(victim, os.path.join(directory, f"{name}.new"))
        original(directory, name, content)

    monkeypatch.setattr(letters, "_write", plant)
    size = worker.append(text(LINES))
    with worker:
        eventually(is_over(worker, size))
    assert victim.read_text() == "untouched"
    assert [file.is_symlink() for file in letters_of(worker)] == [False]


def test_standard_input(server, tmp_path):
    """A refused record of standard input lies in a file too; all others are delivered, and the agent ends well (S36)."""
    command = [sys.executable, "-m", "fluentlite", "agent", "--state-dir", str(tmp_path / "state"), "-l", str(tmp_path / "own.log")]  # fmt: skip
    done = subprocess.run(
        [*command, "app", "-", server.address],
        input=text(LINES),
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(server.lines(acked=True)) == GOOD
    [file] = (tmp_path / "state/dead-letters").iterdir()
    letter = decode_letter(file.read_bytes())
    assert (letter.path, file.name.startswith("stdin-")) == ("-", True)
    assert "was put into a file" in (tmp_path / "own.log").read_text()
