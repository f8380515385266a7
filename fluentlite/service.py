"""``fluentlite start``, ``stop``, ``restart`` and ``reload``."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from fluentlite.config.model import DEFAULT_CONFIG_PATH, MasterSettings
from fluentlite.config.whereabouts import find_master
from fluentlite.control_client import NotRunningError, ask, ask_master, problems_of
from fluentlite.core.display import defuse
from fluentlite.errors import FluentliteError
from fluentlite.master.directories import pid_path
from fluentlite.master.pidfile import HeldError, holder
from fluentlite.options import Options, seconds
from fluentlite.saying import say
from fluentlite.stopping import stop

START_HELP = f"""\
Usage: fluentlite start [-c FILE] [--foreground]

Starts the daemon and returns when it runs: one worker for each [[log]] of the configuration FILE (default:
$FLUENTLITE_CONFIG, then {DEFAULT_CONFIG_PATH}). --foreground stays, for systemd and containers.
Exit status: 0 it runs (or ran already), 1 it could not be started, 6 there is no configuration,
or it has no [[log]]. Next: "fluentlite status"."""

STOP_HELP = """\
Usage: fluentlite stop [-c FILE] [--timeout SECONDS]

Tells the daemon to finish: workers read no more, wait for acks (stop_timeout) and remember their positions. Returns
when all are gone. What is left after SECONDS (default: stop_timeout and ten more) is killed, which loses nothing.
Exit status: 0 nothing runs any more, 1 it could not be stopped."""

RESTART_HELP = """\
Usage: fluentlite restart [-c FILE] [--timeout SECONDS]

Stops the daemon as "fluentlite stop" and starts it. With a configuration that cannot be used, nothing is stopped.
Exit status: as for "fluentlite start"; 1 also if it could not be stopped."""

RELOAD_HELP = """\
Usage: fluentlite reload [-c FILE]

