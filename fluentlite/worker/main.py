"""One worker: follows one log and delivers it, until it is told to stop."""

from __future__ import annotations

import logging
import math
import os
import random
import secrets
import signal
import time
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from fluentlite.config.model import LogSettings
from fluentlite.core.forward import ChunkEncoder
from fluentlite.core.pace import Pace
from fluentlite.errors import FluentliteError
from fluentlite.logfile import LOOK_INTERVAL, reopen_log
from fluentlite.loop import Loop
from fluentlite.saying import say
from fluentlite.scoreboard import Slot
from fluentlite.signals import SignalInbox
from fluentlite.worker.drain import Drain, entry_packer, max_lines
from fluentlite.worker.files import raise_descriptor_limit
from fluentlite.worker.follow import Followed, FollowedLog
from fluentlite.worker.letters import DeadLetters
from fluentlite.worker.memory import keep_heap, release_heap
from fluentlite.worker.opening import open_checkpoint
from fluentlite.worker.score import ScoreKeeper
from fluentlite.worker.sender import Sender
from fluentlite.worker.stream import Stream, standard_input
from fluentlite.worker.waiting import Patience, ToldToStopError

log = logging.getLogger(__name__)

IDLE_AFTER = 5.0
"""Seconds without a chunk after which memory is given back."""

ORPHAN_PATIENCE = 2.0
"""Seconds to wait for acks once the master is gone: another one may wait for the checkpoint."""


