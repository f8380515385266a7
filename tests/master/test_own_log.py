"""Our own log, and what commands say: one line for each message, whatever is in it."""

from __future__ import annotations

import io
import logging
import os
import re
import sys

import pytest

from fluentlite.logfile import reopen_log, start_log
from fluentlite.saying import say

NASTY = [
    pytest.param("a\n2026-01-01T00:00:00+0000 [ERROR] (1) forged", "a\\x0a2026-01-01", id="newline"),
    pytest.param("a\r[ERROR]", "a\\x0d[ERROR]", id="carriage-return"),
    pytest.param("\x1b]0;title\x07\x1b[2J", "\\x1b]0;title\\x07\\x1b[2J", id="escape"),
    pytest.param("a\x85b\x9b31m\x7f", "a\\x85b\\x9b31m\\x7f", id="C1-and-delete"),
    pytest.param("a\u2028b\u2029c\x0bd\x0ce", "a\\u2028b\\u2029c\\x0bd\\x0ce", id="other-ends-of-lines"),
    pytest.param("gpj.\u202egol", "gpj.\\u202egol", id="right-to-left"),
    pytest.param("\udcff\udc1b", "\\xff\\udc1b", id="no-UTF-8"),
    pytest.param("a\x00b", "a\\x00b", id="NUL"),
]

ENTRY = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[[A-Z]+\] \(\d+\) .")


@pytest.fixture
def own_log(tmp_path):
    """The path of a log that is written now."""
    path = tmp_path / "own.log"
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    for handler in handlers:
        root.removeHandler(handler)
    start_log(str(path), "info")
    yield path
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)


@pytest.mark.parametrize(("text", "shown"), NASTY)
def test_a_message_is_one_line(own_log, text, shown):
    """Names, and what servers say, are shown harmless: they make no second entry, and nothing happens to a terminal."""
    logging.getLogger("x").error("%s: cannot be opened", text)
    [line] = own_log.read_text("utf-8").split("\n")[:-1]

    assert ENTRY.match(line)
    assert f"[ERROR] ({os.getpid()}) {shown}" in line
    assert line.endswith(": cannot be opened")
    assert line.isprintable()


def test_letters_of_all_languages_stay(own_log):
    """Who names his logs in his own language can read them."""
    logging.getLogger("x").error("Größe, размер, 大きさ, גודל, 🙂")

    assert own_log.read_text("utf-8").endswith("Größe, размер, 大きさ, גודל, 🙂\n")


@pytest.mark.parametrize(("text", "shown"), NASTY)
def test_a_traceback_stays_readable(own_log, text, shown):
    """It has its lines, each indented: none of them, whatever the error says, can be taken for an entry."""
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("x").exception("the worker ends")
    first, *lines = own_log.read_text("utf-8").split("\n")[:-1]

    assert ENTRY.match(first)
    assert lines[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") and line.isprintable() for line in lines)
    assert "ValueError" in "\n".join(lines)


@pytest.mark.parametrize(("text", "shown"), NASTY)
def test_what_commands_say(monkeypatch, text, shown):
    """Standard output and error get no control characters either; a further line is indented."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    monkeypatch.setattr(sys, "stderr", out)
    say(f"fluentlite start: {text}", is_error=True)
    first, *others = out.buffer.getvalue().decode().split("\n")[:-1]

    assert first.startswith("fluentlite start: ")
    assert all(line.startswith("  ") for line in others)
    assert all(line.isprintable() for line in (first, *others))


def test_what_is_put_in_place_of_a_renamed_log(own_log, tmp_path):
    """After a rename, a link that somebody was faster to put there is not followed; when it is gone, the log goes on."""
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    for plant in (own_log.symlink_to, own_log.hardlink_to):
        own_log.rename(tmp_path / "own.log.1")
        plant(victim)
        logging.getLogger("x").error("one")
        reopen_log()
        logging.getLogger("x").error("two")
        assert victim.read_text() == "precious\n"
        own_log.unlink()
        logging.getLogger("x").error("three")
        assert own_log.read_text().endswith("three\n")
