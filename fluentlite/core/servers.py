"""Which server to try next."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Generic, TypeVar

ServerT = TypeVar("ServerT")


class ServerChoice(Generic[ServerT]):
    """
    The order in which servers are tried: a primary at random, the others, then the secondaries.

    A round tries every server once. The caller waits between two rounds, not within one, so that a chunk
    whose server died goes to a living one at once.
    """

    def __init__(self, primary: Sequence[ServerT], secondary: Sequence[ServerT], rng: random.Random) -> None:
        self._primary, self._secondary, self._rng = list(primary), list(secondary), rng
        self._round: list[ServerT] = []
        self.start_round()

    def start_round(self, *, avoid: ServerT | None = None, is_stuck: bool = False) -> None:
        """
        Begin anew with the primaries.

        Args:
            avoid: The server that failed just now; it is tried last among its kind.
            is_stuck: It still accepts connections, but nothing more: it is tried last of all, after
                the secondaries.
        """
        self._round = [
            server
            for group in (self._primary, self._secondary)
            for server in sorted(self._rng.sample(group, len(group)), key=lambda server: server == avoid)
        ]
        if is_stuck:
            self._round.sort(key=lambda server: server == avoid)

    def next(self) -> ServerT | None:
        """Return the next server of this round, or None when it has ended."""
        return self._round.pop(0) if self._round else None

    def primaries(self) -> list[ServerT]:
        """Return the primaries in random order, to see whether one of them is back."""
        return self._rng.sample(self._primary, len(self._primary))

    def is_primary(self, server: ServerT) -> bool:
        """Tell whether *server* is a primary."""
        return server in self._primary
