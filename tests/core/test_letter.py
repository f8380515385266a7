"""The bytes of a dead letter, its name, and what is said of letters."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentlite.core.entries import JsonEntries, MsgpackEntries
from fluentlite.core.forward import ChunkEncoder, Position, Step
from fluentlite.core.letter import (
    Letter,
    decode_letter,
    encode_letter,
    is_lying,
    letter_of,
    lying,
    name_prefix,
    prefix_of,
)
from fluentlite.core.position import checkpoint_name
from fluentlite.errors import LetterError

ENTRY = bytes.fromhex("92 d7006553f10000000000 81 a16d a5 68656c6c6f")
LETTER = Letter(
    tag="app",
    path="/var/log/app.log",
    source="2049:17:0",
    start=100,
    end=106,
    is_exact=True,
    chunk="CR/WUGfF3UgfwNHWiiDtXA==",
    entries=1,
    format="msgpack",
    refused_at=1_700_000_100,
    servers=(
        ("logs1:24224", "logs1:24224: it closed the connection"),
        ("logs2:24224", "it was out of order"),
    ),
    entry=ENTRY,
)
LINE = (
    b'{"fluentlite_letter": 1, "tag": "app", "path": "/var/log/app.log", "source": "2049:17:0", "start": 100, "end": 106, '
    b'"is_exact": true, "chunk": "CR/WUGfF3UgfwNHWiiDtXA==", "entries": 1, "format": "msgpack", "refused_at": 1700000100, '
    b'"servers": [{"server": "logs1:24224", "reason": "logs1:24224: it closed the connection"}, '
    b'{"server": "logs2:24224", "reason": "it was out of order"}], "bytes": 20, "crc32": "CHECKSUM"}\n'
)


def test_the_bytes_are_pinned():
    """A letter is a line of JSON and the entry: a later version must be able to read it (S36)."""
    data = encode_letter(LETTER)
    checksum = json.loads(data.partition(b"\n")[0])["crc32"]

    assert data == LINE.replace(b"CHECKSUM", checksum.encode()) + ENTRY
    assert checksum == "37b4f777"
    assert LETTER.name == "app.log-ca0081e8e53add6e.100-6e9ba24694df7675.letter"
    assert decode_letter(data) == LETTER


@given(
    st.binary(max_size=100).filter(lambda line: b"\n" not in line),
    st.text(max_size=20),
    st.binary(max_size=20),
)
def test_there_and_back(line, tag, path):
    """Any line, tag and path are read as they were written (S36)."""
    packer = MsgpackEntries("m")
    letter = replace(LETTER, tag=tag, path=path.decode("utf-8", "surrogateescape"), entry=packer.pack([line]))

    assert decode_letter(encode_letter(letter)) == letter


@given(st.data())
def test_damage_is_noticed(data):
    """Whatever byte is changed, lost or added: it is no letter any more, and nothing but that is said (S36)."""
    whole = encode_letter(LETTER)
    place = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.binary(max_size=2).filter(lambda new: new != whole[place : place + 1]))
    with pytest.raises(LetterError):
        decode_letter(whole[:place] + byte + whole[place + 1 :])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no dead letter"),
        (b"\n", "no dead letter"),
        (b"[]\n", "no dead letter"),
        (b"[" * 100_000, "no dead letter"),
        (b'{"fluentlite_letter": "1"}\n', "no dead letter"),
        (b'{"fluentlite_letter": 2}\n', r"later version of fluentlite \(format 2\)"),
        (b'{"fluentlite_letter": 1}\n', "damaged"),
    ],
)
def test_what_is_no_letter(data, why):
    """It is told apart from one that is damaged, and from one of a later version (S36)."""
    with pytest.raises(LetterError, match=why):
        decode_letter(data)


@pytest.mark.parametrize("as_json", [False, True])
def test_the_letter_of_a_chunk(as_json):
    """It has what the chunk knows, and gives the same chunk again, with its id and its bytes (S06, S36)."""
    packer = JsonEntries("m") if as_json else MsgpackEntries("m")
    encoder = ChunkEncoder("app", require_ack=True, as_json=as_json)
    whole = encoder.encode(
        "2049:17:0", [Step(packer.pack([b"one", b"two"]), 2, 8, Position(1, 108, b"two\n"))]
    )
    _, chunk = encoder.split(whole)
    letter = letter_of(chunk, "app", "/app.log", as_json=as_json, servers=[("s", "why")], now=5)

    assert (letter.start, letter.end, letter.is_exact, letter.refused_at) == (104, 108, True, 5)
    again = decode_letter(encode_letter(letter)).to_chunk(encoder)
    assert (again.id, again.buffers) == (chunk.id, chunk.buffers)


def test_the_name_is_that_of_the_record():
    """A record that is refused again after a crash has its old name; another one, or the same line elsewhere, has not (S36)."""
    again = replace(
        LETTER,
        chunk="other",
        refused_at=1_800_000_000,
        servers=(),
        entry=ENTRY.replace(b"\x65\x53", b"\x66\x53"),
    )
    others = [
        replace(LETTER, start=101),
        replace(LETTER, end=107),
        replace(LETTER, source="2049:17:1"),
        replace(LETTER, path="/var/log/other.log"),
        replace(LETTER, entry=ENTRY.replace(b"hello", b"jello")),
    ]

    assert again.name == LETTER.name
    assert len({LETTER.name, *(other.name for other in others)}) == 6


@pytest.mark.parametrize("path", ["/var/log/app.log", "/a.b.c", "-", "/odd name\n.letter"])
def test_names_begin_with_the_log(path):
    """Whose a letter is can be told from its name alone (S36)."""
    name = replace(LETTER, path=path).name

    assert prefix_of(name) == name_prefix(path)
    assert prefix_of(f"{name}.new") == "", "a draft is none"
    assert prefix_of(checkpoint_name(path)) == ""


def test_what_is_said_of_letters():
    """How many there are, where, and what to do; nothing of none (S36)."""
    one, two = lying(1, "/state/dead-letters", "/app.log"), lying(2, "/state/dead-letters", "/app.log")

    assert lying(0, "/state/dead-letters", "/app.log") == ""
    assert "1 record refused by every server lies in /state/dead-letters (app.log-" in one
    assert "2 records refused by every server lie in" in two
    assert all("fluentlite replay FILE" in text and is_lying(text) for text in (one, two))
    assert not is_lying("logs1:24224: it refused our credentials")
