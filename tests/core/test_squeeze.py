"""Compression: whoever does it, any server can read it, and the same entries are always the same bytes."""

import gzip
import sys
import time
import zlib

import pytest

from fluentlite.core import squeeze

BOTH = pytest.mark.parametrize("by", [squeeze.by_zlib, squeeze.by_isal])
DATA = b"".join(b"line %d of an access log, GET /index.html 200\n" % number for number in range(5000))


@BOTH
@pytest.mark.parametrize("data", [b"", b"a", DATA, bytes(range(256)) * 100], ids=len)
def test_it_can_be_read_again(by, data):
    """One gzip member, by the standard's own reader, with nothing behind it."""
    inflater = zlib.decompressobj(wbits=31)

    assert inflater.decompress(by(data)) == data
    assert (inflater.eof, inflater.unused_data) == (True, b"")
    assert gzip.decompress(by(data)) == data


@BOTH
def test_it_is_always_the_same(by):
    """No time is in it: a chunk that is made again has the same bytes (S06)."""
    first = by(DATA)
    before = int(time.time())
    while int(time.time()) == before:
        time.sleep(0.01)

    assert by(DATA) == first
    assert len(first) < len(DATA) / 4


def test_the_quickest_is_taken(monkeypatch):
    """ISA-L where it is installed, zlib where it is not."""
    assert squeeze.best() == ("ISA-L", squeeze.by_isal)
    monkeypatch.setitem(sys.modules, "isal", None)
    assert squeeze.best() == ("zlib", squeeze.by_zlib)
