"""The files beside a log that are not to be read (again)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable
from dataclasses import replace

from fluentlite.core.lines import MARKER_SIZE
from fluentlite.core.position import MAX_FINISHED, Marker, Point
from fluentlite.core.rotation import Identity, Sibling
from fluentlite.worker.directory import LogDirectory
from fluentlite.worker.files import marker_at
from fluentlite.worker.generation import Generation

MOST_UNSEEN = 64
"""Finished generations that are remembered though they were not seen where a directory cannot be listed."""


class Finished:
    """
    Generations that were delivered whole, and files that were old when the log was first seen.

    Each is remembered with its size and marker: if it grows, only what is new is read. So are files that could
    not be found any more, in case that they come back.
    """

    def __init__(self, directory: LogDirectory, points: Iterable[Point]) -> None:
        self._directory = directory
        self._points = {point.identity: point for point in points}
        self._present: set[Identity] = set()

    def add(self, generation: Generation) -> None:
        """A generation was delivered whole. Nobody will meet it again if it was deleted, only its inode."""
        if not generation.was_deleted:
            self._add(generation.point())
            self._present.add(generation.identity)

    def remember(self, point: Point) -> None:
        """The file of *point* is not to be found; what is behind its offset has not been read."""
        self._add(replace(point, size=point.offset))

    def add_siblings(self, followed: Collection[Identity]) -> None:
        """Whatever lies beside the log now, and is not *followed*, is not to be read."""
        rotated: list[Sibling] = []
        with contextlib.suppress(OSError):  # then age alone keeps old files from being taken for missed ones
            rotated = self._directory.rotated()
        for sibling in rotated:
            if sibling.facts.identity not in followed and sibling.facts.identity not in self._points:
                self._add(self._point_at_end(sibling))
                self._present.add(sibling.facts.identity)

    def keep(self, present: Collection[Identity], *, are_all: bool) -> None:
        """
        Forget the files that are not *present* any more, so that this never grows. One that was not there in
        this life may lie on a file system that is not mounted yet; and if not *are_all* could be seen, the latest
        are kept.
        """
        gone = self._present.difference(present)
        if not are_all:
            gone.difference_update(list(self._points)[-MOST_UNSEEN:])
        self._points = {identity: point for identity, point in self._points.items() if identity not in gone}
        self._present = self._points.keys() & self._present.union(present)

    def last(self) -> tuple[Point, ...]:
        """Return the latest ones, for the checkpoint."""
        return tuple(self._points.values())[-MAX_FINISHED:]

    def sizes(self) -> dict[Identity, tuple[int, int]]:
        """Return size and last write of each."""
        return {identity: (point.size, point.mtime_ns) for identity, point in self._points.items()}

    def offset_in(self, generation: Generation) -> int:
        """Return the offset to which this very file has been delivered; 0 if it is another one."""
        point = self._points.get(generation.identity)
        if point is not None and point.marker.size and generation.has_marker(point.offset, point.marker):
            return point.offset
        return 0

    def _add(self, point: Point) -> None:
        self._points.pop(point.identity, None)
        self._points[point.identity] = point

    def _point_at_end(self, sibling: Sibling) -> Point:
        facts, marker = sibling.facts, Marker.of(b"")
        with contextlib.suppress(OSError):  # unreadable: known by size and time alone
            fd = self._directory.open_sibling(sibling)
            if fd is not None:
                marker = marker_at(fd, facts.size, min(facts.size, MARKER_SIZE))
                os.close(fd)
        return Point(facts.identity, 0, facts.size, marker, facts.size, facts.mtime_ns)
