"""Events as JSON lines and as the lines they were."""

from __future__ import annotations

import json

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentlite.core.decode import Event, Mode, ReceivedChunk
from fluentlite.core.messages import EventTime
from fluentlite.core.printing import MAX_PRINTED_DEPTH, field_values, json_lines, raw_lines
from fluentlite.errors import RemoteProtocolError


def chunk_of(*records, tag="app", time=0):
    return ReceivedChunk(
        tag, Mode.FORWARD, len(records), 0, None, [Event(time, record) for record in records]
    )


@pytest.mark.parametrize(
    ("time", "text"),
    [
        pytest.param(EventTime(1_700_000_000, 5), "1700000000.000000005", id="event-time"),
        pytest.param(EventTime(0, 999_999_999), "0.999999999", id="begin-of-time"),
        pytest.param(1_700_000_000, "1700000000", id="integer"),
        pytest.param(1.5, "1.5", id="float"),
    ],
)
def test_times(time, text):
    """A time keeps all its digits, which a float would not."""
    line = f'{{"tag":"app","time":{text},"record":{{"message":"x"}}}}\n'

    assert json_lines(chunk_of({"message": "x"}, time=time)) == line.encode()


@pytest.mark.parametrize(
    ("record", "text"),
    [
        pytest.param({"message": 'a"\\\n\x00é'}, '{"message":"a\\"\\\\\\n\\u0000é"}', id="escapes"),
        pytest.param({"message": "caf\udce9\udcff!"}, '{"message":"caf\ufffd\ufffd!"}', id="str-not-utf8"),
        pytest.param({"message": b"caf\xe9\xff!"}, '{"message":"caf\ufffd\ufffd!"}', id="bin-not-utf8"),
        pytest.param({b"message": b"a"}, '{"message":"a"}', id="bin-key"),
        pytest.param({"m": [1, {"k": b"\xff"}], "n": None}, '{"m":[1,{"k":"\ufffd"}],"n":null}', id="nested"),
        pytest.param(
            {"m": float("nan"), "n": [float("inf")], "o": 0.5}, '{"m":null,"n":[null],"o":0.5}', id="nan"
        ),
        pytest.param({"m": msgpack.ExtType(5, b"x")}, '{"m":"ExtType(code=5, data=b\'x\')"}', id="ext"),
        pytest.param({}, "{}", id="empty"),
    ],
)
def test_records(record, text):
    """Each byte that is not UTF-8 is one U+FFFD, and what JSON does not know is something it does."""
    assert json_lines(chunk_of(record)).decode() == f'{{"tag":"app","time":0,"record":{text}}}\n'


def test_tag_that_is_not_utf8():
    """A tag is printed by the same rule."""
    assert json_lines(chunk_of({}, tag='a"\udcff')).decode() == '{"tag":"a\\"\ufffd","time":0,"record":{}}\n'


@pytest.mark.parametrize("innermost", [1, b"x"])
def test_depth(innermost):
    """A record deeper than is printed is the client's error, not ours."""
    record = {"m": innermost}
    for _ in range(1000):
        record = {"m": record}
    with pytest.raises(RemoteProtocolError, match=f"{MAX_PRINTED_DEPTH} levels"):
        json_lines(chunk_of(record))


def test_raw_lines():
    """The lines come out with their bytes, str and bin alike; what is no line is left out or printed as JSON (T30)."""
    chunk = chunk_of(
        {"message": "caf\udce9"}, {"message": b"\xff\x00"}, {"other": "x"}, {"message": [1]}, {"message": ""}
    )

    assert raw_lines(chunk, "message") == b"caf\xe9\n\xff\x00\n[1]\n\n"
    assert raw_lines(chunk, "other") == b"x\n"
    assert field_values(chunk.events, "message") == [b"caf\xe9", b"\xff\x00", b"[1]", b""]


@given(st.lists(st.binary(max_size=30)), st.booleans())
def test_any_lines(lines, as_bin):
    """Any bytes come back unchanged as raw lines, and as one JSON object per line."""
    values = lines if as_bin else [line.decode("utf-8", "surrogateescape") for line in lines]
    chunk = chunk_of(*({"message": value} for value in values))

    assert field_values(chunk.events, "message") == lines
    printed = json_lines(chunk).decode().split("\n")[:-1]
    expected = [line.decode("utf-8", "surrogateescape") for line in lines]
    assert [len(json.loads(line)["record"]["message"]) for line in printed] == [
        len(text) for text in expected
    ]
