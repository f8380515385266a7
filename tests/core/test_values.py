"""Counting values before they are built."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluentlite.core import values
from fluentlite.core.values import MAX_VALUES, check_values
from fluentlite.errors import RemoteProtocolError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(width=32) | st.text(max_size=40) | st.binary(max_size=300)
    | st.sampled_from([300, 70_000]).map(lambda size: "x" * size) | st.sampled_from([300, 70_000]).map(bytes)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=20) | st.sampled_from([300, 70_000]).map(bytes)),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner, max_size=20),
    max_leaves=30,
)  # fmt: skip


def number_of(value):
    """How many values *value* is, with those in it."""
    if isinstance(value, list):
        return 1 + sum(map(number_of, value))
    if isinstance(value, dict):
        return 1 + sum(1 + number_of(item) for item in value.values())
    return 1


@settings(max_examples=50, deadline=None)
@given(st.lists(VALUES, max_size=3), st.booleans())
def test_every_value_is_counted(messages, single):
    """Whatever there is, one below its number is too few, and its number is enough; depth does not matter."""
    data = b"".join(msgpack.packb(message, use_single_float=single) for message in messages)
    count = sum(map(number_of, messages))

    assert not values._is_more_than(count, data)
    assert values._is_more_than(count - 1, memoryview(data)) or not count


@given(st.binary(max_size=100))
def test_any_bytes_are_counted(data):
    """Bytes that are no msgpack, or are cut off, have a number as well, which is not above theirs."""
    assert not values._is_more_than(len(data), data)


def test_more_than_anybody_sends():
    """At the limit nothing is said, one above it is refused."""
    check_values(b"\x80" * MAX_VALUES)
    check_values(b"\xa1x" * MAX_VALUES)
    with pytest.raises(RemoteProtocolError, match="more than 4194304 values in one message"):
        check_values(b"\x80" * (MAX_VALUES + 1))
