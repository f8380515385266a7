"""``fluentlite receive`` with TLS and secrets from files: what can be tried with it needs no Fluentd."""

import contextlib
import json
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from certificates import Authority
from clients import Client, eventually, packed_forward
from sending import Worker, forward_settings, numbered, size_of

from fluentlite.config.model import SecuritySettings, Server

A = packed_forward("app", b"a", chunk="a")


@contextlib.contextmanager
def receive(*arguments):
    """Run the command; yields the process and its port. What it printed is in ``process.printed`` afterwards."""
    command = [sys.executable, "-m", "fluentlite", "receive", "--bind", "127.0.0.1:0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stderr.readline()
            assert "listening on" in line, line + process.stderr.read()
            process.port = int(line.split("127.0.0.1:")[1].split()[0])
            yield process
            process.terminate()
            process.printed, process.said = process.communicate(timeout=10)
            assert process.returncode == 0
        finally:
            process.kill()


def with_tls(shown, *others):
    return ["--tls-cert", shown.cert_file, "--tls-key", shown.key_file, *others]


def client_of(process, context):
    client = Client(process.port)
    client.socket = context.wrap_socket(client.socket, server_hostname="127.0.0.1")
    return client


def trusting(authority, own=None):
    context = ssl.create_default_context(cafile=authority.ca_file)
    if own is not None:
        context.load_cert_chain(own.cert_file, own.key_file)
    return context


def test_tls(authority):
    """Chunks come through TLS, and their acks go back the same way."""
    with receive(*with_tls(authority.issue())) as process:
        with client_of(process, trusting(authority)) as client:
            for _ in range(3):
                client.send(A)
                assert client.reply() == {"ack": "a"}
    assert [json.loads(line)["record"] for line in process.printed.splitlines()] == [{"message": "a"}] * 3


def test_a_client_without_tls(authority):
    """It is told apart from a broken one, and others are served."""
    with receive(*with_tls(authority.issue())) as process:
        with Client(process.port) as client:
            client.send(A)
            with pytest.raises((EOFError, ConnectionError, ValueError)):
                while True:
                    client.reply()
        with client_of(process, trusting(authority)) as client:
            client.send(A)
            assert client.reply() == {"ack": "a"}
    assert "what it sends is no TLS; has the client no TLS?" in process.said
    assert len(process.printed.splitlines()) == 1


def test_clients_with_a_certificate(authority, tmp_path):
    """With --tls-client-ca only clients whose certificate one of these has signed are served."""
    others = Authority(tmp_path, "other")
    with receive(*with_tls(authority.issue(), "--tls-client-ca", others.ca_file)) as process:
        for own in (None, authority.issue("client.example")):
            with pytest.raises((EOFError, OSError)), client_of(process, trusting(authority, own)) as client:
                client.send(A)
                client.reply()
        good = trusting(authority, others.issue("client.example"))
        with client_of(process, good) as client:
            client.send(A)
            assert client.reply() == {"ack": "a"}
    assert len(process.printed.splitlines()) == 1
    assert "it has no client certificate" in process.said
    assert "its certificate is not accepted: " in process.said


def test_everything_at_once_with_the_agent(authority, tmp_path):
    """A real worker with TLS, client certificate, key and user delivers large chunks to it; each line is there once."""
    (tmp_path / "key").write_text("s3same\n")
    (tmp_path / "users").write_text("bob:x\nalice:won:der\n\n")
    arguments = with_tls(authority.issue(), "--tls-client-ca", authority.ca_file, "--output", "raw")
    arguments += ["--shared-key-file", f"{tmp_path}/key", "--user-file", f"{tmp_path}/users"]
    security = SecuritySettings(shared_key="s3same", self_hostname="c", username="alice", password="won:der")
    lines = numbered(1, 30_000, size=200)
    with receive(*arguments) as process:
        forward = forward_settings(
            [Server("127.0.0.1", process.port)],
            tls=authority.client(authority.issue("client.example")),
            security=security,
        )
        with Worker(tmp_path, forward) as worker:
            worker.write(*lines)
            printed = []
            while len(printed) < len(lines):  # its output is a pipe: it must be read for all to arrive
                printed.append(process.stdout.readline().rstrip("\n").encode())
            eventually(lambda: worker.position() == size_of(lines))
            worker.stop()
            assert worker.complaints() == []
    assert printed == lines


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param(["--tls-cert", "{cert}"], "TLS needs both --tls-cert and --tls-key", id="no-key"),
        pytest.param(
            ["--tls-client-ca", "{cert}"], "TLS needs both --tls-cert and --tls-key", id="only-clients"
        ),
        pytest.param(
            ["--tls-cert", "{cert}", "--tls-key", "{other}"], "does not fit cert_file", id="another-key"
        ),
        pytest.param(["--shared-key-file", "{gone}"], "does not exist", id="no-such-file"),
        pytest.param(["--user-file", "{gone}", "--shared-key", "k"], "does not exist", id="no-users"),
        pytest.param(["--user", "a:b"], "--user needs --shared-key", id="users-alone"),
        pytest.param(
            ["--user-file", "{empty}", "--shared-key", "k"], "names no user, so everybody", id="nobody"
        ),
        pytest.param(
            ["--user-file", "{cert}", "--shared-key", "k"],
            "line 1: a user is written NAME:PASSWORD",
            id="users-of-another-form",
        ),
        pytest.param(["--shared-key", ""], "--shared-key is empty", id="empty-key"),
    ],
)
def test_mistakes(authority, tmp_path, arguments, reason):
    """What does not go together, or cannot be read, is told at once."""
    own, other = authority.issue(), authority.issue()
    names = {
        "cert": own.cert_file,
        "other": other.key_file,
        "gone": f"{tmp_path}/gone",
        "empty": f"{tmp_path}/empty",
    }
    (tmp_path / "empty").write_text("\n")
    command = [sys.executable, "-m", "fluentlite", "receive", *(word.format(**names) for word in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)

    assert done.returncode != 0
    assert reason in done.stderr


def test_secrets_on_the_command_line_are_hidden():
    """Once it listens, the list of processes shows neither key nor password."""
    with receive("--shared-key", "s3same", "--user", "alice:wonder") as process:
        shown = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    assert b"s3same" not in shown
    assert b"wonder" not in shown
    assert b"fluentlite: receive 127.0.0.1:" in shown
    assert os.path.basename(sys.executable).encode() not in shown.split(b" ")[0]
