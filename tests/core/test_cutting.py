"""Single entries found in packed ones, and how many are cut off at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentlite.core.cutting import PARTS, bounds, shares
from fluentlite.core.entries import JsonEntries, MsgpackEntries


@given(
    st.lists(st.binary(max_size=300).filter(lambda line: b"\n" not in line), min_size=1, max_size=30),
    st.booleans(),
)
def test_entries_are_found(lines, as_integer):
    """Each entry is found with its bounds and its line, whatever bytes that has (S36)."""
    packer = MsgpackEntries("message", time_as_integer=as_integer)
    packer.begin(1_700_000_000_123_456_789)
    packed = packer.pack(lines)
    found = bounds(packed, as_json=False)

    assert [entry.line for entry in found] == lines
    assert [packed[entry.start : entry.end] for entry in found] == [packer.pack([line]) for line in lines]


@given(st.lists(st.text(max_size=50).filter(lambda line: "\n" not in line), min_size=1, max_size=30))
def test_json_entries_are_found(lines):
    """The same for JSON (S36)."""
    packer = JsonEntries("message")
    encoded = [line.encode("utf-8", "replace") for line in lines]
    packed = packer.pack(encoded)
    found = bounds(packed, as_json=True)

    assert [entry.line for entry in found] == encoded
    assert [packed[entry.start : entry.end] for entry in found] == [packer.pack([line]) for line in encoded]


@pytest.mark.parametrize("as_json", [False, True])
@given(noise=st.binary(min_size=1, max_size=60))
def test_anything_else_is_told(noise, as_json):
    """Bytes that are no event stream give a ValueError and nothing else."""
    try:
        found = bounds(noise, as_json=as_json)
    except ValueError:
        return
    assert all(isinstance(entry.line, bytes) for entry in found)


@pytest.mark.parametrize(
    "noise", [b"[1,{}]", b"[1,2]", b'[1,{"m":1}]', b'[1,{"m":"a"}];[1,{"m":"a"}]', b"[" * 100_000]
)
def test_json_that_is_no_event_stream(noise):
    """The same for JSON that looks nearly like one."""
    with pytest.raises(ValueError, match=r"."):
        bounds(noise, as_json=True)


@given(st.integers(2, 10_000))
def test_shares(count):
    """All are in one part, none is empty, and the largest is as small as it can be."""
    parts = shares(count)

    assert [place for first, end in parts for place in range(first, end)] == list(range(count))
    assert len(parts) == min(count, PARTS)
    assert max(end - first for first, end in parts) == -(-count // len(parts))
