"""A worker's first step: its checkpoint, or another log's that is this one's, or what takes its place until it can be had."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection

from fluentlite.config.model import LogSettings
from fluentlite.core.position import State
from fluentlite.errors import LockedError, StateError
from fluentlite.logfile import reopen_log
from fluentlite.report import Condition
from fluentlite.worker.adopt import adopt_position
from fluentlite.worker.checkpoint import Checkpoint
from fluentlite.worker.positions import record
from fluentlite.worker.tail import Tail
from fluentlite.worker.waiting import Patience

log = logging.getLogger(__name__)

RETRY_INTERVAL = 5.0
"""Seconds between two attempts to make a checkpoint, and two looks at the log meanwhile."""


class FirstLook:
    """
    What there is to read, from the first look on, as long as it can be recorded nowhere.

    It is a tail that only looks; its positions are kept in memory.

    Attributes:
        state: What a checkpoint would say.
    """

    is_broken, written_ns = False, 0

    def __init__(self, settings: LogSettings) -> None:
        self.state = State(settings.path)
        self._tail = Tail(settings, self, max_lines=1)

    def write(self, state: State) -> None:
        self.state = state

    def look(self) -> None:
        """Look at path and directory."""
        self._tail.look(time.monotonic())

    def close(self) -> None:
        self._tail.close()


def open_checkpoint(settings: LogSettings, state_dir: str, patience: Patience, configured: Collection[str] | None) -> Checkpoint:  # fmt: skip
    """
    Open the checkpoint of a log.

    A predecessor that has it is waited for; a log that was followed by another path keeps its position. Under a
    master, a state_dir that cannot be used is waited for as well: what is written to the log meanwhile is not lost.

    Args:
        configured: Names of the checkpoints of all configured logs; None if there is no master.

    Raises:
        StateError: It cannot be had.
        ToldToStopError: There was a reason to stop while waiting.
    """
    if configured is None:
        return _open(state_dir, settings.path, patience, None)
    trouble, first = Condition(log), None
    try:
        while True:
            try:
                checkpoint = _open(state_dir, settings.path, patience, configured, first)
            except LockedError:
                raise
            except StateError as exc:
                trouble.raise_(f"{exc}; trying again")
                first = first or FirstLook(settings)
                first.look()
                patience.wait(RETRY_INTERVAL, trouble.message)
                reopen_log()
            else:
                trouble.clear(f"{checkpoint.path}: the checkpoint can be used now")
                return checkpoint
    finally:
        if first is not None:
            first.close()


def _open(
    state_dir: str,
    path: str,
    patience: Patience,
    configured: Collection[str] | None,
    first: FirstLook | None = None,
) -> Checkpoint:
    checkpoint = patience.until_free(lambda: Checkpoint(state_dir, path))
    try:
        if not checkpoint.state.is_started:
            adopt_position(checkpoint, configured, patience)
        if not checkpoint.state.is_started and first is not None:
            first.look()  # what has come and gone until the checkpoint was made
            record(checkpoint, first.state)
    except BaseException:
        checkpoint.close()
        raise
    return checkpoint
