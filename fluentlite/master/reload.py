"""Reading the configuration again: as often as asked, one reading at a time, the last one counts."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from fluentlite.errors import ConfigError
from fluentlite.loop import Loop
from fluentlite.master.control import Reply
from fluentlite.master.plan import Plan
from fluentlite.master.reader import Outcome, Reading

log = logging.getLogger(__name__)

MOST_LOGGED = 20
"""Problems of one configuration that our log tells; whoever asks gets all of them."""


class Reloads:
    """
    Args:
        make_plan: Reads the configuration; called in a process of its own.
        loop: Watches for its result.
        apply: Makes a plan the master's and returns what has changed, or raises ConfigError.

    Attributes:
        problems: Why the last configuration was not applied; empty if it was.
    """

    def __init__(
        self, make_plan: Callable[[], Plan], loop: Loop, apply: Callable[[Plan], dict[str, int]]
    ) -> None:
        self._make_plan, self._loop, self._apply = make_plan, loop, apply
        self._reading: Reading | None = None
        self._replies: list[Reply] = []
        self._next_replies: list[Reply] = []
        self._is_asked_again = False
        self.on_end: Callable[[], None] = lambda: None
        self.problems: tuple[str, ...] = ()

    def ask(self, reply: Reply | None) -> None:
        """
        Read the configuration as it is now, or later than now.

        A reading under way may have begun before the file was changed: another one follows it.
        """
        if reply is not None:
            self._next_replies.append(reply)
        if self._reading is not None:
            self._is_asked_again = True
        else:
            self._begin()

    @property
    def deadline(self) -> float:
        return self._reading.deadline if self._reading is not None else math.inf

    def tick(self, now: float) -> None:
        if self._reading is not None:
            self._reading.tick(now)

    def reaped(self, pid: int) -> None:
        """*pid* is no worker's."""
        if self._reading is not None:
            self._reading.reaped(pid)

    def abandon(self, answer: dict[str, object]) -> None:
        """Read no more; whoever waits gets *answer*."""
        if self._reading is not None:
            self._reading.abandon()
            self._reading = None
        for reply in (*self._replies, *self._next_replies):
            reply.send(answer)
        self._replies, self._next_replies = [], []

    def _begin(self) -> None:
        self._replies, self._next_replies, self._is_asked_again = self._next_replies, [], False
        try:
            self._reading = Reading(self._make_plan, self._loop, self._done)
        except OSError as exc:
            self._answer(
                problems=(f"the configuration cannot be read now ({exc.strerror}); reload again later",)
            )

    def _done(self, outcome: Outcome) -> None:
        # What was read is applied even if it has been asked for again: else a storm of HUPs would keep all from it.
        self._reading = None
        if isinstance(outcome, Plan):
            try:
                changes = self._apply(outcome)
            except ConfigError as exc:
                self._answer(problems=exc.problems)
            else:
                self._answer(changes=changes)
        else:
            self._answer(problems=outcome)
        if self._is_asked_again:
            self._begin()

    def _answer(self, problems: tuple[str, ...] = (), changes: dict[str, int] | None = None) -> None:
        self.problems = problems
        for problem in problems[:MOST_LOGGED]:
            log.error("reload refused, everything goes on as before: %s", problem)
        if len(problems) > MOST_LOGGED:
            log.error(
                "reload refused: %d more problems; fluentlite check tells them all",
                len(problems) - MOST_LOGGED,
            )
        for reply in self._replies:
            reply.send({"ok": True, "changes": changes} if not problems else {"ok": False, "problems": list(problems)})  # fmt: skip
        self._replies = []
        self.on_end()