Has the daemon read its configuration: new logs are started, removed ones finished, changed ones taken over by a new
worker, all others reconnect. A configuration that cannot be used is told here and changes nothing.
Exit status: 0 it is in use, 1 it cannot be used (or you may not say this), 7 the daemon does not run."""

NOT_RUNNING = 7

_RELOAD_PATIENCE = 90.0
"""Seconds; the master gives up reading a configuration before."""

_LEAVE_PATIENCE = 60.0
"""Seconds that a start waits for a predecessor which is stopping."""

_STOP_MARGIN = 10.0
"""Seconds beyond ``stop_timeout`` after which a stop has failed."""


# -- the command line -----------------------------------------------------------------------------------


def run_start(argv: Sequence[str]) -> int:
    parser = Options("start", START_HELP)
    parser.add_argument("--foreground", action="store_true")
    options = parser.read(argv)
    return 0 if options is None else start(options.config, foreground=options.foreground)


def run_stop(argv: Sequence[str]) -> int:
    options = _stop_options("stop", STOP_HELP).read(argv)
    if options is None:
        return 0
    master = _find(options.config)
    return stop(master.run_dir, _patience(master, options.timeout))


def run_restart(argv: Sequence[str]) -> int:
    options = _stop_options("restart", RESTART_HELP).read(argv)
    return 0 if options is None else restart(options.config, options.timeout)


def run_reload(argv: Sequence[str]) -> int:
    options = Options("reload", RELOAD_HELP).read(argv)
    return 0 if options is None else reload(options.config, _find(options.config).run_dir)


def _stop_options(command: str, text: str) -> Options:
    parser = Options(command, text)
    parser.add_argument("--timeout", type=seconds, default=None)
    return parser


def _patience(master: MasterSettings, timeout: float | None) -> float:
    """Return how many seconds a stop may take."""
    return master.stop_timeout + _STOP_MARGIN if timeout is None else timeout


def _find(config: str) -> MasterSettings:
    """
    Return where the master of *config* is found.

    Raises:
        FluentliteError: The configuration cannot be read, and what runs where others run has another one.
    """
    master, warning = find_master(config, os.environ)
    if not warning:
        return master
    say(f"fluentlite: warning: {warning}", is_error=True)
    try:
        running = ask_master(master.run_dir, 5.0)
    except NotRunningError:
        raise FluentliteError(
            f"{config} cannot be read, and no fluentlite runs in {master.run_dir}; whether one runs elsewhere is not known. "
            "Correct the name or the file."
        ) from None
    if os.path.realpath(running.config) != os.path.realpath(config):
        raise FluentliteError(
            f"{config} cannot be read, and process {running.pid}, which runs in {master.run_dir}, has another "
            f"configuration. Name that one if you mean it: -c {defuse(running.config)}"
        )
    return master


# -- what is done ---------------------------------------------------------------------------------------


def start(config: str, *, foreground: bool) -> int:
    """
    Start the master.

    Returns:
        0 if it runs (in the foreground: when it has ended well).

    Raises:
        FluentliteError: It cannot be started; with the reasons.
    """
    from fluentlite.daemon import read_settings, run_in_background, run_in_foreground
    from fluentlite.master.daemonize import fill_descriptors
    from fluentlite.master.places import Places
    from fluentlite.master.plan import check_daemon, make_plan
    from fluentlite.signals import MASTER_SIGNALS, SignalInbox, accept_signals

    # Process 1 of a container gets no signal without a handler: TERM must not be lost while we read.
    fill_descriptors()
    inbox = SignalInbox(MASTER_SIGNALS) if foreground else None
    accept_signals()
    plan = make_plan(config, os.environ, read_settings)
    run_dir = plan.settings.master.run_dir
    if not foreground:
        check_daemon(plan.settings.master)
    while True:
        try:
            places = Places(plan.settings.master, plan.account)
            break
        except HeldError as exc:
            if not _is_about_to_leave(config, run_dir, exc):
                return 0
    for warning in plan.warnings:
        say(f"fluentlite start: warning: {warning}", is_error=True)
    if inbox is not None:
        return run_in_foreground(plan, places, inbox)
    is_ready, text = run_in_background(plan, places)
    if not is_ready:
        raise FluentliteError(text)
    count = len(plan.settings.logs)
    say(f"fluentlite: started, process {holder(pid_path(run_dir))}, {count} log{'' if count == 1 else 's'}")
    for line in text.splitlines():
        say(f"fluentlite: warning: {line}", is_error=True)
    return 0


def _is_about_to_leave(config: str, run_dir: str, held: HeldError) -> bool:
    """
    Tell whether the master that holds the lock was stopping and is gone now; if it stays, say so.

    Raises:
        FluentliteError: It neither answers nor leaves.
    """
    try:
        master = ask_master(run_dir, 5.0)
    except FluentliteError:
        # Somebody else starts it in this moment, or it hangs: either way it was not us who started it.
        raise FluentliteError(
            f"{held}. It does not answer yet: look again with fluentlite status, end it with fluentlite stop."
        ) from None
    if not master.is_stopping:
        if os.path.realpath(master.config) != os.path.realpath(config):
            raise FluentliteError(
                f"process {master.pid} runs already with this run_dir, {run_dir}, and follows another configuration, "
                f"{defuse(master.config)}. Stop that one, or give {config} a run_dir of its own."
            )
        say(f"fluentlite: runs already, process {master.pid}, with {defuse(master.config)}")
        return False
    say(f"fluentlite: process {master.pid} is stopping; it is started again when that is gone")
    give_up_at = time.monotonic() + _LEAVE_PATIENCE
    while holder(pid_path(run_dir)) == master.pid:
        if time.monotonic() >= give_up_at:
            raise FluentliteError(
                f"process {master.pid} is still stopping. End it with fluentlite stop, then start."
            )
        time.sleep(0.05)
    return True


def reload(config: str, run_dir: str) -> int:
    """
    Have the master read its configuration again.

    Returns:
        0, 1 if it was refused, 7 if no master runs.
    """
    try:
        own = ask_master(run_dir, _RELOAD_PATIENCE).config
        if os.path.realpath(own) != os.path.realpath(config):
            raise FluentliteError(
                f"what runs in {run_dir} has another configuration, {defuse(own)}. Name that one if you mean it."
            )
        answer = ask(run_dir, "reload", _RELOAD_PATIENCE)
    except NotRunningError as exc:
        if holder(pid_path(run_dir)) is not None:
            raise FluentliteError(
                f"fluentlite runs, but its control socket in {run_dir} is not there. Was it removed? It is made again "
                "within ten seconds: try again."
            ) from None
        say(f"fluentlite reload: {exc}", is_error=True)
        return NOT_RUNNING
    problems = problems_of(answer)
    for problem in problems:
        say(f"fluentlite reload: {problem.removeprefix('reload: ')}", is_error=True)
    if problems:
        say("fluentlite reload: nothing has changed; all logs are followed as before", is_error=True)
        return 1
    changes = answer.get("changes")
    counts = [f"{what} {count}" for what, count in changes.items()] if isinstance(changes, dict) else []
    say(defuse("fluentlite: reloaded; logs " + ", ".join(counts)))
    return 0


def restart(config: str, timeout: float | None) -> int:
    """Stop and start; a configuration that cannot be used leaves what runs alone. *timeout* is that of the stop."""
    from fluentlite.daemon import read_settings
    from fluentlite.master.plan import check_certificates, check_daemon, make_plan

    plan = make_plan(config, os.environ, read_settings)
    check_certificates(plan)
    master = plan.settings.master
    check_daemon(master)
    stop(master.run_dir, _patience(master, timeout))
    return start(config, foreground=False)
