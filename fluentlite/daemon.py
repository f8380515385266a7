"""What a start is made of: a configuration, a lock, a master, and what its workers do."""

from __future__ import annotations

import logging
import os
import resource
from collections.abc import Mapping
from dataclasses import replace

from setproctitle import setproctitle

from fluentlite.config import load
from fluentlite.config.model import Settings
from fluentlite.core.display import defuse
from fluentlite.errors import ConfigError
from fluentlite.master.account import become
from fluentlite.master.daemonize import Starter, daemonize
from fluentlite.master.main import Circumstances, run_master
from fluentlite.master.places import Places
from fluentlite.master.plan import Plan, Spec
from fluentlite.master.upkeep import start_own_log
from fluentlite.scoreboard import Slot
from fluentlite.signals import MASTER_SIGNALS, WORKER_SIGNALS, SignalInbox, accept_signals
from fluentlite.worker.main import run_worker
from fluentlite.worker.warm import warm_up

log = logging.getLogger(__name__)


def read_settings(path: str, environ: Mapping[str, str]) -> tuple[Settings, tuple[str, ...]]:
    """Read the configuration at *path*, of either kind; returns it with its warnings."""
    reading = load.read(path, environ)
    return reading.settings, reading.warnings


def run_in_foreground(plan: Plan, places: Places, inbox: SignalInbox) -> int:
    """
    Be the master of *plan* until told to stop.

    Args:
        inbox: Has collected signals since before the configuration was read.

    Returns:
        The exit status.

    Raises:
        ConfigError: Our log cannot be written.
    """
    has_terminal = any(os.isatty(fd) for fd in (0, 1, 2)) and "NOTIFY_SOCKET" not in os.environ
    starter = Starter()
    start_own_log(plan.settings.master, plan.account)
    return _run(plan, places, inbox, starter, is_daemon=False, ends_on_hangup=has_terminal)


def run_in_background(plan: Plan, places: Places) -> tuple[bool, str]:
    """
    Start a daemon that is the master of *plan*.

    Returns:
        Whether it is ready, and what it has to say.
    """

    def run(starter: Starter) -> int:
        inbox = SignalInbox(MASTER_SIGNALS)
        accept_signals()
        try:
            start_own_log(plan.settings.master, plan.account)
        except ConfigError as exc:
            starter.failed(str(exc))
            places.remove()
            return 1
        return _run(plan, places, inbox, starter, is_daemon=True, ends_on_hangup=False)

    return daemonize(run, places.descriptors)


def _run(
    plan: Plan,
    places: Places,
    inbox: SignalInbox,
    starter: Starter,
    *,
    is_daemon: bool,
    ends_on_hangup: bool,
) -> int:
    _title(f"master {plan.settings.path}")
    # Keys and lines are in our memory. Whoever wants a core all the same: prlimit --core=unlimited --pid PID.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if plan.settings.master.nice:
        _be_nice(os.getpriority(os.PRIO_PROCESS, 0) + plan.settings.master.nice)
    given = Circumstances(
        plan=plan,
        load=read_settings,
        environ=dict(os.environ),
        places=places,
        inbox=inbox,
        starter=starter,
        is_daemon=is_daemon,
        ends_on_hangup=ends_on_hangup,
        run_worker=_Work(plan.settings.master.nice),
        warm_up=warm_up,
    )
    return run_master(given)


class _Work:
    """
    What a worker's process does.

    Args:
        nice: The master's niceness, which a child has already.
    """

    def __init__(self, nice: int) -> None:
        self._nice = nice

    def __call__(self, spec: Spec, slot: Slot, lifeline: int) -> int:
        try:
            return self._work(spec, slot, lifeline)
        except OSError as exc:  # it could not even begin: no descriptor, no right to become its user
            log.info("%s: the worker cannot begin (%s)", spec.log.path, exc)
            slot.write(replace(slot.read(), last_error=f"the worker cannot begin ({exc}); raise its limits"))
            return 1
        except Exception as exc:
            # A bug of ours. The master starts another worker; that must not be all that is ever known of it.
            log.exception("%s: the worker ends because of an error in it", spec.log.path)
            slot.write(
                replace(slot.read(), last_error=f"an error in fluentlite ({exc!r}); its log has the details")
            )
            return os.EX_SOFTWARE

    def _work(self, spec: Spec, slot: Slot, lifeline: int) -> int:
        inbox = SignalInbox(WORKER_SIGNALS)
        accept_signals()
        _title(f"worker {spec.log.tag} {spec.log.path}")
        if spec.nice != self._nice:
            _be_nice(os.getpriority(os.PRIO_PROCESS, 0) + spec.nice - self._nice)
        if spec.account is not None:
            become(spec.account)
        return run_worker(
            spec.log,
            spec.state_dir,
            spec.stop_timeout,
            inbox,
            slot=slot,
            lifeline=lifeline,
            configured=spec.configured,
        )


def _be_nice(niceness: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, 0, max(-20, min(19, niceness)))
    except PermissionError:
        log.warning("niceness %d is not allowed for user %d; going on without", niceness, os.geteuid())


def _title(title: str) -> None:
    setproctitle(defuse(f"fluentlite: {title}"))
