"""How large chunks may be, learnt from what servers take and what not."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentlite.core.cutting import PARTS
from fluentlite.core.dispatch import WITNESS_BYTES, Dispatch
from fluentlite.core.ending import Ending
from fluentlite.core.entries import MsgpackEntries
from fluentlite.core.forward import ChunkEncoder, Position, Step
from fluentlite.core.sizes import FLOOR, PATIENCE, Sizes
from fluentlite.core.trial import ALONE_TRIES

ENCODER = ChunkEncoder("app", require_ack=True)
FULL = 1 << 20


def send(sizes, size, limit):
    """
    One chunk, and its parts if it is not taken; returns how many of them were not.

    Args:
        limit: What the servers take.
    """
    if size <= limit:
        sizes.taken(size)
        return 0
    sizes.refused(size)
    failed = 1
    for part in (size // 2, size - size // 2):
        while sizes.is_too_large(part):  # nobody tries it
            part //= 2
        failed += send(sizes, part, limit)
    return failed


def next_size(sizes):
    """That of the next chunk, from a log in which there is always more."""
    return int(min(sizes.limit, FULL))


def test_where_everything_is_taken():
    """There is no limit, whatever was cut in an outage: a sibling of the last part is as large as what was cut."""
    sizes = Sizes()
    sizes.taken(FULL)
    assert (sizes.limit, sizes.is_learning) == (math.inf, False)
    for size in (FULL, FULL // 2, FULL // 4):
        sizes.refused(size)
    for size in (FULL // 8, FULL // 8, FULL // 4):
        sizes.taken(size)
    assert (sizes.limit, sizes.is_learning) == (math.inf, False)


def test_a_limit_is_learnt_and_kept():
    """What is not taken is tried once, and then again after ever longer whiles."""
    sizes = Sizes()
    failures = [send(sizes, next_size(sizes), 300_000) for _ in range(20_000)]
    tried = [number for number, count in enumerate(failures) if count]
    assert tried[0] == 0
    assert len(tried) == 4
    assert all(later > 5 * earlier for earlier, later in itertools.pairwise(tried))
    assert next_size(sizes) > 100_000
    assert sizes.is_doubtful(FULL) and not sizes.is_doubtful(next_size(sizes))


def test_a_limit_that_is_raised():
    """It is found out, by the next larger one that is tried; or at once, when somebody says so."""
    sizes = Sizes()
    send(sizes, FULL, 300_000)
    assert next_size(sizes) < FULL
    for _ in range(PATIENCE):
        send(sizes, next_size(sizes), math.inf)
    assert (next_size(sizes), sizes.is_trying or not sizes.is_learning) == (FULL, True)
    send(sizes, FULL, math.inf)
    assert not sizes.is_learning

    send(sizes, FULL, 300_000)
    sizes.try_larger()
    assert next_size(sizes) == FULL
    send(sizes, FULL, 300_000)
    assert next_size(sizes) < FULL, "it costs one try, and what was known is known"


def test_what_is_small_tells_nothing():
    """No server has so low a limit: something else was the matter, an outage or a line (S28)."""
    sizes = Sizes()
    sizes.refused(FLOOR - 1)
    sizes.taken(50)
    assert (sizes.limit, sizes.is_learning) == (math.inf, False)

    sizes.refused(FLOOR)
    sizes.taken(50)
    assert sizes.limit == FLOOR // 2


def test_one_try_is_one_chunk():
    """A log whose chunks are never again as large as the one that was not taken does not try for ever (S28)."""
    sizes = Sizes()
    sizes.refused(FULL)
    for _ in range(PATIENCE):
        sizes.taken(FULL // 2)
    assert sizes.is_trying
    sizes.taken(FULL - 1)
    assert (sizes.is_trying, sizes.limit) == (False, FULL - 1)


def test_a_limit_that_is_lowered():
    """What was taken once, and is not any more, does not count."""
    sizes = Sizes()
    send(sizes, FULL, 300_000)
    send(sizes, next_size(sizes), 50_000)
    assert next_size(sizes) <= 50_000


@given(st.lists(st.tuples(st.booleans(), st.integers(1, FULL)), max_size=60))
def test_whatever_happens(events):
    """The limit is something that was taken, and nothing as large as what was not."""
    sizes, taken = Sizes(), set()
    for is_taken, size in events:
        if is_taken:
            sizes.taken(size)
            taken.add(size)
        else:
            sizes.refused(size)
        assert sizes.limit == math.inf or sizes.limit in taken | {FLOOR // 2}
        assert sizes.limit == math.inf or not sizes.is_doubtful(int(sizes.limit))
        assert not (sizes.is_trying and sizes.limit < math.inf)


# -- what is sent because of it -----------------------------------------------------------------------


def chunk(number, steps, lines=10, size=1000):
    """A chunk of *steps* steps with *lines* lines of *size* bytes each."""
    made = []
    for step in range(steps):
        packer = MsgpackEntries("m")
        packer.begin(0)
        entries = packer.pack(
            [b"%02d-%02d-%02d" % (number, step, line) + b"." * (size - 9) for line in range(lines)]
        )
        end = 1_000_000 * number + size * lines * (step + 1)
        made.append(Step(entries, lines, size * lines, Position(1, end, b"%d" % end)))
    return ENCODER.encode("file", made)


@pytest.fixture
def dispatch():
    """One that has learnt that eight steps are too many, and four are not."""
    made = Dispatch(ENCODER, ("s",), can_refuse=True)
    first = chunk(1, 8)
    made.added(first)
    for _ in range(3):
        made.connected("s", 0.0)
        cut = made.ended("s", Ending(first.id, True, False, "closed"), 0.0)
    assert cut is first
    [part] = made.connected("s", 0.0)
    [other] = made.acknowledged("s", [part.id])
    assert made.acknowledged("s", [other.id]) == []
    assert (part.count, other.count) == (40, 40)
    assert made.size_limit == max(part.entries_size, other.entries_size)
    return made


def test_what_is_on_its_way_goes_in_parts(dispatch):
    """What is known to be too large is cut before it is tried, between its steps; all of it arrives in order."""
    small, large = chunk(2, 4), chunk(3, 9)
    for one in (small, large):
        dispatch.in_flight.add(one)
    sent = dispatch.connected("s", 0.0)
    assert sent[0] is small
    assert all(one.entries_size <= dispatch.size_limit for one in sent)
    assert b"".join(step.entries for one in sent[1:] for step in one.steps) == b"".join(
        step.entries for step in large.steps
    )
    dispatch.acknowledged("s", [one.id for one in sent])
    assert dispatch.in_flight.take_delivered()[-1].end == large.end


def test_one_step_is_cut_as_well(dispatch):
    """A single read that is larger is cut between its lines."""
    dispatch.in_flight.add(chunk(2, 1, lines=90))
    sent = dispatch.connected("s", 0.0)
    assert len(sent) == PARTS
    assert sum(one.count for one in sent) == 90


def test_a_line_that_is_larger_goes_alone(dispatch):
    """A line as large as what was not taken goes alone, and is on trial when it fails once more: there may be nothing wrong with it."""
    line, behind = chunk(2, 1, lines=1, size=90_000), chunk(3, 1)
    for one in (line, behind):
        dispatch.in_flight.add(one)
    assert dispatch.connected("s", 0.0) == [line]
    assert not dispatch.wants_chunk(4)
    assert dispatch.acknowledged("s", [line.id]) == [behind]
    assert not dispatch._sizes.is_learning


def test_lines_in_a_row_that_are_larger(dispatch):
    """None of them is the witness of another one: a later line is read for that, and as little as can be (S36)."""
    lines = [chunk(number, 1, lines=1, size=90_000) for number in (2, 3, 4)]
    for one in lines:
        dispatch.in_flight.add(one)
    assert dispatch.connected("s", 0.0) == [lines[0]]
    dispatch.ended("s", Ending(lines[0].id, True, False, "closed"), 0.0)
    assert dispatch.on_trial is lines[0]
    assert dispatch.wants_chunk(4)
    assert dispatch.most_bytes == WITNESS_BYTES

    small = chunk(5, 1, lines=1)
    dispatch.added(small)
    assert not dispatch.wants_chunk(4)
    for _ in range(ALONE_TRIES):
        assert dispatch.connected("s", 0.0) == [lines[0]]
        dispatch.ended("s", Ending(lines[0].id, True, False, "closed"), 0.0)
    assert dispatch.connected("s", 0.0) == [small]


def test_a_witness_behind_the_record_is_sent_once(dispatch):
    """A silent server that takes the record after all has its witness already."""
    record, witness, behind = (chunk(number, 1, lines=1) for number in (2, 3, 4))
    for one in (record, witness, behind):
        dispatch.in_flight.add(one)
    silent = Ending(record.id, True, True, "no ack")
    for _ in range(3):
        dispatch.connected("s", 0.0)
        dispatch.ended("s", silent, 0.0)
    for _ in range(ALONE_TRIES):
        assert dispatch.connected("s", 0.0) == [record]
        dispatch.ended("s", silent, 0.0)
    assert dispatch.connected("s", 0.0) == [record, witness]
    assert dispatch.acknowledged("s", [record.id]) == [behind]
    assert dispatch.acknowledged("s", [witness.id]) == []
    assert dispatch.acknowledged("s", [behind.id]) == []
    assert len(dispatch.in_flight) == dispatch.in_flight.acknowledged_early == 0


def test_a_larger_one_is_tried_alone(dispatch):
    """After a while a large chunk is read again: when nothing is on its way, and nothing goes beside it."""
    while not dispatch._sizes.is_trying:
        assert dispatch.wants_chunk(4)
        one = chunk(2, 1)
        assert dispatch.added(one) == [one]
        dispatch.acknowledged("s", [one.id])
    assert dispatch.size_limit == math.inf

    waiting, large = chunk(3, 1), chunk(4, 8)
    dispatch.added(waiting)
    assert not dispatch.wants_chunk(4)
    dispatch.acknowledged("s", [waiting.id])
    assert dispatch.wants_chunk(4)
    assert dispatch.added(large) == [large]
    assert not dispatch.wants_chunk(4)

    assert dispatch.ended("s", Ending(large.id, True, False, "closed"), 0.0) is large
    assert dispatch.size_limit < large.entries_size
    sent = dispatch.connected("s", 0.0)
    assert all(one.entries_size <= dispatch.size_limit for one in sent)


def test_a_larger_one_that_is_taken(dispatch):
    """... and if it is taken, size does not matter any more."""
    dispatch._sizes._left = 0
    large = chunk(4, 8)
    dispatch.added(large)
    dispatch.acknowledged("s", [large.id])
    assert not dispatch._sizes.is_learning
    assert dispatch.wants_chunk(4)
