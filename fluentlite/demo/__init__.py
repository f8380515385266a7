"""
``fluentlite demo``: the real daemon, live logs, the embedded server, ten seconds, a verdict.

Without a FILE two logs are written and rotated, the server goes away for a while, a worker is killed, and the
configuration changes. With FILEs, each of them is delivered from its beginning and compared with what arrived.
Nothing is left behind, however the demo ends.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Sequence

from fluentlite.demo import files, live
from fluentlite.demo.keeper import Keeper
from fluentlite.demo.stage import Stage, open_inbox
from fluentlite.demo.stopped import StoppedError
from fluentlite.errors import FluentliteError
from fluentlite.master.daemonize import fill_descriptors
from fluentlite.signals import SignalInbox

HELP = """\
Usage: fluentlite demo [FILE ...]

Runs the real daemon and a Forward server on this host for ten seconds, shows the daemon's status, and counts.
Without FILE: two live logs are written and rotated, the server goes away for a while, a worker is killed, and
the configuration is changed. With FILEs: each is sent from its beginning and compared with what arrived; they
are only read. Nothing is left behind, however the demo ends.
Exit status: 0 if every line arrived exactly once, otherwise 1."""


def run_demo(argv: Sequence[str]) -> int:
    """
    Run the demo.

    Returns:
        0 if every line arrived exactly once, otherwise 1.

    Raises:
        FluentliteError: It cannot be run here.
    """
    if any(word in ("-h", "--help") for word in argv):
        print(HELP)
        return 0
    fill_descriptors()
    os.umask(0o077)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # each worker connects to our server
    inbox = open_inbox()
    given = files.GivenFiles(argv)
    try:
        return _run(inbox, given)
    except StoppedError as exc:
        with contextlib.suppress(OSError):  # nobody may be there any more
            print(f"\n{exc}; nothing is left behind", flush=True)
        return 1
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise FluentliteError(f"the demo cannot go on: {exc}. Nothing is left behind.") from exc


def _run(inbox: SignalInbox, given: files.GivenFiles) -> int:
    with Keeper() as keeper:
        if given.by_tag:
            with Stage(keeper, inbox, given.take) as stage:
                return files.play(stage, given)
        logs = live.LiveLogs(keeper.directory)
        with Stage(keeper, inbox, logs.take) as stage:
            return live.play(stage, logs)
