"""The form of what workers send, and servers that take it."""

from __future__ import annotations

import subprocess
import sys
import time

import behaviours
import msgpack
import pytest
from clients import eventually
from sending import Worker, forward_settings, numbered, size_of
from servers import HOST, ScriptedServer

from fluentlite.config.model import Server


def test_integer_time(tmp_path):
    """time_as_integer sends whole seconds; without it EventTime is sent (S35)."""
    times = []
    for as_integer in (True, False):
        (tmp_path / str(as_integer)).mkdir()
        with ScriptedServer() as server:
            settings = forward_settings([server], time_as_integer=as_integer)
            with Worker(tmp_path / str(as_integer), settings) as worker:
                before = int(time.time())
                worker.write(b"a")
                server.wait_for(lambda server=server: server.chunks)
                worker.stop()
            _, entries, _ = msgpack.unpackb(server.chunks[0].message)
            sent, record = msgpack.unpackb(entries)
            assert record == {"message": "a"}
            times.append(sent if as_integer else int.from_bytes(sent.data[:4], "big"))
            assert before <= times[-1] <= time.time()
            if not as_integer:
                assert (type(sent), sent.code, len(sent.data)) == (msgpack.ExtType, 0, 8)


@pytest.mark.parametrize("compress", ["none", "gzip"])
def test_option(tmp_path, compress):
    """Chunks say that they are compressed only when they are, and how many lines they have (S30)."""
    lines = numbered(1, 1000)
    with ScriptedServer() as server:
        with Worker(tmp_path, forward_settings([server], compress=compress)) as worker:
            worker.write(*lines)
            server.wait_for(lambda: len(server.lines()) == 1000)
            worker.stop()
        options = [msgpack.unpackb(one.message)[2] for one in server.chunks]
        assert {option.pop("compressed", "none") for option in options} == {compress}
        assert all(option.keys() == {"size", "chunk"} for option in options)
        assert sum(option["size"] for option in options) == 1000
        assert (sum(len(one.message) for one in server.chunks) < size_of(lines) / 2) == (compress == "gzip")


def test_gzip_to_our_receiver(tmp_path):
    """``fluentlite receive`` prints every line of gzipped chunks once, and the worker gets its acks (S30)."""
    lines = [*numbered(1, 20_000), b"caf\xe9", b"", b"\xff" * 300]
    command = [
        sys.executable,
        "-m",
        "fluentlite",
        "receive",
        "--bind",
        f"{HOST}:0",
        "--output",
        "raw",
        "--verify",
    ]
    with (
        open(tmp_path / "received", "wb") as received,
        subprocess.Popen(command, stdout=received, stderr=subprocess.PIPE, text=True) as receiver,
    ):
        try:
            port = int(receiver.stderr.readline().rpartition(":")[2])
            with Worker(tmp_path, forward_settings([Server(HOST, port)], compress="gzip")) as worker:
                worker.write(*lines)
                eventually(lambda: worker.position() == size_of(lines))
                worker.stop()
        finally:
            receiver.terminate()
    assert (tmp_path / "received").read_bytes() == b"".join(line + b"\n" for line in lines)


def test_json_acks(tmp_path):
    """With JSON chunks go as JSON, and their acks, which are JSON as well, are understood however they are cut (S05)."""
    lines = numbered(1, 1000)
    with ScriptedServer(behaviours.ack_in_single_bytes) as server:
        settings = forward_settings([server], format="json")
        with Worker(tmp_path, settings, read_buffer_size=16384) as worker:
            worker.write(*lines)
            eventually(lambda: worker.position() == size_of(lines))
            worker.stop()
        assert len(server.chunks) > 1
        assert all(one.message.startswith(b"[") for one in server.chunks)
        assert server.lines() == lines
        assert len(server.connections) == 1
