"""
Whatever servers do, and in whatever order: each record is delivered or refused, once and in its turn, and none waits for ever.

A model of everything around a Dispatch: a log that is read, connections that break, servers with limits and whims.
"""

from __future__ import annotations

import math
import random

import pytest

from fluentlite.core import dispatch as module
from fluentlite.core import sizes
from fluentlite.core.cutting import bounds
from fluentlite.core.dispatch import Dispatch
from fluentlite.core.ending import Ending
from fluentlite.core.entries import MsgpackEntries
from fluentlite.core.forward import ChunkEncoder, Position, Step

MOST_TURNS = 5000
"""After all is well again; a few hundred are usual."""


def lines_of(chunk):
    return [entry.line for step in chunk.steps for entry in bounds(step.entries, as_json=False)]


class Server:
    """
    Attributes:
        limit: Bytes of entries that it takes at most.
        is_silent: It says nothing to what it does not take, rather than to close.
        mood: ``well``; ``down``: cannot be reached; ``closes`` at once; ``deaf``: acknowledges nothing.
    """

    def __init__(self):
        self.limit, self.is_silent, self.mood = math.inf, False, "well"

    def takes(self, chunk, poison):
        return chunk.entries_size <= self.limit and poison.isdisjoint(lines_of(chunk))


class World:
    def __init__(self, seed):
        rng = self.rng = random.Random(seed)
        self.encoder = ChunkEncoder("app", require_ack=True)
        self.servers = {name: Server() for name in "abc"[: rng.choice((1, 1, 2, 3))]}
        self.dispatch = Dispatch(self.encoder, list(self.servers), can_refuse=True)
        self.max_in_flight = rng.choice((1, 2, 4))
        self.full, self.step = rng.choice((400, 2000, 8000)), rng.choice((1, 5, 20))
        self.lines = [self._line(number) for number in range(rng.choice((20, 50, 200)))]
        rate = rng.choice((0.0, 0.02, 0.1))
        self.poison = {line for line in self.lines if rng.random() < rate}
        self.lowest = math.inf
        """The lowest limit that a server ever had."""
        self.now, self.next, self.offset = 0.0, 0, 0
        self.delivered, self.refused = [], []
        self.name, self.sent, self.on_its_way = "", [], []

    def _line(self, number):
        is_long = self.rng.random() < 0.02
        return b"%06d" % number + b"x" * (self.full * 2 if is_long else self.rng.choice((0, 10, 10, 40)))

    # -- what the worker and its sender do ----------------------------------------------------------------

    def read(self):
        is_at_end, most = self.next == len(self.lines), self.max_in_flight
        if is_at_end and self.dispatch.on_trial is not None and self.dispatch.wants_chunk(most):
            self.lines.append(b"%06d" % len(self.lines))  # a record that is refused waits for one behind it
        while self.name and self.next < len(self.lines) and self.dispatch.wants_chunk(most):
            self.transmit(self.dispatch.added(self.next_chunk()))

    def next_chunk(self):
        limit, steps, size = min(self.full, self.dispatch.most_bytes), [], 0
        while size < limit and self.next < len(self.lines):
            packer = MsgpackEntries("m")
            packer.begin(0)
            lines = self.lines[self.next : self.next + self.step]
            self.next += len(lines)
            read = sum(map(len, lines)) + len(lines)
            self.offset += read
            entries = packer.pack(lines)
            steps.append(Step(entries, len(lines), read, Position(1, self.offset, b"%d" % self.offset)))
            size += len(entries)
        return self.encoder.encode("file", steps)

    def transmit(self, chunks):
        for chunk in chunks:
            assert chunk.id not in self.sent, "twice on one connection"
            self.sent.append(chunk.id)
            self.on_its_way.append(chunk)

    def connect(self):
        names = [name for name in self.servers if not self.dispatch.skips(name, self.now)]
        name = self.rng.choice(names or list(self.servers))
        if self.servers[name].mood == "down":
            self.dispatch.unreached(name, self.now)
            return
        self.name, self.sent, self.on_its_way = name, [], []
        self.transmit(self.dispatch.connected(name, self.now))

    def end(self, *, is_answer, is_silence=False):
        name, self.name = self.name, ""
        begun = self.sent[-1] if self.sent else ""
        if self.on_its_way or is_answer:
            self.dispatch.ended(name, Ending(begun, is_answer, is_silence, "it ended"), self.now)

    def collect(self):
        self.delivered += self.dispatch.in_flight.take_delivered()
        if not self.name and (refusal := self.dispatch.refusal(self.now)) is not None:
            self.refused += lines_of(refusal.chunk)
            self.dispatch.give_up(self.now)

    # -- what servers do ----------------------------------------------------------------------------------

    def serve(self):
        server = self.servers[self.name]
        if server.mood in ("down", "closes"):
            return self.end(is_answer=True)
        acks = []
        for index, chunk in enumerate(self.on_its_way):
            is_taken = server.mood == "well" and server.takes(chunk, self.poison)
            if is_taken:
                acks.append(chunk)
            elif server.mood == "well" and not server.is_silent:
                self.sent = self.sent[: self.sent.index(chunk.id) + 1]
                self.acknowledge(acks)
                return self.end(is_answer=True)
            elif not acks and index == len(self.on_its_way) - 1:
                return self.end(is_answer=True, is_silence=True)  # overdue
        self.acknowledge(acks)
        return None

    def acknowledge(self, chunks):
        self.rng.shuffle(chunks)
        while chunks:
            some = [chunks.pop() for _ in range(min(len(chunks), self.rng.randint(1, 3)))]
            for chunk in some:
                self.on_its_way.remove(chunk)
            self.transmit(self.dispatch.acknowledged(self.name, [chunk.id for chunk in some]))

    def change(self):
        """Something happens: to a server, to a connection, or the operator says HUP."""
        server, chance = self.rng.choice(list(self.servers.values())), self.rng.random()
        if chance < 0.4:
            server.mood = self.rng.choice(("well", "well", "down", "closes", "deaf"))
        elif chance < 0.7:
            server.limit = self.rng.choice((math.inf, self.full // 2, self.full // 4, 200))
            server.is_silent = self.rng.random() < 0.5
            self.lowest = min(self.lowest, server.limit)
        elif chance < 0.9 and self.name:
            self.end(is_answer=False)
        else:
            self.dispatch.try_larger()

    # -- the whole of it ----------------------------------------------------------------------------------

    def turn(self):
        self.now += self.rng.choice((0.1, 1.0, 30.0))
        if not self.name:
            self.connect()
        self.read()
        if self.name:
            self.serve()
        self.collect()

    def is_done(self):
        return self.next == len(self.lines) and not self.dispatch.in_flight

    def run(self):
        for _ in range(self.rng.choice((0, 20, 200))):
            if self.rng.random() < 0.2:
                self.change()
            self.turn()
        for server in self.servers.values():
            server.mood = "well"
        for _ in range(MOST_TURNS):
            self.turn()
            if self.is_done():
                return
        pytest.fail(f"it waits for ever: {len(self.dispatch.in_flight)} in flight, {self.dispatch.on_trial}")


@pytest.mark.parametrize("floor", [100, sizes.FLOOR])
@pytest.mark.parametrize("first", range(0, 1000, 100))
def test_whatever_servers_do(monkeypatch, floor, first):
    """All lines but those that are refused arrive in order, the position ends behind the last one, nothing is left (S28, S36)."""
    monkeypatch.setattr(sizes, "FLOOR", floor)
    monkeypatch.setattr(module, "WITNESS_BYTES", min(floor, module.WITNESS_BYTES))
    for seed in range(first, first + 100):
        world = World(seed)
        world.run()

        refused = set(world.refused)
        assert [line for chunk in world.delivered for line in lines_of(chunk)] == [
            line for line in world.lines if line not in refused
        ], seed
        assert all(line in world.poison or len(line) + 20 > world.lowest for line in refused), seed
        offsets = [chunk.end.offset for chunk in world.delivered if chunk.moves_position]
        assert offsets == sorted(offsets) and offsets[-1] == world.offset, seed
        in_flight = world.dispatch.in_flight
        assert not (in_flight._acknowledged or in_flight._sent or in_flight._failures), seed
