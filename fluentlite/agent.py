"""``fluentlite agent``: one worker in the foreground, with the flags of fluent-agent-lite."""

from __future__ import annotations

import logging
import os
import resource
import signal
from collections.abc import Sequence

from fluentlite.config.flag_table import help_text, wants_help
from fluentlite.config.flags import AgentOptions, agent_settings
from fluentlite.core.display import defuse
from fluentlite.errors import ConfigError
from fluentlite.logfile import start_log
from fluentlite.signals import WORKER_SIGNALS, SignalInbox
from fluentlite.trust import judge_state_dir
from fluentlite.worker.main import run_worker

log = logging.getLogger(__name__)


def run_agent(argv: Sequence[str]) -> int:
    """
    Run one worker until TERM or the end of its input.

    Args:
        argv: The arguments after ``fluentlite agent``.

    Returns:
        0 when everything was delivered or can be read again, 1 otherwise.

    Raises:
        ConfigError: The flags cannot be used.
    """
    if wants_help(argv):
        print(help_text())
        return 0
    options = agent_settings(argv, os.environ)
    inbox = SignalInbox(WORKER_SIGNALS)
    signal.pthread_sigmask(
        signal.SIG_UNBLOCK, WORKER_SIGNALS
    )  # those that came meanwhile are in the inbox now
    _prepare(options)
    status = run_worker(options.log, options.master.state_dir, options.master.stop_timeout, inbox)
    log.info("exit with status %d", status)
    return status


def _prepare(options: AgentOptions) -> None:
    path = options.log.path
    if path != "-" and not options.force_start:
        _look_for(path)
    if path != "-":
        _check_state_dir(options.master.state_dir)
    # Keys and lines are in our memory.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    try:
        start_log(options.master.log_file, options.master.log_level)
    except OSError as exc:
        raise ConfigError(
            f"{options.master.log_file}: our own log cannot be written ({exc.strerror}). "
            "Name another file with -l, or -l - for standard error."
        ) from exc
    for warning in options.warnings:
        log.warning("%s", warning)
    if options.master.nice:
        _be_nice(options.master.nice)
    _set_title(f"fluentlite: agent {options.log.tag} {path}")


def _look_for(path: str) -> None:
    try:
        os.stat(path)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file. Create it, or start with -F to wait for it."
        ) from None
    except OSError as exc:
        raise ConfigError(
            f"{path}: user {os.geteuid()} cannot look at it ({exc.strerror}). Correct the path or its permissions, "
            "or start with -F to wait for it."
        ) from exc


def _check_state_dir(path: str) -> None:
    """
    Raises:
        ConfigError: Everybody can write there. Whose it is was decided by whoever named it: it may be a service's.
    """
    try:
        owner = os.stat(path).st_uid
    except OSError:
        owner = os.geteuid()  # it is made, if that can be
    problems = judge_state_dir(path, owner)
    if problems:
        raise ConfigError(*problems)


def _be_nice(nice: int) -> None:
    try:
        os.nice(nice)
    except PermissionError:
        log.warning("niceness %d is not allowed for user %d; going on without", nice, os.geteuid())


def _set_title(title: str) -> None:
    from setproctitle import setproctitle

    setproctitle(defuse(title))
