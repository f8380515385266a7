"""Which chunks go on a connection: all, or one at a time while a record is on trial."""

from __future__ import annotations

import pytest

from fluentlite.core import dispatch as module
from fluentlite.core.dispatch import Dispatch
from fluentlite.core.ending import Ending
from fluentlite.core.entries import MsgpackEntries
from fluentlite.core.forward import ChunkEncoder, Position, Step
from fluentlite.core.trial import ALONE_TRIES, REFUSALS

ENCODER = ChunkEncoder("app", require_ack=True)


def chunk(number, count=1, appended=b""):
    """A chunk of *count* lines that is told from others by its *number*."""
    packer = MsgpackEntries("m")
    packer.begin(0)
    lines = [b"%02d-%02d" % (number, place) for place in range(count)]
    end = Position(1, 1000 * number + 6 * count, lines[-1])
    return ENCODER.encode("file", [Step(packer.pack(lines), count, 6 * count, end)], appended=appended)


def others(count):
    """So many chunks that are none of those with a name."""
    return [chunk(number) for number in range(10, 10 + count)]


X, A, B, C = (chunk(number) for number in range(1, 5))


class Bench:
    """A dispatch, and servers that refuse X."""

    def __init__(self, *chunks, servers=("s",), can_refuse=True):
        self.dispatch = Dispatch(ENCODER, servers, can_refuse=can_refuse)
        for one in chunks:
            self.dispatch.added(one)
        self.now = 0.0

    def end(self, server="s", *, begun=X, is_answer=True, is_silence=False):
        self.now += 1.0
        return self.dispatch.ended(server, Ending(begun.id, is_answer, is_silence, "closed"), self.now)

    def connect(self, server="s"):
        return self.dispatch.connected(server, self.now)

    def put_on_trial(self, **how):
        for _ in range(3):
            self.connect()
            self.end(**how)
        return self

    def try_alone(self, server="s", times=ALONE_TRIES, **how):
        for _ in range(times):
            assert self.connect(server) == [X]
            self.end(server, **how)
        return self

    def refuse(self, server="s", **how):
        """One connection: a witness is acknowledged, X is not."""
        [witness] = self.connect(server)
        assert self.dispatch.acknowledged(server, [witness.id]) == [X]
        self.end(server, **how)
        return witness

    @property
    def is_refused(self):
        return self.dispatch.refusal(self.now) is not None


def test_ordinary_connections():
    """All that is unacknowledged goes on a new connection, in order, and each new chunk at once."""
    bench = Bench(X, A)
    assert bench.connect() == [X, A]
    assert bench.dispatch.added(B) == [B]
    assert bench.dispatch.acknowledged("s", [A.id]) == []
    assert bench.connect() == [X, B]


def test_on_trial_the_record_is_alone():
    """After three failures the record is alone on its connections, and nothing else is sent or read (S36)."""
    bench = Bench(X, A).put_on_trial()
    assert bench.dispatch.on_trial is X
    assert bench.connect() == [X]
    assert bench.dispatch.added(B) == []
    assert not bench.dispatch.wants_chunk(4)


def test_an_ack_ends_the_trial():
    """Any ack of the record ends its trial at once; all others follow on that connection (S36)."""
    bench = Bench(X, A, B).put_on_trial()
    bench.connect()

    assert bench.dispatch.acknowledged("s", [X.id]) == [A, B]
    assert bench.dispatch.on_trial is None
    assert bench.dispatch.wants_chunk(4)


def test_the_way_to_a_verdict():
    """Alone three times, then three times behind a witness that is acknowledged: refused (S36)."""
    bench = Bench(X, A, B, C).put_on_trial().try_alone()
    assert [bench.refuse() for _ in range(REFUSALS)] == [A, B, C]
    refusal = bench.dispatch.refusal(bench.now)
    assert (refusal.chunk, refusal.reasons) == (X, [("s", "closed")])

    bench.dispatch.give_up(bench.now)
    assert [(one.id, one.count) for one in bench.dispatch.in_flight.take_delivered()] == [
        (X.id, 0), *((one.id, 1) for one in (A, B, C))
    ]  # fmt: skip
    assert bench.connect() == []


