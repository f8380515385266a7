"""
Cut what a client sends into messages: msgpack or JSON, one after another, nothing between them.

Source: Forward Protocol Specification v1, "Message Modes"; for JSON what Fluentd's in_forward does.
"""

from __future__ import annotations

import functools
import json
import re
import struct
from typing import Any, NamedTuple, Protocol

import msgpack

from fluentlite.core.values import check_values
from fluentlite.errors import RemoteProtocolError

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Most bytes of one message. Fluentd's chunks have 8 MiB unless configured, Fluent Bit takes 6 MB."""
MAX_ELEMENTS = 1 << 20
"""Most events of one message, and most elements of one array or map: Python needs far more room than msgpack."""
KEPT_MEMORY = 4 * 1024 * 1024
"""Bytes of memory that a connection keeps for its next message."""
MAX_JSON_BYTES = 16 * 1024 * 1024
"""Most bytes of one message in JSON, which few clients send: Python needs up to 24 times the room."""
MAX_JSON_TOKENS = 1 << 21
"""Most quotation marks and brackets in it; a line has about eight, so that 16 MiB of lines of 80 characters have as many."""
MAX_JSON_DEPTH = 256
"""Most levels of JSON, well below where Python's parser gives up. msgpack's own limit is 1024."""

MALFORMED = (ValueError, TypeError, OverflowError, RecursionError, MemoryError, msgpack.UnpackException)
"""What the parsers raise at bad bytes; a length that promises too much is a MemoryError."""


class EventTime(NamedTuple):
    """msgpack ext type 0, 8 bytes, big-endian: seconds since 1970 and nanoseconds."""

    seconds: int
    nanoseconds: int


class Message(NamedTuple):
    """
    One message of a client.

    Attributes:
        content: What it says. The packed entries of a list ``[tag, entries, ...]`` are a memoryview, which
            is valid until the next ``feed``. Any other str is a Python str, with surrogate escapes for
            bytes that are not UTF-8; bin is bytes.
        size: Its bytes on the wire.
    """

    content: Any
    size: int


class Messages(Protocol):
    """Bytes in, messages out. :attr:`max_bytes` of one message may be changed at any time."""

    max_bytes: int

    def feed(self, data: bytes | memoryview) -> None:
        """Take what the socket gave; the memory may be reused afterwards."""

    def next_message(self) -> Message | None:
        """
        Return the next whole message, or None when more bytes are needed.

        Raises:
            RemoteProtocolError: It is too long.
            One of MALFORMED: It cannot be read. The stream is of no use any more.
        """

    @property
    def unfinished(self) -> int:
        """Bytes that have arrived after the message that was returned last."""


class MsgpackMessages:
    """The usual format. Built so that the entries of a chunk are copied, but never looked at."""

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self.max_bytes = max_bytes
        self._scanner = msgpack.Unpacker(read_size=4096, max_buffer_size=0)  # finds ends, builds nothing
        self._scanned = 0
        self._pending = _Pending()

    def feed(self, data: bytes | memoryview) -> None:
        self._scanner.feed(data)
        self._pending.append(data)

    def next_message(self) -> Message | None:
        try:
            self._scanner.skip()
        except msgpack.OutOfData:
            _check_size(len(self._pending), self.max_bytes)
            return None
        end = self._scanner.tell()
        size, self._scanned = end - self._scanned, end
        _check_size(size, self.max_bytes)
        return Message(_parse(self._pending.take(size)), size)

    @property
    def unfinished(self) -> int:
        return len(self._pending)


class _Pending:
    """
    Bytes that have arrived and were not taken yet.

    The memory is kept and reused: what the kernel does for a megabyte of new memory costs more than to copy it.
    """

    def __init__(self) -> None:
        self._memory = memoryview(bytearray())
        self._begin = self._end = 0

    def __len__(self) -> int:
        return self._end - self._begin

    def append(self, data: bytes | memoryview) -> None:
        if self._end + len(data) > len(self._memory):
            self._make_room(len(self) + len(data))
        self._memory[self._end : self._end + len(data)] = data
        self._end += len(data)

    def take(self, size: int) -> memoryview:
        """Return the first *size* bytes, valid until the next ``append``."""
        taken = self._memory[self._begin : self._begin + size]
        self._begin += size
        if self._begin == self._end:
            self._begin = self._end = 0
            if len(self._memory) > KEPT_MEMORY:
                self._memory = memoryview(bytearray())
        return taken

    def _make_room(self, size: int) -> None:
        old, memory = self._memory[self._begin : self._end], self._memory
        if size > len(memory):
            memory = memoryview(bytearray(2 * size))
        memory[: len(old)] = old
        self._memory, self._begin, self._end = memory, 0, len(old)


