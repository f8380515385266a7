"""Slots of checkpoints as no worker of today writes them, and yet whole."""

from __future__ import annotations

import json
import struct
import zlib


def slot_of(payload: object, *, magic: bytes = b"FLUENTL1", sequence: int = 1) -> bytes:
    """A slot that is whole, around any payload: bytes as they are, everything else as JSON."""
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    header = struct.pack(">8sQI", magic, sequence, len(data))
    return header + struct.pack(">I", zlib.crc32(header + data)) + data


LATER = slot_of(b"unknown", magic=b"FLUENTL2", sequence=9)
"""A slot of a later version."""