@pytest.mark.parametrize("how", [{"is_answer": False}, {"begun": A}], ids=["the-network", "not-begun"])
def test_what_does_not_count(how):
    """A network that fails, or an end before anything of the record was sent, is nobody's answer (S36)."""
    bench = Bench(X, A, *others(15)).put_on_trial().try_alone(times=10, **how).try_alone()
    for _ in range(10):
        bench.refuse(**how)
    assert not bench.is_refused


def test_a_witness_without_ack_is_an_outage():
    """If the witness fails as well, the record goes first again, and twice as often (S36)."""
    bench = Bench(X, A, B).put_on_trial().try_alone()
    assert bench.connect() == [A]
    bench.end(begun=A)

    bench.try_alone(times=2 * ALONE_TRIES)
    assert bench.connect() == [B], "another witness than the one that failed"


def test_without_acks_there_is_no_trial():
    """Where servers do not acknowledge, none can refuse (S36)."""
    bench = Bench(X, A, can_refuse=False).put_on_trial().put_on_trial()
    assert bench.dispatch.on_trial is None
    assert bench.connect() == [X, A]


def test_nothing_goes_behind_a_suspected_chunk():
    """
    What has failed twice, and the parts of what was cut, go one at a time: a server that drops one of them silently would
    acknowledge those behind it, and these would come again after a restart (S28, S36).
    """
    bench = Bench(large := chunk(9, 20), A, B)
    assert bench.connect() == [large, A, B]
    bench.end(begun=large)
    assert bench.connect() == [large, A, B]
    bench.end(begun=large)
    assert bench.connect() == [large]
    assert not bench.dispatch.wants_chunk(9)
    assert bench.dispatch.added(C) == []
    bench.end(begun=large)

    [part] = bench.connect()
    sent = []
    while part.source == "file" and part.steps[0].place:
        sent.append(part)
        following = bench.dispatch.acknowledged("s", [part.id])
        if len(following) > 1:
            break
        [part] = following
    assert sum(one.count for one in sent) == 20
    assert following == [A, B, C], "the rest goes together again"
    assert bench.dispatch.wants_chunk(9)


def test_without_a_witness_the_record_waits():
    """With nothing behind it, it is tried alone, and one more chunk is asked for (S36)."""
    bench = Bench(X).put_on_trial().try_alone(times=20)
    assert bench.dispatch.wants_chunk(1)
    bench.dispatch.added(A)
    assert not bench.dispatch.wants_chunk(1)

    assert bench.connect() == [A]


def test_a_witness_is_one_line():
    """Little is acknowledged early: a chunk that is a witness is cut down to its first line (S36)."""
    bench = Bench(X, chunk(9, 100)).put_on_trial().try_alone()
    witnesses = [bench.refuse() for _ in range(REFUSALS)]

    assert [step.span.start for one in witnesses for step in one.steps] == [9000, 9006, 9012]
    assert {one.count for one in witnesses} == {1}


def test_many_refused_lines_in_a_row():
    """When the next line is no witness either, the last one that is on its way is the best guess (S36)."""
    bench = Bench(X, A, chunk(9, 100)).put_on_trial().try_alone()
    assert bench.connect() == [A]
    bench.end(begun=A)
    bench.try_alone(times=2 * ALONE_TRIES)
    [witness] = bench.connect()

    assert witness.steps[0].span.end == 9600


