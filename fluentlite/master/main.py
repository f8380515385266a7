"""The master: one loop that keeps the workers alive, and answers for them."""

from __future__ import annotations

import gc
import logging
import math
import os
import resource
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fluentlite.config.model import MasterSettings
from fluentlite.errors import FluentliteError
from fluentlite.logfile import NOTICE, log_descriptors, reopen_log
from fluentlite.loop import Loop
from fluentlite.master.control import ControlServer, Reply
from fluentlite.master.daemonize import Starter
from fluentlite.master.directories import socket_path
from fluentlite.master.fleet import Fleet
from fluentlite.master.member import RunWorker
from fluentlite.master.notify import Notifier
from fluentlite.master.pidfile import HeldError
from fluentlite.master.places import Places
from fluentlite.master.plan import Load, Plan, check_certificates, check_change, check_daemon, make_plan
from fluentlite.master.reload import Reloads
from fluentlite.master.report import Reporter
from fluentlite.master.request import problem
from fluentlite.master.upkeep import keep_run_dir, start_own_log
from fluentlite.master.watch import Watch
from fluentlite.signals import SignalInbox

log = logging.getLogger(__name__)

SETTLE_PATIENCE = 15.0
"""Seconds that ``start`` waits for a sign of life of every worker; what is slower shows in ``status``."""

LATE = 1.0
"""Seconds by which a turn of the master is too late to be ordinary: the machine was suspended, or starved."""

_STOPPING: dict[str, object] = problem("fluentlite is stopping. Wait for its end, then start it.")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """
    How a master was started.

    Attributes:
        plan: The configuration, already read, so that its errors were told to whoever started us.
        load: Reads it again.
        environ: What it is read with.
        places: Ours alone.
        inbox: Has collected signals since our life began.
        starter: Whoever waits for us to be ready.
        is_daemon: In the background: there is no standard error.
        ends_on_hangup: HUP means that our terminal is gone, and not that we should reload.
        run_worker: What a worker's process does.
        warm_up: Does once, before the first fork, what else every worker would do for itself.
    """

    plan: Plan
    load: Load
    environ: Mapping[str, str]
    places: Places
    inbox: SignalInbox
    starter: Starter
    is_daemon: bool
    ends_on_hangup: bool
    run_worker: RunWorker
    warm_up: Callable[[], None]


