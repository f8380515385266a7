"""The chunks on their way: acknowledged in any order, delivered in theirs, cut when they are refused."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fluentlite.core.entries import MsgpackEntries
from fluentlite.core.forward import ChunkEncoder, Position, Step
from fluentlite.core.inflight import SPLIT_AFTER, InFlight

ENCODER = ChunkEncoder("app", require_ack=True)


def chunk(start, steps=4):
    """A chunk of one-byte steps that begins at the offset *start*."""
    return ENCODER.encode("file", [step(start + n) for n in range(steps)])


def step(offset):
    return Step(b"e%d" % offset, 1, 1, Position(1, offset + 1, b"%d" % offset))


def offsets(chunks):
    """The offsets of the bytes in *chunks*."""
    return [step.end.offset - 1 for chunk in chunks for step in chunk.steps]


def filled(*chunks):
    flying = InFlight()
    for one in chunks:
        flying.add(one)
        flying.note_sent(one, 1.0)
    return flying


def fail(flying, times=1):
    """The chunk that was cut, of as many failures in a row."""
    return [flying.fail(ENCODER) for _ in range(times)][-1]


A, B, C = chunk(0), chunk(4), chunk(8)


@pytest.mark.parametrize(
    ("acks", "delivered"),
    [
        pytest.param([A], [A], id="oldest"),
        pytest.param([B], [], id="newer-waits"),
        pytest.param([C, B], [], id="two-newer-wait"),
        pytest.param([B, A], [A, B], id="gap-closed"),
        pytest.param([C, A], [A], id="gap-left"),
        pytest.param([C, B, A], [A, B, C], id="backwards"),
        pytest.param([A, B, C], [A, B, C], id="in-order"),
    ],
)
def test_delivered_in_order(acks, delivered):
    """A chunk is delivered when it and all before it are acknowledged, be it in one call or in many."""
    one_by_one, at_once = filled(A, B, C), filled(A, B, C)
    for one in acks:
        one_by_one.acknowledge([one.id])
    at_once.acknowledge(one.id for one in acks)

    for flying in one_by_one, at_once:
        assert flying.take_delivered() == delivered
        assert flying.take_delivered() == []
        assert len(flying) == 3 - len(delivered)
        assert list(flying.unacknowledged()) == [one for one in (A, B, C) if one not in acks]


def test_what_is_sent_again_is_counted():
    """A chunk sent a second time is a repetition, for every time; its first time is not."""
    flying = InFlight()
    flying.add(A)
    assert [flying.note_sent(A, 1.0) for _ in range(3)] == [False, True, True]
    assert flying.resent == 2


def test_lines_in_flight():
    """Lines are counted until they are delivered."""
    flying = filled(A, B)
    assert flying.lines == 8
    flying.acknowledge([A.id])
    assert flying.lines == 4


def test_cut_after_three_failures_in_a_row():
    """The third failure of the same oldest chunk cuts it between its steps; nothing else changes (S28)."""
    flying = filled(A, B)
    assert (fail(flying), fail(flying)) == (None, None)
    assert fail(flying) is A

    first, second, last = flying.unacknowledged()
    assert (offsets([first]), offsets([second]), last) == ([0, 1], [2, 3], B)
    assert len({A.id, first.id, second.id}) == 3
    assert [flying.note_sent(one, 1.0) for one in (first, second, last)] == [False, False, True]


def test_parts_are_cut_again():
    """A part is under the suspicion of the whole: the next failure cuts it again, down to one entry (S28)."""
    flying = filled(A)
    fail(flying, SPLIT_AFTER)
    assert fail(flying) is not None
    assert [offsets([one]) for one in flying.unacknowledged()] == [[0], [1], [2, 3]]

    assert fail(flying, 20) is None
    assert [offsets([one]) for one in flying.unacknowledged()] == [[0], [1], [2, 3]]


def test_an_ack_of_the_oldest_begins_the_count_anew():
    """Failures count for one chunk; another oldest chunk has its own three."""
    flying = filled(A, B)
    fail(flying, 2)
    flying.acknowledge([A.id])
    assert fail(flying, 2) is None
    assert fail(flying) is B


def test_an_ack_of_a_newer_chunk_does_not():
    """While the oldest chunk fails, acks of newer ones do not help it."""
    flying = filled(A, B)
    fail(flying, 2)
    flying.acknowledge([B.id])

    assert fail(flying) is A
    assert offsets(flying.unacknowledged()) == [0, 1, 2, 3]
    flying.acknowledge(one.id for one in list(flying.unacknowledged()))
    assert offsets(flying.take_delivered()) == list(range(8))


def test_a_failure_without_chunks_is_none():
    """A connection that ends idle fails no chunk."""
    assert fail(InFlight(), 5) is None


def test_a_step_is_cut_between_its_entries():
    """A single step is cut into single records; only the last one of them has the step's bytes (S28, S36)."""
    packer = MsgpackEntries("m")
    packer.begin(0)
    lines = [b"%d" % n for n in range(20)]
    one = ENCODER.encode("file", [Step(packer.pack(lines), 20, 50, Position(1, 50, b"19\n"))])
    flying = filled(one, B)
    fail(flying, SPLIT_AFTER)
    assert [part.count for part in flying.unacknowledged()] == [2, 3, 2, 3, 2, 3, 2, 3, 4]
    fail(flying)
    assert [part.count for part in flying.unacknowledged()] == [1, 1, 3, 2, 3, 2, 3, 2, 3, 4]
    head = flying.head
    assert fail(flying) is None
    assert flying.head is head
    assert flying.failures(head) == SPLIT_AFTER