def test_every_server_is_asked():
    """A server that has refused is left alone until the others have, one that was not reached is waited for (S36)."""
    bench = Bench(X, *others(15), servers=("s", "t")).put_on_trial().try_alone("s")
    for _ in range(REFUSALS):
        bench.refuse("s")
    assert [bench.dispatch.skips(server, bench.now) for server in "st"] == [True, False]
    for _ in range(30):
        bench.now += 60.0
        bench.dispatch.unreached("t", bench.now)
        if bench.is_refused:
            break
    assert 600 <= bench.now <= 700
    assert not bench.dispatch.skips("s", bench.now)


def test_witnesses_are_bounded(monkeypatch):
    """What is acknowledged early is kept in memory, so it is not more and more (S36)."""
    monkeypatch.setattr(module, "MOST_WITNESSES", 5)
    bench = Bench(X, *others(45)).put_on_trial().try_alone()
    for _ in range(5):
        bench.refuse(is_answer=False)

    assert bench.connect() == [X]
    assert not bench.dispatch.wants_chunk(100)


def test_messages_wait():
    """What needs no ack is sent before a trial or after it; what was appended to the record as well (S36)."""
    bench = Bench(chunk(1, appended=b"drain"), A)
    bench.dispatch.keep(b"one")
    assert bench.dispatch.take_loose() == [b"one"]
    bench.put_on_trial()
    bench.dispatch.keep(b"two")
    assert bench.dispatch.take_loose() == []
    [alone] = bench.connect()
    assert (alone.id, alone.appended) == (X.id, b"")

    bench.dispatch.acknowledged("s", [X.id])
    assert bench.dispatch.take_loose() == [b"drain", b"two"]


def test_messages_that_wait_are_bounded():
    """Pings of hours are not kept."""
    bench = Bench(X, A).put_on_trial()
    for number in range(1000):
        bench.dispatch.keep(b"%d" % number)
    bench.dispatch.acknowledged("s", [X.id])

    assert bench.dispatch.take_loose() == [b"%d" % number for number in range(900, 1000)]


# -- servers that say nothing ---------------------------------------------------------------------------


@pytest.fixture
def silent():
    """A record that was tried alone often enough, and each time was not acknowledged, by a server that closes nothing."""
    return Bench(X, *others(50)).put_on_trial(is_silence=True).try_alone(is_silence=True)


def test_a_silent_server_refuses_what_it_skips(silent):
    """The witness goes directly behind the record: a server that acknowledges it, and not the record, has dropped that (S28, S36)."""
    for _ in range(REFUSALS):
        assert silent.dispatch.refusal(silent.now) is None
        record, witness = silent.connect()
        assert record == X
        assert silent.dispatch.acknowledged("s", [witness.id]) == []
        silent.end(begun=witness, is_silence=True)

    assert silent.dispatch.refusal(silent.now).chunk == X


def test_a_slow_server_refuses_nothing(silent):
    """One that is only late has not acknowledged what came behind either, however often; and takes the record in the end (S31)."""
    for _ in range(200):
        sent = silent.connect()
        silent.end(begun=sent[-1], is_silence=True)
        assert silent.dispatch.refusal(silent.now) is None

    while len(sent := silent.connect()) < 2:
        silent.end(is_silence=True)
    assert sent[0] == X
    silent.dispatch.acknowledged("s", [X.id])
    assert silent.dispatch.on_trial is None


def test_silence_behind_a_witness_is_no_refusal():
    """A server that closed first, and is slow now, may be late with the record: that is asked again, with the witness behind it (S31)."""
    bench = Bench(X, *others(20)).put_on_trial().try_alone()
    for _ in range(REFUSALS):
        [witness] = bench.connect()
        assert bench.dispatch.acknowledged("s", [witness.id]) == [X]
        bench.end(is_silence=True)
        assert bench.dispatch.refusal(bench.now) is None
        record, witness = bench.connect()
        assert record == X
        bench.end(begun=witness)  # it closes the connection: on one of the two, nobody knows which

    assert bench.dispatch.refusal(bench.now) is None
    assert len(bench.connect()) == 1