class Master:
    """Single-threaded for life; does nothing that can block or kill it."""

    def __init__(self, given: Circumstances, notifier: Notifier) -> None:
        self._given, self._notifier = given, notifier
        self._loop = Loop()
        self._inbox = given.inbox
        self._loop.watch(self._inbox.fileno(), self._on_signals)
        self._fleet = Fleet(given.run_worker, log_descriptors)
        self._watch = Watch(self._fleet, lambda: self._master.memory_limit)
        self._reloads = Reloads(
            lambda: make_plan(given.plan.settings.path, given.environ, given.load), self._loop, self._apply
        )
        self._reloads.on_end = lambda: self._notifier.ready(self._summary())
        self._plan = given.plan
        self._control = ControlServer(socket_path(self._master.run_dir), self._loop, self._answer)
        self._reporter = Reporter(
            self._fleet, self._watch, given.plan.settings.path, given.plan.settings.master.state_dir
        )
        self._stop_replies: list[Reply] = []
        self._is_stopping = self._is_ready = False
        self._settle_at = math.inf
        self._watchdog_at = 0.0 if notifier.watchdog_interval < math.inf else math.inf

    @property
    def _master(self) -> MasterSettings:
        return self._plan.settings.master

    def run(self) -> int:
        """
        Work until told to stop.

        Returns:
            The exit status.
        """
        self._given.warm_up()
        gc.collect()
        now = time.monotonic()
        self._settle_at = now + SETTLE_PATIENCE
        self._fleet.apply(self._plan.specs(), now)
        for warning in self._plan.warnings:
            log.warning("%s", warning)
        log.log(NOTICE, "fluentlite started, pid %d, %d logs, %s", os.getpid(), len(self._fleet.members), self._plan.settings.path)  # fmt: skip
        while not (self._is_stopping and not self._fleet.members):
            self._turn()
        self._say_goodbye()
        return 0

    def _turn(self) -> None:
        planned = self._deadline()
        self._loop.wait(max(0.0, planned - time.monotonic()))
        now = time.monotonic()
        if now - planned > LATE:  # we were not running, and so perhaps were they
            self._fleet.postpone(now - planned)
        self._fleet.tick(now)
        if self._watch.tick(now):
            reopen_log()
            try:
                keep_run_dir(self._given.places, self._control)
            except HeldError as exc:
                log.error("another master has taken our place (%s); this one ends", exc)
                self._stop()
        self._reloads.tick(now)
        self._control.tick(now)
        if not self._is_ready and not self._is_stopping:
            self._become_ready(now)
        if now >= self._watchdog_at:
            self._watchdog_at = now + self._notifier.watchdog_interval
            self._notifier.watchdog()

    def _deadline(self) -> float:
        settling = math.inf if self._is_ready or self._is_stopping else time.monotonic() + 0.02
        return min(
            self._fleet.deadline,
            self._watch.deadline,
            self._reloads.deadline,
            self._control.deadline,
            self._watchdog_at,
            settling,
        )

    def _become_ready(self, now: float) -> None:
        if not self._fleet.is_settled and now < self._settle_at:
            return
        if all(not member.started_at for member in self._fleet.members.values()):
            # Not one could be forked. Where some can, the others are tried again.
            self._given.starter.failed("\n".join({member.reason for member in self._fleet.members.values()}))
            self._stop()
            return
        self._is_ready = True
        self._notifier.ready(self._summary())
        unwell = [
            f"{path}: {member.reason}"
            for path, member in self._fleet.members.items()
            if not member.pid and member.reason
        ]
        self._given.starter.ready("\n".join(unwell))

    def _summary(self) -> str:
        count = len(self._fleet.members)
        return f"following {count} log{'' if count == 1 else 's'}"

    # -- signals ----------------------------------------------------------------------------------------

    def _on_signals(self, _events: int) -> None:
        came = self._inbox.take()
        # To stop first: what died of the same signal to the whole group must not be started again.
        if signal.SIGTERM in came or signal.SIGINT in came:
            self._stop()
        if signal.SIGHUP in came:
            self._hang_up()
        if signal.SIGUSR1 in came:
            self._reopen_log()
        if signal.SIGCHLD in came:
            self._fleet.reap(self._reloads.reaped)

    def _hang_up(self) -> None:
        if self._given.ends_on_hangup:
            log.log(NOTICE, "the terminal is gone; stopping")
            self._stop()
        else:
            self._reload()

    def _reopen_log(self) -> None:
        """First ours, then the workers', who may not be allowed to make the file."""
        reopen_log()
        self._fleet.forward(signal.SIGUSR1)

    # -- reload -----------------------------------------------------------------------------------------

    def _reload(self, reply: Reply | None = None) -> None:
        if self._is_stopping:
            if reply is not None:
                reply.send(_STOPPING)
            return
        self._notifier.reloading(time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
        self._reloads.ask(reply)

    def _apply(self, plan: Plan) -> dict[str, int]:
        """
        Make the new configuration ours.

        Raises:
            ConfigError: It cannot be applied to a running master; nothing has changed.
        """
        check_change(self._master, plan.settings.master)
        check_certificates(plan)
        if self._given.is_daemon:
            check_daemon(plan.settings.master)
        old, new = self._master, plan.settings.master
        if (old.log_file, old.log_level, self._plan.account) != (new.log_file, new.log_level, plan.account):
            start_own_log(new, plan.account)
        self._plan = plan
        self._given.places.account = plan.account
        for warning in plan.warnings:
            log.warning("%s", warning)
        changes = self._fleet.apply(plan.specs(), time.monotonic())
        for path in changes.kept:
            self._fleet.members[path].signal(signal.SIGHUP)  # back to a primary
        counts = changes.counts()
        log.log(
            NOTICE, "configuration read again: %s", ", ".join(f"{n} {what}" for what, n in counts.items())
        )
        return counts

    # -- questions --------------------------------------------------------------------------------------

    def _answer(self, command: str, reply: Reply) -> None:
        if command == "status":
            reply.send(
                self._reporter.report(time.monotonic(), self._reloads.problems, is_stopping=self._is_stopping)
            )
        elif command == "reload":
            self._reload(reply)
        else:
            self._stop_replies.append(reply)
            self._stop()

    # -- the end ----------------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Let all workers finish, then end. Said again, it changes nothing."""
        if self._is_stopping:
            return
        self._is_stopping = True
        log.log(NOTICE, "stopping")
        self._notifier.stopping()
        self._given.starter.failed("it was told to stop while it was starting")
        self._reloads.abandon(_STOPPING)
        self._fleet.stop(time.monotonic())

    def _say_goodbye(self) -> None:
        remains, told = self._fleet.remains, self._fleet.remains.told() + self._reporter.letters_told()
        log.log(NOTICE, "stopped%s", told)
        for reply in self._stop_replies:
            reply.send({"ok": True, "remains": told, "killed": remains.killed})
        give_up_at = time.monotonic() + 1.0
        while self._control.has_unsent and time.monotonic() < give_up_at:
            self._loop.wait(0.05)
        self._control.close()
        self._given.places.remove()


def run_master(given: Circumstances) -> int:
    """Run a master to its end; what keeps it from starting is told to whoever started it, in the foreground as FluentliteError."""
    notifier = Notifier(os.environ)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # each worker takes one of ours
    try:
        given.places.write(os.getpid())
        master = Master(given, notifier)
    except (FluentliteError, OSError) as exc:
        given.starter.failed(str(exc))
        given.places.remove()
        if given.is_daemon:
            return 1
        raise FluentliteError(str(exc)) from exc
    try:
        return master.run()
    except Exception:
        # A bug of ours: the workers notice that we are gone, and say so; whoever supervises us starts us again.
        log.exception("the master ends because of an error in it")
        given.starter.failed("an error in the master; its log has the details")
        return os.EX_SOFTWARE
