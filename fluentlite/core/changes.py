"""What a new configuration asks for, compared with what runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Changes(Generic[K]):
    """Each key once; in the new order, those that stop in the old one."""

    started: tuple[K, ...] = ()
    stopped: tuple[K, ...] = ()
    replaced: tuple[K, ...] = ()
    """In both, with another value."""
    kept: tuple[K, ...] = ()

    def counts(self) -> dict[str, int]:
        """Return how many there are of each kind, as the answer to ``reload`` has them."""
        return {
            "started": len(self.started),
            "stopped": len(self.stopped),
            "replaced": len(self.replaced),
            "kept": len(self.kept),
        }


def compare(old: Mapping[K, V], new: Mapping[K, V]) -> Changes[K]:
    """Tell what leads from *old* to *new*; values are compared by ``==``."""
    both = [key for key in new if key in old]
    return Changes(
        started=tuple(key for key in new if key not in old),
        stopped=tuple(key for key in old if key not in new),
        replaced=tuple(key for key in both if old[key] != new[key]),
        kept=tuple(key for key in both if old[key] == new[key]),
    )
