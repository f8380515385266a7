"""Thousands of rotations: nothing grows, neither descriptors nor memory nor the checkpoint."""

from __future__ import annotations

import gc

import pytest
from following import open_descriptors

from fluentlite.core.position import MAX_FINISHED, SLOT_SIZE, SLOTS

ROTATIONS = 10_000
WARM_UP = 200


def rename_all(log, number):
    log.rotate(keep=3)


def date(log, number):
    """Every rotation gets a name of its own, and the oldest but a few are removed."""
    log.rename(f"app.log-{number:08}")
    log.path.with_name(f"app.log-{number - 3:08}").unlink(missing_ok=True)


def copytruncate(log, number):
    log.copytruncate("app.log.1")


def delete(log, number):
    log.path.unlink()


WAYS = [(rename_all, ROTATIONS), (date, 1000), (copytruncate, 1000), (delete, 1000)]


@pytest.mark.parametrize(("rotate", "count"), WAYS)
def test_nothing_grows(log, follower, caplog, rotate, count):
    """10,000 rotations cost no descriptor, no memory and no byte of the checkpoint, and lose no line (T51)."""
    caplog.set_level("WARNING", logger="fluentlite")  # what is said is kept, and would grow
    follower.start()
    for number in range(count):
        log.append(str(number))
        follower.look(3.0)
        follower.read()
        follower.deliver()
        rotate(log, number)
        if number == WARM_UP:
            before = open_descriptors(), len(gc.get_objects())
    log.append("last")
    follower.finish()

    assert follower.lines == [*map(str, range(count)), "last"]
    assert open_descriptors() <= before[0]
    assert len(gc.get_objects()) - before[1] < 2000
    assert follower.checkpoint.path.stat().st_size == SLOTS * SLOT_SIZE
    assert len(follower.checkpoint.state.finished) <= MAX_FINISHED
    assert len(follower.tail._finished.sizes()) <= 5
    assert len(follower.tail.generations) == 1
