"""
Which lines must arrive, which may arrive, and what has arrived.

The rules, for the worker with acks:

* Every line completed in a file that the path named arrives. A file's last bytes without a newline are a line of their
  own once the path names another file (a *fragment*: two of them for a line torn by a rotation).
* Within one generation lines arrive first in the order in which they were written.
* A line arrives twice only where ``receptions.Evidence`` finds that the worker could not know of the first time.
* Nothing arrives that was not written so.

What nobody can prevent is *excused*, and only that: lines that existed in a file without a name, or in one that the
path no longer leads to and whose name tells nothing, at the moment when the worker ended that held it open.
"""

from __future__ import annotations

import bisect
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter

from .journal import Record
from .lines import describe
from .numbers import NumberMap
from .receptions import Connection, Evidence, Reception

KEPT_EXAMPLES = 20


@dataclass(slots=True)
class Generation:
    """
    One content of one file: from its creation or truncation to its next truncation.

    Attributes:
        first: Number of its first whole line; *end* is after its last one.
        identity: Device and inode of the file that was written to.
        name: Where its bytes are now; empty once they have no name.
        received: Whole lines that have arrived, each counted once.
        newest: Highest number that has arrived.
        fragments: Lines without a newline, or without their beginning; with what has brought them.
        excused_at: Since when what has not arrived need not arrive (monotonic seconds).
        complete_since: Since when all has arrived, by the last look.
        began_at: When it was begun (monotonic seconds).
    """

    number: int
    first: int
    end: int
    identity: tuple[int, int]
    name: str
    received: int = 0
    newest: int = -1
    fragments: dict[bytes, list[Reception]] = field(default_factory=dict)
    excused_at: float | None = None
    complete_since: float | None = None
    began_at: float = field(default_factory=time.monotonic)

    @property
    def is_excused(self) -> bool:
        """Whether what has not arrived need not arrive."""
        return self.excused_at is not None

    @property
    def missing(self) -> int:
        """Whole lines that have not arrived."""
        return self.end - self.first - self.received

    @property
    def is_complete(self) -> bool:
        """Whether all that was written has arrived."""
        return not self.missing and all(self.fragments.values())


