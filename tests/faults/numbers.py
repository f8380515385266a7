"""For each line number, the receptions that brought it; compact, and forgetful where all is well."""

from __future__ import annotations

from array import array
from collections import Counter

from .receptions import Evidence, Reception

BLOCK = 1 << 16

KEPT_EXAMPLES = 20


class NumberMap:
    """
    Numbers are kept in blocks of ``BLOCK``; each refers to a *group*, the receptions that brought it.

    Number 0 of the groups is the empty one.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._blocks: dict[int, array[int]] = {}
        self._forgotten = 0  # blocks before this one
        self._groups: dict[int, tuple[Reception, ...]] = {0: ()}
        self._joined: dict[tuple[int, int], int] = {}
        self._last_group = 0
        self._late = 0  # numbers that came again after they were forgotten
        self._explained = self._unexplained = 0
        self._examples: list[str] = []

    def skip(self, number: int) -> None:
        """Count *number*, which never comes, as one that has come."""
        group = self._new_group(())
        self._block(number // BLOCK)[number % BLOCK] = group

    def add(self, first: int, end: int, reception: Reception) -> list[tuple[int, int]]:
        """
        The numbers from *first* to before *end* have come.

        Returns:
            Those that had not come before, as pairs of the same kind.
        """
        new: list[tuple[int, int]] = []
        single = self._new_group((reception,))
        while first < end:
            index, offset = divmod(first, BLOCK)
            count = min(end - first, BLOCK - offset)
            if index < self._forgotten:
                self._late += count
            else:
                new += self._add_to(index, offset, offset + count, single, reception)
            first += count
        return _joined(new)

    def missing(self, first: int, end: int) -> list[tuple[int, int]]:
        """Return which numbers between have never come, as pairs of first and end."""
        found = []
        for index in range(max(first // BLOCK, self._forgotten), (end - 1) // BLOCK + 1):
            base, block = index * BLOCK, self._block(index)
            low, high = max(first - base, 0), min(end - base, BLOCK)
            found += [(base + n, base + n + 1) for n in range(low, high) if not block[n]]
        return _joined(found)

    def doubled(self) -> tuple[int, int, list[str]]:
        """Return how many numbers came twice explained and unexplained, and examples of the latter."""
        counts: Counter[int] = Counter()
        for block in self._blocks.values():
            counts.update(self._count(block))
        explained, unexplained, examples = self._explained, self._unexplained, list(self._examples)
        for group, count in counts.items():
            is_explained, example = self._judge(group, count)
            explained, unexplained = (
                explained + count * is_explained,
                unexplained + count * (not is_explained),
            )
            examples += [] if is_explained else [example]
        late = [f"{self._late} lines came again long after they were complete"] if self._late else []
        return explained, unexplained + self._late, (late + examples)[:KEPT_EXAMPLES]

    def forget(self, before: int) -> None:
        """Judge and drop the numbers before this one, by whole blocks."""
        for index in [index for index in self._blocks if (index + 1) * BLOCK <= before]:
            for group, count in self._count(self._blocks.pop(index)).items():
                is_explained, example = self._judge(group, count)
                self._explained += count * is_explained
                self._unexplained += count * (not is_explained)
                if not is_explained and len(self._examples) < KEPT_EXAMPLES:
                    self._examples.append(example)
            self._forgotten = max(self._forgotten, index + 1)
        live = {0}.union(*self._blocks.values())
        self._groups = {group: members for group, members in self._groups.items() if group in live}
        self._joined = {key: group for key, group in self._joined.items() if group in live}

    def _add_to(
        self, index: int, start: int, end: int, single: int, reception: Reception
    ) -> list[tuple[int, int]]:
        block, base = self._block(index), index * BLOCK
        before = set(block[start:end])
        if before == {0}:  # as nearly always
            block[start:end] = array("I", [single]) * (end - start)
            return [(base + start, base + end)]
        new = [(base + n, base + n + 1) for n in range(start, end) if not block[n]]
        groups = {group: self._join(group, single, reception) for group in before}
        block[start:end] = array("I", [groups[group] for group in block[start:end]])
        return new

    def _join(self, group: int, single: int, reception: Reception) -> int:
        if not group:
            return single
        if (group, single) not in self._joined:
            self._joined[group, single] = self._new_group((*self._groups[group], reception))
        return self._joined[group, single]

    def _new_group(self, members: tuple[Reception, ...]) -> int:
        self._last_group += 1
        self._groups[self._last_group] = members
        return self._last_group

    def _block(self, index: int) -> array[int]:
        return self._blocks.setdefault(index, array("I", [0]) * BLOCK)

    def _count(self, block: array[int]) -> dict[int, int]:
        """Return the groups with more than one reception, and how many numbers each has."""
        return {group: count for group, count in Counter(block).items() if len(self._groups[group]) > 1}

    def _judge(self, group: int, count: int) -> tuple[bool, str]:
        members = self._groups[group]
        text = f"{count} lines came {len(members)} times: {'; '.join(map(str, members))}"
        return self._evidence.explains(members), text


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges that touch."""
    result: list[tuple[int, int]] = []
    for first, end in ranges:
        if result and result[-1][1] == first:
            result[-1] = (result[-1][0], end)
        else:
            result.append((first, end))
    return result