def test_another_chunk_fails():
    """A failure can be another chunk's than the oldest one's; it is cut as well (S36)."""
    flying = filled(A, B)
    for _ in range(SPLIT_AFTER):
        assert flying.failures(A) == 0
        cut = flying.fail(ENCODER, B)
    assert cut is B
    assert [offsets([one]) for one in flying.unacknowledged()] == [[0, 1, 2, 3], [4, 5], [6, 7]]


def test_what_is_given_up():
    """The oldest chunk is given up: its position is passed on without its entries, and what waits for it as well (S36)."""
    flying = filled(A, B, C)
    flying.acknowledge([B.id])
    assert flying.acknowledged_early == 1
    flying.give_up()
    hollow, second = flying.take_delivered()

    assert (hollow.end, hollow.count, second) == (A.end, 0, B)
    assert flying.head is C
    InFlight().give_up()


def test_what_travelled_behind_a_chunk_is_loose():
    """What was appended to a chunk that is cut, or that goes alone, is kept, once (S36)."""
    first = ENCODER.encode("file", [step(0), step(1)], appended=b"first")
    second = ENCODER.encode("file", [step(2)], appended=b"second")
    flying = filled(first, second)
    flying.cut(first, ENCODER)
    alone = flying.make_alone(second)

    assert flying.loose == [b"first", b"second"]
    assert alone is flying.make_alone(alone) is list(flying.unacknowledged())[-1]
    assert (alone.id, alone.appended) == (second.id, b"")


class InFlightModel(RuleBasedStateMachine):
    """Acks, failures and new chunks in any order: every byte is delivered once, and in order."""

    def __init__(self):
        super().__init__()
        self.flying = InFlight()
        self.added = 0
        self.acked: set[int] = set()
        self.delivered: list[int] = []

    @rule(steps=st.integers(1, 9))
    def add(self, steps):
        made = chunk(self.added, steps)
        self.added += steps
        self.flying.add(made)
        self.flying.note_sent(made, 1.0)

    @precondition(lambda self: any(self.flying.unacknowledged()))
    @rule(data=st.data())
    def acknowledge(self, data):
        waiting = list(self.flying.unacknowledged())
        chosen = data.draw(st.lists(st.sampled_from(waiting), unique_by=lambda one: one.id))
        self.acked.update(offsets(chosen))
        self.flying.acknowledge([one.id for one in chosen])

    @rule()
    def connection_ends(self):
        fail(self.flying)
        for one in list(self.flying.unacknowledged()):
            self.flying.note_sent(one, 1.0)

    @rule()
    def take(self):
        self.delivered += offsets(self.flying.take_delivered())

    @invariant()
    def what_is_delivered_is_all_up_to_some_byte(self):
        assert self.delivered == list(range(len(self.delivered)))
        assert self.acked.issuperset(self.delivered)

    @invariant()
    def what_is_unacknowledged_is_all_the_rest(self):
        waiting = offsets(self.flying.unacknowledged())
        assert waiting == [offset for offset in range(self.added) if offset not in self.acked]
        assert (len(self.flying) == 0) == (not waiting)


TestInFlightModel = InFlightModel.TestCase