class Model:
    """
    Told by the writer what was written, and by the journals what has arrived.

    Args:
        first: Number of the first line; numbers tell the logs of a run apart.

    Attributes:
        written: Line numbers used, also by lines that a rotation tore.
        due: Whole lines written.
        delivered: Whole lines that have arrived, each counted once.
        wrong: What may never be: torn lines, lines out of order.
        torn: How many of them were torn.
        longest_silence: Seconds without a chunk while lines were waiting and could have been delivered.
        connections: Those that are open, by journal and number.
    """

    def __init__(self, evidence: Evidence, first: int = 0) -> None:
        self.evidence, self._first = evidence, first
        self.generations: list[Generation] = []
        self.written, self.due, self.delivered, self.torn = first, 0, 0, 0
        self.wrong: list[str] = []
        self.longest_silence = 0.0
        self._last_arrival = time.monotonic()
        self._numbers = NumberMap(evidence)
        self.connections: dict[tuple[str, int], Connection] = {}
        self._fragments: dict[bytes, Generation] = {}
        self._torn_numbers: set[int] = set()
        self._forgotten_excused = 0
        self._forgotten_fragments: deque[bytes] = deque(maxlen=10_000)

    # -- what was written -------------------------------------------------------------------------------

    def begin(self, identity: tuple[int, int], name: str) -> Generation:
        """The writer goes on in a new file, or in an emptied one."""
        number = self.generations[-1].number + 1 if self.generations else 0
        generation = Generation(number, self.written, self.written, identity, name)
        self.generations.append(generation)
        return generation

    def wrote(self, count: int) -> None:
        """The next *count* whole lines are in the newest generation."""
        if self.delivered == self.due:
            self._last_arrival = time.monotonic()  # silence begins where there is something to say
        self.written += count
        self.due += count
        self.generations[-1].end = self.written

    def hush(self, now: float) -> None:
        """Nobody could have delivered anything until *now* (monotonic): that is no silence."""
        self._last_arrival = max(self._last_arrival, now)

    def note_silence(self, now: float) -> None:
        """Count the silence that lasts until *now*."""
        if self.delivered < self.due:
            self.longest_silence = max(self.longest_silence, now - self._last_arrival)

    def tore(self, head: bytes, tail: bytes) -> None:
        """The next line's first bytes are the last ones of a generation, the rest begins the newest one."""
        before, after = self.generations[-2:]
        self._torn_numbers.add(self.written)
        self._numbers.skip(self.written)
        self.written += 1
        after.first = after.end = self.written
        for generation, part in ((before, head), (after, tail)):
            generation.fragments[part] = []
            self._fragments[part] = generation

    def excuse(self, generation: Generation) -> None:
        """What has not arrived of *generation* cannot be read by anybody any more."""
        if not generation.is_complete and not generation.is_excused:
            generation.excused_at = time.monotonic()

    # -- what has arrived -------------------------------------------------------------------------------

    def take(self, records: Iterable[Record]) -> None:
        """Judge what sinks have journaled."""
        for record in sorted(records, key=attrgetter("time")):
            if record.kind == "O":
                self.connections[record.connection] = Connection(record.connection, record.time)
                continue
            connection = self.connections[record.connection]
            if record.kind == "C":
                self._take_chunk(record, connection)
            elif record.kind == "A":
                connection.unacked.pop(record.chunk_id).acked_at = record.time
            else:
                connection.ended_at = record.time
                del self.connections[record.connection]

    def sink_died(self, journal: str, at: float) -> None:
        """The sink that wrote *journal* cannot tell any more that its connections have ended."""
        for key in [key for key in self.connections if key[0] == journal]:
            self.connections.pop(key).ended_at = at

    def _take_chunk(self, record: Record, connection: Connection) -> None:
        self.longest_silence = max(self.longest_silence, record.time - self._last_arrival)
        self.hush(record.time)
        reception = Reception(connection, record.chunk_id, connection.count, record.time)
        connection.count += 1
        connection.unacked[record.chunk_id] = reception
        for first, count, data in record.runs:
            self._take_run(first, count, data, reception)

    def _take_run(self, first: int, count: int, data: bytes, reception: Reception) -> None:
        """*count* lines with successive numbers from *first* on, or, with -1, something that is no line."""
        if first < 0:
            self._take_fragment(data, reception)
            return
        is_ours = self._first <= first and first + count <= self.written
        if not is_ours or not self._torn_numbers.isdisjoint(range(first, first + count)):
            self._is_wrong(f"lines {first} to {first + count - 1} were never written so; {reception}")
            return
        for new_first, new_end in self._numbers.add(first, first + count, reception):
            self._note_new(new_first, new_end, reception)

    def _note_new(self, first: int, end: int, reception: Reception) -> None:
        self.delivered += end - first
        if first < self.generations[0].first:  # excused and forgotten; it may arrive
            return
        while first < end:
            index = bisect.bisect_right(self.generations, first, key=attrgetter("first")) - 1
            generation = self.generations[index]
            part_end = min(end, generation.end)
            if first <= generation.newest:
                self._is_wrong(
                    f"generation {generation.number}: line {first} came after line {generation.newest}; {reception}"
                )
            generation.newest = max(generation.newest, part_end - 1)
            generation.received += part_end - first
            first = part_end

    def _take_fragment(self, data: bytes, reception: Reception) -> None:
        generation = self._fragments.get(data)
        if generation is not None:
            generation.fragments[data].append(reception)
        elif data not in self._forgotten_fragments:
            self.torn += 1
            self._is_wrong(f"{describe(data)}; {reception}")

    def _is_wrong(self, problem: str) -> None:
        if len(self.wrong) < KEPT_EXAMPLES:
            self.wrong.append(problem)

    # -- the verdict ------------------------------------------------------------------------------------

    @property
    def is_complete(self) -> bool:
        """Whether all that must arrive has arrived."""
        return all(generation.is_complete or generation.is_excused for generation in self.generations)

    def lost(self) -> list[str]:
        """Say what must arrive and has not, by generation."""
        problems = []
        for generation in self.generations:
            if generation.is_excused or generation.is_complete:
                continue
            missing = self._numbers.missing(generation.first, generation.end)
            ranges = ", ".join(f"{first}-{end - 1}" for first, end in missing[:10])
            parts = [repr(part[:30]) for part, receptions in generation.fragments.items() if not receptions]
            problems.append(
                f"generation {generation.number} ({generation.name or 'no name'}, inode {generation.identity[1]}, "
                f"lines {generation.first}-{generation.end - 1}): missing {ranges} {' '.join(parts)}"
            )
        return problems

    def count_lost(self) -> int:
        """Return how many whole lines must arrive and have not."""
        waiting = (g for g in self.generations if not g.is_excused)
        return sum(generation.missing for generation in waiting)

    def count_excused(self) -> int:
        """Return how many whole lines have not arrived and need not."""
        return self._forgotten_excused + sum(g.missing for g in self.generations if g.is_excused)

    def doubled(self) -> tuple[int, int, list[str]]:
        """Return how many lines came twice with an explanation, how many without, and examples of the latter."""
        explained, unexplained, examples = self._numbers.doubled()
        for generation in self.generations:
            for part, receptions in generation.fragments.items():
                if len(receptions) > 1 and not self.evidence.explains(tuple(receptions)):
                    unexplained += 1
                    examples.append(f"{part[:30]!r}: {'; '.join(map(str, receptions))}")
        return explained, unexplained, examples

    def forget(self, before: float) -> None:
        """Keep no memory of generations without a name that were complete, or excused, *before* then (monotonic)."""
        while len(self.generations) > 1:
            oldest = self.generations[0]
            since = oldest.complete_since if oldest.is_complete else oldest.excused_at
            if oldest.name or since is None or since >= before:
                break
            self._forgotten_excused += oldest.missing
            for part in oldest.fragments:
                del self._fragments[part]
                self._forgotten_fragments.append(part)
            self.generations.pop(0)
        self._torn_numbers = {n for n in self._torn_numbers if n >= self.generations[0].first}
        self._numbers.forget(self.generations[0].first)