class Worker:
    """
    Tail, drain, pack, send, in one loop that never blocks.

    Args:
        settings: Of the log.
        state_dir: Where its checkpoint is kept, but for standard input, and its dead letters.
        stop_timeout: Seconds to wait for outstanding acks when told to stop.
        inbox: Receives TERM, INT (finish), HUP (reconnect), USR1 (reopen our own log).
        slot: Where it says how it is; None if nobody looks.
        lifeline: Read end of a pipe whose end of file means that the master is gone: finish.
        configured: Names of the checkpoints of all configured logs; None if there is no master.
    """

    def __init__(
        self,
        settings: LogSettings,
        state_dir: str,
        stop_timeout: float,
        inbox: SignalInbox,
        slot: Slot | None = None,
        lifeline: int | None = None,
        configured: Collection[str] | None = None,
    ) -> None:
        self._settings, self._state_dir, self._stop_timeout = settings, state_dir, stop_timeout
        self._inbox, self._lifeline, self._configured = inbox, lifeline, configured
        self._packer = entry_packer(settings)
        self._encoder = ChunkEncoder(
            settings.tag,
            require_ack=settings.forward.require_ack_response,
            compress=settings.forward.compress,
            as_json=settings.forward.format == "json",
        )
        self._loop = Loop()
        # Made here, after the fork: each worker has its own randomness.
        self._sender = Sender(settings.forward, self._encoder, self._loop, random.Random())
        self._letters = DeadLetters(settings, state_dir, time.time_ns)
        self._score = ScoreKeeper(slot, settings, self._sender, self._letters)
        self._pace = Pace()
        self._has_data = True
        self._is_stopping = False
        self._stop_at = math.inf
        self._ping_at = 0.0 if settings.ping else math.inf
        self._idle_at = math.inf
        self._log_at = 0.0

    def run(self) -> int:
        """
        Work until told to stop, or until the input has ended and is delivered.

        Returns:
            An exit status: 0, or 1 if something was not delivered that nobody can read again.

        Raises:
            StateError: The checkpoint cannot be had.
        """
        keep_heap()
        raise_descriptor_limit()
        self._loop.watch(self._inbox.fileno(), self._on_signals)
        if self._lifeline is not None:
            self._loop.watch(self._lifeline, self._on_lifeline)
        followed = self._follow()
        if followed is None:
            return 0
        self._followed = followed
        self._drain: Drain[Any] = Drain(self._settings, followed.lines, self._packer, self._encoder)
        log.info("%s: started, tag %s", self._settings.path, self._settings.tag)
        try:
            self._score.beat(time.monotonic())
            followed.start(time.monotonic())
            self._score.beat(time.monotonic())
            followed.resume()
            while not self._is_done():
                self._turn()
        finally:
            self._score.turned(time.monotonic(), followed, is_stopping=True)
            self._sender.close()
            followed.close()
            self._loop.close()
        return self._verdict()

    def _follow(self) -> Followed | None:
        lines = max_lines(self._settings, self._packer)
        if self._settings.path == "-":
            return Stream(
                standard_input(), secrets.token_hex(8), self._settings.tail, lines, self._loop, self._wake
            )
        patience = Patience(self._inbox, self._lifeline, self._score.waiting)
        try:
            checkpoint = open_checkpoint(self._settings, self._state_dir, patience, self._configured)
        except ToldToStopError:
            return None
        return FollowedLog(self._settings, checkpoint, lines, self._loop, self._wake)

    def _turn(self) -> None:
        now = self._wait()
        self._followed.tick(now)
        self._sender.advance(now)
        self._letters.tick(self._sender, now)
        self._commit()
        self._feed(now)
        self._ping(now)
        if now >= self._idle_at:
            self._idle_at = math.inf
            release_heap()
        if now >= self._log_at:
            self._log_at = now + LOOK_INTERVAL
            reopen_log()
        self._score.turned(now, self._followed, is_stopping=self._is_stopping)

    def _wait(self) -> float:
        """Wait until there is something to do, and return the time: monotonic seconds."""
        deadline = self._deadline()
        while True:
            until = min(deadline, self._followed.deadline, self._score.beat_deadline)
            is_woken = self._loop.wait(max(0.0, until - time.monotonic()))
            now = time.monotonic()
            if is_woken or now >= deadline or not self._followed.is_quiet(now):
                return now
            self._score.beat(now)

    def _deadline(self) -> float:
        """When the next turn is due if the log and all others are quiet; monotonic seconds."""
        timers = [
            self._sender.deadline,
            self._letters.deadline,
            self._score.deadline,
            self._stop_at,
            self._idle_at,
        ]
        if self._sender.is_connected:
            timers.append(self._ping_at)
        if self._has_data and self._sender.wants_chunk and not self._is_stopping:
            timers.append(self._next_chunk_at())
        return min(timers)

    def _next_chunk_at(self) -> float:
        """A chunk that follows a full one goes at once; small ones keep their pace."""
        return self._pace.allowed_at() if self._drain.is_at_end else 0.0

    def _feed(self, now: float) -> None:
        """Read and send as long as there is something to read and somebody to take it."""
        while self._has_data and self._sender.wants_chunk and not self._is_stopping:
            if now < self._next_chunk_at():
                self._followed.pause()
                return
            self._followed.resume()
            self._drain.keep_to(self._sender.most_bytes)
            chunk = self._drain.next_chunk(now, time.time_ns())
            self._has_data = not self._drain.is_at_end
            if chunk is None:
                return
            self._sender.send(chunk, now)
            self._idle_at = now + IDLE_AFTER
            if self._drain.is_at_end:
                self._pace.spend(now)
        self._followed.listen()  # for rotations, also while nothing can be sent

    def _commit(self) -> None:
        delivered = self._sender.in_flight.take_delivered()
        if not delivered:
            return
        self._letters.settled()
        self._score.delivered(delivered)
        self._followed.delivered(chunk.end for chunk in delivered if chunk.moves_position)

    def _ping(self, now: float) -> None:
        ping = self._settings.ping
        if ping is not None and now >= self._ping_at:
            record = {"data": f"{ping.data} {self._settings.path}"}
            if self._sender.send_message(self._packer.message(ping.tag, time.time_ns(), record)):
                self._ping_at = now + ping.interval

    def _wake(self) -> None:
        """There may be something to read."""
        if self._has_data and not self._sender.wants_chunk:
            self._followed.mute()  # that is known; the next one to ask for data is the sender
        self._has_data = True

    # -- the end ----------------------------------------------------------------------------------------

    def _on_signals(self, _events: int) -> None:
        for signum in self._inbox.take():
            if signum in (signal.SIGTERM, signal.SIGINT):
                self._stop(self._stop_timeout)
            elif signum == signal.SIGHUP:
                log.info("%s: reconnecting", self._settings.path)
                self._sender.reconnect(time.monotonic())
            elif signum == signal.SIGUSR1:
                reopen_log()

    def _on_lifeline(self, _events: int) -> None:
        if self._lifeline is not None and not os.read(self._lifeline, 1):
            self._loop.unwatch(self._lifeline)
            log.warning("%s: the master is gone; the worker finishes", self._settings.path)
            self._stop(min(self._stop_timeout, ORPHAN_PATIENCE))

    def _stop(self, timeout: float) -> None:
        """Read no more; for *timeout* seconds, what is on its way may be acknowledged yet."""
        self._stop_at = min(self._stop_at, time.monotonic() + timeout)
        if not self._is_stopping:
            log.info("%s: stopping", self._settings.path)
            self._is_stopping = True

    def _is_done(self) -> bool:
        is_empty = not self._sender.in_flight and not self._sender.has_unsent
        if self._is_stopping:
            can_arrive = self._sender.is_connected or self._settings.path == "-"
            return is_empty or not can_arrive or time.monotonic() >= self._stop_at
        return self._followed.has_ended and is_empty and not self._has_data

    def _verdict(self) -> int:
        unacked, lines = len(self._sender.in_flight), self._sender.in_flight.lines
        if not unacked:
            log.info("%s: stopped; all that was read is delivered", self._settings.path)
            return 0
        if self._settings.path != "-":
            log.warning("%s: stopped with %d chunks unacknowledged; they are sent again at the next start",
                        self._settings.path, unacked)  # fmt: skip
            return 0
        log.error("standard input: stopped with %d lines undelivered; they are lost", lines)
        return 1


def run_worker(settings: LogSettings, state_dir: str, stop_timeout: float, inbox: SignalInbox, *, slot: Slot | None = None, lifeline: int | None = None, configured: Collection[str] | None = None) -> int:  # fmt: skip
    """
    Run one worker to its end; the arguments are Worker's.

    Returns:
        Its exit status; 1 if it cannot work: then our log, standard error and *slot* say why.
    """
    try:
        return Worker(settings, state_dir, stop_timeout, inbox, slot, lifeline, configured).run()
    except (FluentliteError, OSError) as exc:
        problem = (
            str(exc) if isinstance(exc, FluentliteError) else f"{settings.path}: {exc}; the worker stops"
        )
        # A master says it, and does not repeat it for every successor.
        log.log(logging.ERROR if slot is None else logging.INFO, "%s", problem)
        if slot is not None:
            slot.write(replace(slot.read(), last_error=problem))
        say(f"fluentlite: {problem}", is_error=True)
        return 1
