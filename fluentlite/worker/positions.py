"""What a tail needs of a checkpoint, and writing one so that what comes next can rely on it."""

from __future__ import annotations

from typing import Protocol

from fluentlite.core.position import State
from fluentlite.errors import StateError
from fluentlite.worker.checkpoint import Checkpoint


class Positions(Protocol):
    """Whatever remembers where a log has to be read on from; the attributes are those of Checkpoint."""

    state: State
    is_broken: bool
    written_ns: int

    def write(self, state: State) -> None: ...


def record(checkpoint: Checkpoint, state: State) -> None:
    """
    Write *state*, safe from a power loss.

    Raises:
        StateError: That cannot be now.
    """
    checkpoint.write(state)
    if checkpoint.state != state:
        raise StateError(checkpoint.trouble)
    problem = checkpoint.secure()
    if problem is not None:
        raise StateError(
            f"{checkpoint.path}: the first position cannot be synced ({problem.strerror}); mend the disk of state_dir"
        )