class JsonMessages:
    """JSON texts, one after another, with or without white space between them."""

    _space = re.compile(rb"[ \t\r\n]*")
    _token = re.compile(rb'["\[\]{}]')
    _rest_of_string = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self.max_bytes = max_bytes
        self._pending = bytearray()
        self._at = self._depth = self._tokens = 0
        self._in_string = False

    def feed(self, data: bytes | memoryview) -> None:
        self._pending += data

    def next_message(self) -> Message | None:
        if not self._at:
            del self._pending[: self._space.match(self._pending).end()]  # type: ignore[union-attr]
            if self._pending and self._pending[0] not in b"[{":
                raise ValueError("not an array or an object")
        size = self._find_end()
        _check_size(size or len(self._pending), min(self.max_bytes, MAX_JSON_BYTES))
        if size is None:
            return None
        text = self._pending[:size].decode("utf-8", "surrogateescape")
        del self._pending[:size]
        self._at = self._tokens = 0
        content = json.loads(text, parse_constant=_refuse_constant)
        return Message(_without_lone_surrogates(content) if _SURROGATE_ESCAPE.search(text) else content, size)

    @property
    def unfinished(self) -> int:
        return len(self._pending)

    def _find_end(self) -> int | None:
        """Go on from where the last call stopped, so that a message cut into many pieces is scanned once."""
        while self._finish_string():
            match = self._token.search(self._pending, self._at)
            if match is None:
                self._at = len(self._pending)
                return None
            self._at = match.end()
            self._tokens += 1
            if self._tokens > MAX_JSON_TOKENS:
                raise ValueError(f"more than {MAX_JSON_TOKENS} strings and brackets")
            if match[0] == b'"':
                self._in_string = True
            elif match[0] in b"[{":
                self._depth += 1
                if self._depth > MAX_JSON_DEPTH:
                    raise ValueError(f"more than {MAX_JSON_DEPTH} levels deep")
            else:
                self._depth -= 1
                if not self._depth:
                    return self._at
        return None

    def _finish_string(self) -> bool:
        """Leave the string that was entered; False if its end, or the character after a backslash, is not there yet."""
        if self._in_string:
            self._at = self._rest_of_string.match(self._pending, self._at).end()  # type: ignore[union-attr]
            self._in_string = self._pending[self._at : self._at + 1] != b'"'
            self._at += not self._in_string
        return not self._in_string


def decode_ext(code: int, data: bytes) -> EventTime | msgpack.ExtType:
    """Decode an ext value: EventTime, whether it came as fixext8 or as ext8; others stay what they are."""
    return _event_time(data) if code == 0 and len(data) == 8 else msgpack.ExtType(code, data)


UNPACK_OPTIONS: dict[str, Any] = {
    "unicode_errors": "surrogateescape",  # a line keeps its bytes, also when they are not UTF-8
    "ext_hook": decode_ext,
    "max_array_len": MAX_ELEMENTS,
    "max_map_len": MAX_ELEMENTS,
    "max_str_len": MAX_MESSAGE_BYTES,
    "max_bin_len": MAX_MESSAGE_BYTES,
    "max_ext_len": MAX_MESSAGE_BYTES,
}


@functools.lru_cache(maxsize=1024)  # the lines of a chunk share few times
def _event_time(data: bytes) -> EventTime:
    time = EventTime(*struct.unpack(">II", data))
    if time.nanoseconds >= 1_000_000_000:
        raise ValueError(f"an EventTime with {time.nanoseconds} nanoseconds")
    return time


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise RemoteProtocolError(f"it sent a message of more than {limit} bytes, the most that is taken")


def _parse(data: memoryview) -> Any:
    """
    Parse one whole message.

    The entries of a chunk are cut out by hand. msgpack would decode them as text when they come as str,
    as Fluentd sends them: a hundred times slower, and of no use.
    """
    if data[0] in b"\x92\x93" and (tag := _string_at(data, 1)) and (entries := _string_at(data, tag.stop)):
        options = [_unpack(data[entries.stop :])] if data[0] == 0x93 else []
        return [str(data[tag], "utf-8", "surrogateescape"), data[entries], *options]
    return _unpack(data)


def _unpack(data: memoryview) -> Any:
    check_values(data)
    return msgpack.unpackb(data, **UNPACK_OPTIONS)


_LENGTH_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}  # bin 8, 16, 32, str 8, 16, 32


def _string_at(data: memoryview, at: int) -> slice | None:
    """Where the content of the str or bin that begins at *at* stands; None if something else is there."""
    first = data[at]
    if 0xA0 <= first <= 0xBF:
        return slice(at + 1, at + 1 + (first & 0x1F))
    if first not in _LENGTH_BYTES:
        return None
    start = at + 1 + _LENGTH_BYTES[first]
    return slice(start, start + int.from_bytes(data[at + 1 : start], "big"))


_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_LONE_SURROGATE = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # all but those that stand for a byte


def _without_lone_surrogates(value: Any) -> Any:
    r"""Replace what a JSON escape such as ``\ud800`` alone leaves: half a character, which no bytes can say."""
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_lone_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_lone_surrogates(key): _without_lone_surrogates(item) for key, item in value.items()}
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
