"""``fluentlite status``: how master and workers are, and what to do about those that are not well."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from fluentlite.config.model import DEFAULT_CONFIG_PATH, MasterSettings
from fluentlite.config.whereabouts import find_master
from fluentlite.core.display import defuse
from fluentlite.core.snapshot import Snapshot, documented, read_snapshot
from fluentlite.core.status_table import View, render, unwell
from fluentlite.errors import ConfigError, FluentliteError
from fluentlite.options import Options
from fluentlite.status_answer import NOT_WELL, RUNNING, UNKNOWN, NoStatusError, ask_status
from fluentlite.terminal import Terminal

STATUS_HELP = f"""\
Usage: fluentlite status [-c FILE] [--json] [--watch] [--strict]

Shows how the daemon and each log are. Those that are not well come first, with what is wrong and
what to do.

  -c FILE    the configuration it was started with (default: $FLUENTLITE_CONFIG, then
             {DEFAULT_CONFIG_PATH}); only run_dir matters
  --json     one JSON object with all numbers, unrounded, for programs
  --watch    look again every second, with the progress of logs that are catching up; Ctrl-C ends
             it, with the exit status as of the last look
  --strict   exit with 2 if a log is not well

States: following (all is sent as it comes), catching up (reads what was written before), no file
(waits for the log to appear or to become readable), connecting (no server takes lines; they wait in
the log), starting, stopping, restarting (its worker ended, another one follows).
lag: bytes not yet delivered. unacked: chunks sent and not yet acknowledged. CPU: of one core.

Exit status: 0 it runs, 1 it was killed or crashed (its pid file is there), 3 it does not run,
4 unknown: it runs and does not answer, or may not be asked; with --strict 2 if a log is not well."""


def run_status(argv: Sequence[str]) -> int:
    """
    Run ``fluentlite status`` with the arguments *argv* (those after the word ``status``).

    Returns:
        The exit status, as in the help. No error has another one: 1 and 2 have a meaning of their own.
    """
    try:
        return _run(argv)
    except NoStatusError as exc:
        _say(str(exc))
        return exc.exit_status
    except FluentliteError as exc:
        _say(str(exc))
        return UNKNOWN


def _run(argv: Sequence[str]) -> int:
    parser = Options("status", STATUS_HELP)
    for name in ("--json", "--watch", "--strict"):
        parser.add_argument(name, action="store_true")
    options = parser.read(argv)
    if options is None:
        return RUNNING
    if options.json and options.watch:
        raise ConfigError("--json and --watch do not go together. Ask for --json once for each look.")
    master, warning = find_master(options.config, os.environ)
    if warning:
        _say(f"warning: {warning}")
    if options.watch:
        return _watch(master, strict=options.strict)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the waiting without a traceback
    answer = ask_status(master)
    snapshot = read_snapshot(answer)
    if options.json:
        _print_json(answer)
    else:
        terminal = Terminal(os.environ)
        terminal.print(render(snapshot, _view_of(snapshot, terminal)))
    return NOT_WELL if options.strict and unwell(snapshot) else RUNNING


def _watch(master: MasterSettings, *, strict: bool) -> int:
    from fluentlite.status_watch import Watch

    terminal = Terminal(os.environ)
    return Watch(master, terminal, lambda answer: _view_of(answer, terminal), strict=strict).run()


def _view_of(answer: object, terminal: Terminal) -> View:
    since = _local_time(answer.master.started_at) if isinstance(answer, Snapshot) else ""
    return View(width=terminal.size.columns, since=since, ascii_only=terminal.ascii_only)


def _local_time(timestamp: str) -> str:
    """*timestamp*, in ISO 8601, as the clock on this wall would have shown it."""
    with contextlib.suppress(ValueError, OverflowError):  # of another version: then it is not shown
        return datetime.datetime.fromisoformat(timestamp).astimezone().strftime("%a %Y-%m-%d %H:%M:%S")
    return ""


def _print_json(answer: dict[str, Any]) -> None:
    print(json.dumps(documented(answer), indent=2))
    sys.stdout.flush()


def _say(message: str) -> None:
    if sys.stderr is None:  # it was closed: the exit status alone is wanted
        return
    for line in message.splitlines():
        print(
            f"fluentlite status: {defuse(line, ascii_only=sys.stderr.encoding != 'utf-8')}", file=sys.stderr
        )
