"""
Following one path through everything that can happen to it.

The tail keeps its generations, oldest first, from the first that is not wholly delivered to the file at
the path now. They are read in this order; a newer one is read while an older one is only watched for
late lines. ``look`` compares path and directory with what is known; it is called on every hint and, since
hints can be missing, every ``poll_interval``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

from fluentlite.config.model import LogSettings
from fluentlite.core.forward import Position
from fluentlite.core.position import State
from fluentlite.core.rotation import Identity
from fluentlite.worker.directory import LogDirectory
from fluentlite.worker.files import facts_of
from fluentlite.worker.finished import Finished
from fluentlite.worker.generation import Generation, GenerationMaker, TruncatedError
from fluentlite.worker.missed import Missed
from fluentlite.worker.positions import Positions
from fluentlite.worker.resume import Resume, is_replaced_by, open_at_path, open_copy_of
from fluentlite.worker.troubles import Troubles
from fluentlite.worker.unreadable import Unreadable

log = logging.getLogger(__name__)


class Tail:
    """
    Args:
        settings: Of the log.
        checkpoint: Opened; read by ``start``, written by ``save``.
        max_lines: Most lines of one read.

    Attributes:
        generations: Oldest first.
        troubles: What keeps it from being read.
        revision: Grows whenever ``sources`` gives other generations than before.
    """

    def __init__(self, settings: LogSettings, checkpoint: Positions, max_lines: int) -> None:
        self.path = settings.path
        self.generations: list[Generation] = []
        self.troubles, self.revision = Troubles(self.path), 0
        self._settings = settings.tail
        self._new_generation = GenerationMaker(settings.tail, max_lines)
        self._checkpoint, self._directory = checkpoint, LogDirectory(self.path)
        self._finished = Finished(self._directory, checkpoint.state.finished)
        self._missed = Missed(self._directory, self._new_generation, self._finished, self.troubles)
        self._unreadable = Unreadable(self._directory, self.troubles)
        self._is_started = checkpoint.state.is_started or checkpoint.is_broken
        self._since_ns = checkpoint.written_ns if checkpoint.state.is_started else 0
        self._resume = Resume(self._directory, self._new_generation, self._finished, self.troubles)

    # -- what the worker asks ---------------------------------------------------------------------------

    @property
    def newest(self) -> Generation | None:
        """The generation at the path, or the last that was there."""
        return self.generations[-1] if self.generations else None

    @property
    def lag(self) -> int:
        """Bytes in whole lines that are not delivered, by the last look."""
        return sum(generation.lag for generation in self.generations)

    def start(self, now: float) -> None:
        """Find the files that the checkpoint speaks of, and those that came since."""
        state = self._checkpoint.state
        if state.is_started and state.points:
            self.generations = self._resume.begin(state.points)
            self._since_ns = state.points[-1].mtime_ns
        self.look(now)

    def look(self, now: float) -> None:
        """See what has become of the path, the directory and the open files."""
        self.revision += self._resume.run(self.generations)
        for generation in list(self.generations):
            if not generation.is_closed:
                self._look_at(generation, now)
        self._look_at_path()
        self._unreadable.keep(self.generations)
        if self.newest is not None:
            self._since_ns = self.newest.seen.mtime_ns
        self.save()

    def sources(self, now: float) -> Iterator[Generation]:
        """
        Give the generations to read, oldest first; the caller reads one to its end before it takes the next.

        One with ``is_ended`` has nothing to read but its partial line, which ``flush`` returns.
        """
        for index, generation in enumerate(list(self.generations)):
            if not generation.is_started and not self._begin(generation, self.generations[:index], now):
                continue
            if generation.has_rest or not generation.is_closed:
                yield generation
            if self._is_over(generation, now):  # by now the caller has read it to its end
                generation.end()
                yield generation

    def read(self, generation: Generation, size: int, now: float) -> list[bytes]:
        """Read from *generation* as ``Generation.read`` does; what goes wrong is dealt with here."""
        revision = self.revision
        if self._unreadable.rests(generation, now):
            return []
        if generation.unseen_since_ns is not None and not generation.is_closed:
            self._look_at(generation, now)
        if generation.is_closed or self.revision != revision:
            return []
        lines: list[bytes] = []
        try:
            lines = generation.read(size, now)
            self._unreadable.read(generation)
        except TruncatedError:
            self._cut_short(generation, now)
        except OSError as exc:
            self._unreadable.failed(generation, exc, now)
        return lines

    def delivered(self, position: Position) -> None:
        """A chunk that ends at *position* has been delivered; ``save`` is due after the last one of a turn."""
        for generation in self.generations:
            if generation.number == position.generation:
                generation.delivered = position

    def save(self) -> None:
        """Let go of generations that are wholly delivered, and write the checkpoint if it has changed."""
        for generation in list(self.generations):
            if generation.is_delivered:
                self.generations.remove(generation)
                self._finished.add(generation)
        points = tuple(generation.point() for generation in self.generations)
        state = State(self.path, self._is_started, points, self._finished.last())
        if state != self._checkpoint.state:
            self._checkpoint.write(state)

    def close(self) -> None:
        """Close all files; nothing is flushed: what was not delivered is read again at the next start."""
        for generation in self.generations:
            generation.close()

    # -- the path ---------------------------------------------------------------------------------------

    def _look_at_path(self) -> None:
        try:
            identity = facts_of(os.stat(self.path)).identity
            if self._is_followed(identity):
                self.troubles.opened()
                return
            if self.is_suspect:
                return  # what lies beside the path may be the copy of a followed file, and no missed one
            generation = open_at_path(
                self.path, self._new_generation, self._finished, self._settings, is_first=not self._is_started
            )
        except OSError as exc:
            self._left_path()
            is_missing = self.troubles.not_opened(exc, is_awaited=bool(self._resume.awaited))
            if is_missing and not self._is_started:
                self._is_started = True  # what comes later is read from its beginning
                self._finished.add_siblings(())
            return
        self.troubles.opened()
        self._left_path()
        if generation.identity == identity and self._is_next(generation):
            self._append(generation)
        else:
            generation.close()

    def _is_next(self, at_path: Generation) -> bool:
        """Tell whether the new file at the path is the next to be followed; the older ones are taken first."""
        self.revision += self._resume.run(self.generations)  # what is awaited may have come since
        if self._resume.awaits(at_path.identity) or self._is_followed(at_path.identity):
            return False
        # If not all older ones can be had now, then at the next look, and in order.
        return not self._is_started or self._adopt_missed(at_path)

    @property
    def is_suspect(self) -> bool:
        """Whether a followed file seems shorter; the next look finds out whether it was cut short."""
        return any(g.short_since is not None and not g.is_closed for g in self.generations)

    def _is_followed(self, identity: Identity) -> bool:
        """Tell whether the file at the path is followed; it is the newest one then, even if it had left the path."""
        at_path = next((g for g in self.generations if g.identity == identity and not g.is_closed), None)
        if at_path is None:
            return False
        if at_path is not self.newest:  # a rotation was undone
            self.generations.remove(at_path)
            self.generations.append(at_path)
            self.revision += 1
        return True

    def _left_path(self) -> None:
        """The newest generation is not at the path any more: from now on its quiet seconds count."""
        if self.newest is not None and not self.troubles.is_waiting:
            self.newest.quiet_since = None

    def _append(self, generation: Generation) -> None:
        """It is the newest one now; where it begins is decided once those before are read."""
        generation.epoch = self._resume.epochs.get(generation.identity, 0)
        self.generations.append(generation)
        if not self._is_started:  # it was never followed: what lies beside it is old
            self._is_started = True
            self._finished.add_siblings(self._followed())
            self.troubles.descriptors_left()
        elif not generation.is_started:
            generation.unseen_since_ns = self._since_ns  # rotations do not wait while we look
        log.info("%s: following inode %d", self.path, generation.identity.inode)

    # -- generations ------------------------------------------------------------------------------------

    def _followed(self) -> set[Identity]:
        """Return the files that are being read or delivered; the inode of a deleted one may be another's by now."""
        return {generation.identity for generation in self.generations if not generation.was_deleted}

    def _begin(self, generation: Generation, older: list[Generation], now: float) -> bool:
        """Decide where a new generation begins, now that those before it have been read; False if it gives errors."""
        try:
            before = older[-1] if older else None
            if before is not None and is_replaced_by(before, generation):
                log.info("%s: it was replaced by a file with the same content; going on in it", self.path)
                generation.start(before.splitter.end_offset)
                before.close()
            else:
                generation.start(0)
        except OSError as exc:
            self._unreadable.failed(generation, exc, now)
        return generation.is_started

    def _is_over(self, generation: Generation, now: float) -> bool:
        """Tell whether *generation* has left the path, was read to its end and has been quiet since."""
        if generation.is_closed or generation.quiet_for(now) < self._settings.rotate_wait:
            return False
        return generation is not self.newest or (self.troubles.is_waiting and generation.links() == 0)

    def _look_at(self, generation: Generation, now: float) -> None:
        if self._unreadable.rests(generation, now):
            return
        self.troubles.note_long_lines(generation, now)
        try:
            generation.look(now)
        except TruncatedError:
            self._cut_short(generation, now)
        except OSError as exc:
            self._unreadable.failed(generation, exc, now)
        if generation.head and generation.unseen_since_ns is not None and not generation.is_closed:
            self._adopt_earlier(generation, generation.unseen_since_ns)

    def _cut_short(self, generation: Generation, now: float) -> None:
        """
        The file was truncated and perhaps written anew. At the path that is copytruncate: the new content is
        a generation of its own, and what had not been read may be in a copy, where the old one goes on.
        Elsewhere the file is such a copy, and the next one was written over it: the file at the path knows it.
        """
        is_newest = generation is self.newest
        try:
            copy = open_copy_of(self._directory, generation, self._followed()) if is_newest else None
        except OSError as exc:
            self.troubles.out_of_descriptors(exc)
            return  # at the next look it is still cut short
        if is_newest and copy is None and self.troubles.hides_copy(self._directory.problem, now):
            return
        fd = generation.hand_over()
        self.revision += 1
        if copy is None:
            self.troubles.cut_short(generation)
        if not is_newest:
            os.close(fd)
            return
        successor = self._new_generation(fd, self.path, generation.epoch + 1)
        successor.start(0)
        self.generations.append(successor)
        since_ns = generation.unseen_since_ns
        if copy is not None:
            log.info("%s: cut short; what had not been read is looked for in %s", generation.name, copy[1])
            generation.replace_file(*copy)
        # Also without a copy, which may be compressed already: there may have been others since.
        self._adopt_earlier(successor, generation.seen.mtime_ns if since_ns is None else since_ns)

    def _adopt_missed(self, at_path: Generation) -> bool:
        """Append the generations that came and went unseen before this one; False if not all can be had now."""
        missed, are_all = self._missed.open(self._followed(), self._since_ns, at_path)
        self.generations += missed
        return are_all

    def _adopt_earlier(self, generation: Generation, since_ns: int) -> None:
        """What *generation*'s file had before, cut short between two looks, only copies tell, and hold."""
        missed, are_all = self._missed.open(self._followed(), since_ns, generation, earlier_only=True)
        generation.unseen_since_ns = None if are_all and generation.head else since_ns
        index = self.generations.index(generation)
        self.generations[index:index] = missed
        self.revision += bool(missed)
