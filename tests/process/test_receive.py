"""``fluentlite receive`` as a process: what it prints, when, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from clients import Client, eventually, packed_forward
from receiving import COMMAND

A, B = packed_forward("app", b"a", b"caf\xe9\xff", chunk="a"), packed_forward("app", b"b", chunk="b")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_json(receive, signum):
    """Each event is one JSON line, bad bytes are U+FFFD, and a signal ends it with the totals."""
    process = receive()
    with process.client() as client:
        client.send(A)
        assert client.reply() == {"ack": "a"}
        client.send(b"")
        code, output = process.end(signum)

    assert code == 0
    assert [json.loads(line) for line in output.splitlines()] == [
        {"tag": "app", "time": 1700000000.000000005, "record": {"message": "a"}},
        {"tag": "app", "time": 1700000000.000000005, "record": {"message": "caf\ufffd\ufffd"}},
    ]
    assert b'"time":1700000000.000000005,' in output
    assert re.search(
        rf"total in \S+ s: 2 events, {len(A)} bytes, 1 chunks, 1 acks, 1 connections\n$", process.errors
    )


def test_raw(receive):
    """Raw output has the lines with their bytes unchanged, of whichever field (T30)."""
    process = receive("--output", "raw")
    with process.client() as client:
        client.send(A + packed_forward("app", b"gz", compressed="text"))
        assert process.read(11) == b"a\ncaf\xe9\xff\ngz\n"

    process = receive("--output", "raw", "--field", "log")
    with process.client() as client:
        client.send(b'["app",1,{"log":"x","message":"y"},{"chunk":"id"}]')
        assert process.read(2) == b"x\n"
        assert client.socket.recv(99) == b'{"ack":"id"}'


def test_written_before_acknowledged(receive, tmp_path):
    """When the ack arrives, the lines are in the file (S06)."""
    path = tmp_path / "out"
    with path.open("wb") as file:
        process = receive("--output", "raw", stdout=file)
    with process.client() as client:
        for count in range(1, 50):
            client.send(B)
            assert client.reply() == {"ack": "b"}
            assert path.read_bytes() == b"b\n" * count


def test_none_and_counter(receive):
    """With none nothing is printed, and the counter says every second what arrives."""
    process = receive("--output", "none", "--counter")
    with process.client() as client:
        client.send(packed_forward("app", b"a", size=1000, chunk="a"))
        assert client.reply() == {"ack": "a"}
        process.wait_for_error(
            r"\d+ events/s, \d+ bytes/s, \d chunks/s, \d acks/s, 1 connections; so far 1000 events"
        )
    code, output = process.end()

    assert (code, output) == (0, b"")
    assert ": 1000 events," in process.errors.splitlines()[-1]


def test_verify(receive):
    """With --verify a wrong size is an error, which is not noticed when only counting."""
    process = receive("--output", "none", "--verify")
    with process.client() as client:
        client.send(packed_forward("app", b"a", size=1000, chunk="a"))
        assert client.ended()
    process.wait_for_error(
        r"127\.0\.0\.1:\d+: it sent 1 entries, and said that they are 1000 .*the connection was closed\n"
    )


def test_bad_client(receive):
    """Bad bytes cost their client the connection and the log one line; everybody else is served."""
    process = receive("--output", "raw")
    for data in b"\xc1", b"GET / HTTP/1.0\r\n\r\n", b"\x91" * 5000, b"[}":
        with process.client() as bad:
            bad.send(data)
            bad.ended()
        with process.client() as good:
            good.send(B)
            assert good.reply() == {"ack": "b"}
    code, output = process.end()

    assert (code, output) == (0, b"b\n" * 4)
    assert process.errors.count("the connection was closed\n") == 4
    assert "Traceback" not in process.errors


def test_security(receive):
    """Key, user and own name are those given; the secrets are not printed (S26)."""
    process = receive(
        "--shared-key", "key", "--self-hostname", "me.example", "--user", "al:pw:1", "--user", "bo:x"
    )
    with process.client() as client:
        assert client.shake_hands("key", user="al", password="pw:1")[:4] == ["PONG", True, "", "me.example"]
        client.send(B)
        assert client.reply() == {"ack": "b"}
    for key, user, password, reason in ("no", "al", "pw:1", "shared_key"), ("key", "al", "no", "password"):
        with process.client() as client:
            assert client.shake_hands(key, user=user, password=password)[1] is False
            assert client.ended()
        process.wait_for_error(f"refused: .*{reason}.*client.example")
    process.end()
    assert "pw:1" not in process.errors


def test_no_ack(receive):
    """With --no-ack everything is printed and nothing acknowledged (S03)."""
    process = receive("--no-ack", "--output", "raw")
    with process.client() as client:
        client.send(B)
        assert process.read(2) == b"b\n"
        client.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.reply()


def test_reader_that_left(receive):
    """When whoever read the output is gone, it ends with a word and exit code 0."""
    process = receive()
    process.process.stdout.close()
    with process.client() as client:
        client.send(B)
        with pytest.raises(EOFError):
            client.reply()
    assert process.process.wait(10) == 0
    process.wait_for_error(r"standard output was closed\n.*total")
    assert "Traceback" not in process.errors


def test_reader_that_does_not_read(receive):
    """A blocked output does not keep TERM from being obeyed; what was not written whole is not acknowledged (S31)."""
    process = receive("--output", "raw")
    with process.client() as client:
        client.send(packed_forward("app", b"x" * 1_000_000, chunk="id"))
        assert process.process.stdout.read(1) == b"x"  # it is in the middle of writing
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(10) == 0
        with pytest.raises((EOFError, ConnectionResetError)):
            client.reply()


def test_full_disk(receive):
    """Output that cannot be written is reported, not acknowledged, and ends it with exit code 1 (T49)."""
    with open("/dev/full", "wb") as full:
        process = receive(stdout=full)
    with process.client() as client:
        client.send(B)
        with pytest.raises((EOFError, ConnectionResetError)):
            client.reply()
    assert process.process.wait(10) == 1
    process.wait_for_error(
        r"cannot write to standard output: No space left on device\. The last chunk was not acknowl"
    )


def test_closed_descriptors():
    """With standard output and error closed no socket takes their place, so a client hears acks and nothing else."""
    shell = f"exec '{sys.executable}' -m fluentlite receive --bind 127.0.0.1:0 >&- 2>&-"
    with subprocess.Popen(["sh", "-c", shell]) as process:
        try:
            eventually(lambda: listening_port(process.pid))
            with Client(listening_port(process.pid)) as client:
                client.send(A + b"\xc1")
                assert client.reply() == {"ack": "a"}
                assert client.ended()
        finally:
            process.kill()


def listening_port(pid):
    """The TCP port on which *pid* listens, or 0."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            inodes.add(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            continue
    with open("/proc/net/tcp") as table:
        for line in list(table)[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                return int(fields[1].split(":")[1], 16)
    return 0


def test_ipv6(receive):
    """An IPv6 address is given and printed in brackets."""
    process = receive("--output", "raw", bind="[::1]:0")
    assert process.host == "[::1]"
    with process.client() as client:
        client.send(B)
        assert client.reply() == {"ack": "b"}


def test_address_in_use(receive):
    """An address that is taken is named, with the remedy."""
    port = receive().port
    second = subprocess.run(
        [*COMMAND, "--bind", f"127.0.0.1:{port}"], capture_output=True, text=True, timeout=10
    )

    assert second.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use. Choose another" in second.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param(["--bind", "24224"], "write HOST:PORT", id="no-host"),
        pytest.param(["--bind", "::1:24224"], "for IPv6", id="no-brackets"),
        pytest.param(["--bind", "localhost:65536"], "write HOST:PORT", id="port"),
        pytest.param(["--user", "a:b"], "needs --shared-key", id="user-without-key"),
        pytest.param(["--shared-key", "k", "--user", "a"], "NAME:PASSWORD", id="user-without-password"),
        pytest.param(["--output", "xml"], "invalid choice", id="output"),
    ],
)
def test_wrong_arguments(arguments, reason):
    """A wrong command line is explained, with exit code 2."""
    result = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=10)

    assert (result.returncode, reason in result.stderr) == (2, True), result.stderr


def test_unknown_host():
    """A name that cannot be resolved is an error of the command line, not a traceback."""
    result = subprocess.run(
        [*COMMAND, "--bind", "no.such.host.invalid:1"], capture_output=True, text=True, timeout=60
    )

    assert result.returncode == 1
    assert "cannot listen on no.such.host.invalid:1: " in result.stderr
    assert "Traceback" not in result.stderr
