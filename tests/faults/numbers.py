"""For each line number, the receptions that brought it; compact, and forgetful where all is well."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterator

from .receptions import Evidence, Reception

KEPT_EXAMPLES = 20

Members = tuple[Reception, ...]
Span = tuple[int, int, Members]


class NumberMap:
    """
    Numbers are kept in spans, sorted and without overlaps: all numbers of one came by the same receptions.

    What is in no span has not come.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._members: list[Members] = []
        self._forgotten = 0  # numbers before this one
        self._late = 0  # numbers that came again after they were forgotten
        self._explained = self._unexplained = 0
        self._examples: list[str] = []

    def skip(self, number: int) -> None:
        """Count *number*, which never comes, as one that has come."""
        self._put(*self._touched(number, number + 1), [(number, number + 1, ())])

    def add(self, first: int, end: int, reception: Reception) -> list[tuple[int, int]]:
        """
        The numbers from *first* to before *end* have come.

        Returns:
            Those that had not come before, as pairs of the same kind.
        """
        known = max(first, min(end, self._forgotten))
        self._late, first = self._late + known - first, known
        if first == end:
            return []
        low, high = self._touched(first, end)
        if low == high:  # as nearly always
            self._put(low, high, [(first, end, (reception,))])
            return [(first, end)]
        new = self.missing(first, end)
        self._put(low, high, list(_joined_with(list(self._spans(low, high)), first, end, reception)))
        return new

    def missing(self, first: int, end: int) -> list[tuple[int, int]]:
        """Return which numbers between have never come, as pairs of first and end."""
        found, at = [], max(first, self._forgotten)
        for start, stop, _ in self._spans(*self._touched(at, end)):
            if at < start:
                found.append((at, start))
            at = stop
        if at < end:
            found.append((at, end))
        return found

    def doubled(self) -> tuple[int, int, list[str]]:
        """Return how many numbers came twice explained and unexplained, and examples of the latter."""
        explained, unexplained, examples = self._judge(self._spans(0, len(self._starts)))
        late = [f"{self._late} lines came again long after they were complete"] if self._late else []
        return (
            self._explained + explained,
            self._unexplained + unexplained + self._late,
            (late + self._examples + examples)[:KEPT_EXAMPLES],
        )

    def forget(self, before: int) -> None:
        """Judge and drop the numbers before this one."""
        self._forgotten = max(self._forgotten, before)
        _, high = self._touched(0, before)
        judged = [(start, min(end, before), members) for start, end, members in self._spans(0, high)]
        rest = [(before, end, members) for _, end, members in self._spans(0, high) if end > before]
        self._put(0, high, rest)
        explained, unexplained, examples = self._judge(judged)
        self._explained += explained
        self._unexplained += unexplained
        self._examples = (self._examples + examples)[:KEPT_EXAMPLES]

    # -- inside -----------------------------------------------------------------------------------------

    def _touched(self, first: int, end: int) -> tuple[int, int]:
        """Return where the spans are that have numbers from *first* to before *end*, as first and end."""
        low = bisect.bisect_right(self._ends, first)
        return low, bisect.bisect_left(self._starts, end, low)

    def _spans(self, low: int, high: int) -> Iterator[Span]:
        return zip(self._starts[low:high], self._ends[low:high], self._members[low:high], strict=True)

    def _put(self, low: int, high: int, spans: list[Span]) -> None:
        self._starts[low:high] = [start for start, _, _ in spans]
        self._ends[low:high] = [end for _, end, _ in spans]
        self._members[low:high] = [members for _, _, members in spans]

    def _judge(self, spans: Iterator[Span] | list[Span]) -> tuple[int, int, list[str]]:
        counts: Counter[tuple[int, ...]] = Counter()
        by_ids: dict[tuple[int, ...], Members] = {}
        for start, end, members in spans:
            if len(members) > 1:
                ids = tuple(map(id, members))
                counts[ids] += end - start
                by_ids[ids] = members
        explained, unexplained, examples = 0, 0, []
        for ids, count in counts.items():
            members = by_ids[ids]
            if self._evidence.explains(members):
                explained += count
            else:
                unexplained += count
                examples.append(f"{count} lines came {len(members)} times: {'; '.join(map(str, members))}")
        return explained, unexplained, examples


def _joined_with(spans: list[Span], first: int, end: int, reception: Reception) -> Iterator[Span]:
    """Yield *spans*, and the numbers from *first* to before *end* that *reception* has brought, as spans again."""
    at = first
    for start, stop, members in spans:
        low, high = max(start, first), min(stop, end)
        if start < low:
            yield start, low, members
        if at < low:
            yield at, low, (reception,)
        yield low, high, (*members, reception)
        if high < stop:
            yield high, stop, members
        at = high
    if at < end:
        yield at, end, (reception,)
