"""Reading the journals of the sinks while they are written."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from .lines import Run


@dataclass(frozen=True, slots=True)
class Record:
    """
    One record, as ``sink`` describes them.

    Attributes:
        kind: O (opened), C (chunk), A (acknowledged), E (ended).
        time: Monotonic seconds.
        connection: Unique among all connections of all sinks: journal and number.
        chunk_id: Of a C or an A.
        shape: Of a C: tag, field, compression.
        runs: Of a C: what its lines are.
        reason: Of an E.
    """

    kind: str
    time: float
    connection: tuple[str, int]
    chunk_id: str = ""
    shape: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()
    reason: str = ""

    @property
    def server(self) -> str:
        """Name of the server that wrote the journal."""
        return self.connection[0].rpartition("/")[2].split("-")[1]


class JournalReader:
    """
    Reads one journal from its beginning, as far as it is whole, and removes its files behind itself.

    A record that a killed sink left unfinished is never returned: that chunk was not acknowledged.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix, self._segment = prefix, 0
        self._fd = -1
        self._buffer = b""

    def read(self) -> list[Record]:
        """Return the records that have come since the last call."""
        records: list[Record] = []
        while True:
            # Looked for first: once it exists, nothing comes to the one before it.
            has_next = os.path.exists(f"{self._prefix}.{self._segment + 1}")
            records += self._read_segment()
            if not has_next:
                return records
            self._finish_segment()

    def close(self) -> None:
        """Close and remove what is left."""
        self._finish_segment()

    def _read_segment(self) -> list[Record]:
        if self._fd < 0:
            try:
                self._fd = os.open(f"{self._prefix}.{self._segment}", os.O_RDONLY)
            except FileNotFoundError:
                return []
        while data := os.read(self._fd, 1 << 20):
            self._buffer += data
        records, start = [], 0
        while (found := self._record_at(start)) is not None:
            record, start = found
            records.append(record)
        self._buffer = self._buffer[start:]
        return records

    def _record_at(self, start: int) -> tuple[Record, int] | None:
        end = self._buffer.find(b"\n", start)
        if end < 0:
            return None
        kind, time, number, *words = self._buffer[start:end].decode("ascii").split(" ")
        connection = (self._prefix, int(number))
        if kind != "C":
            name = {"A": "chunk_id", "E": "reason"}.get(kind)
            return Record(kind, float(time), connection, **({name: words[0]} if name else {})), end + 1
        chunk_id, *shape = words[:-2]
        count, size = map(int, words[-2:])
        payload_end = end + 1 + size
        if len(self._buffer) <= payload_end:
            return None
        runs = tuple(map(_run, self._buffer[end + 1 : payload_end].split(b"\n")))
        if (found := sum(run[1] for run in runs)) != count:
            raise AssertionError(f"chunk {chunk_id}: {count} entries hold {found} lines")
        return Record("C", float(time), connection, chunk_id, tuple(shape), runs), payload_end + 1

    def _finish_segment(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._prefix}.{self._segment}")
        self._segment += 1
        self._buffer = b""


def _run(text: bytes) -> Run:
    first, count, data = text.split(b" ")
    return int(first), int(count), bytes.fromhex(data.decode("ascii"))
