"""``fluentlite receive`` with TLS and secrets from files: what can be tried with it needs no Fluentd."""

import json
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from clients import eventually, packed_forward
from receiving import COMMAND
from sending import Worker, forward_settings, numbered, size_of

from fluentlite.config.model import SecuritySettings, Server

A = packed_forward("app", b"a", chunk="a")


def printed_by(process):
    """What it has printed when it has ended well."""
    code, printed = process.end()
    assert code == 0
    return printed


def with_tls(shown, *others):
    return ["--tls-cert", shown.cert_file, "--tls-key", shown.key_file, *others]


def client_of(process, context):
    client = process.client()
    client.socket = context.wrap_socket(client.socket, server_hostname="127.0.0.1")
    return client


def trusting(authority, own=None):
    context = ssl.create_default_context(cafile=authority.ca_file)
    if own is not None:
        context.load_cert_chain(own.cert_file, own.key_file)
    return context


def test_tls(receive, authority):
    """Chunks come through TLS, and their acks go back the same way."""
    process = receive(*with_tls(authority.issue()))
    with client_of(process, trusting(authority)) as client:
        for _ in range(3):
            client.send(A)
            assert client.reply() == {"ack": "a"}
    printed = printed_by(process)
    assert [json.loads(line)["record"] for line in printed.splitlines()] == [{"message": "a"}] * 3


def test_a_client_without_tls(receive, authority):
    """It is told apart from a broken one, and others are served."""
    process = receive(*with_tls(authority.issue()))
    with process.client() as client:
        client.send(A)
        with pytest.raises((EOFError, ConnectionError, ValueError)):
            while True:
                client.reply()
    with client_of(process, trusting(authority)) as client:
        client.send(A)
        assert client.reply() == {"ack": "a"}
    assert len(printed_by(process).splitlines()) == 1
    assert "what it sends is no TLS; has the client no TLS?" in process.errors


def test_clients_with_a_certificate(receive, authority, other):
    """With --tls-client-ca only clients whose certificate one of these has signed are served."""
    process = receive(*with_tls(authority.issue(), "--tls-client-ca", other.ca_file))
    for own in (None, authority.issue("client.example")):
        with pytest.raises((EOFError, OSError)), client_of(process, trusting(authority, own)) as client:
            client.send(A)
            client.reply()
    good = trusting(authority, other.issue("client.example"))
    with client_of(process, good) as client:
        client.send(A)
        assert client.reply() == {"ack": "a"}
    assert len(printed_by(process).splitlines()) == 1
    assert "it has no client certificate" in process.errors
    assert "its certificate is not accepted: " in process.errors


def test_everything_at_once_with_the_agent(receive, authority, tmp_path):
    """A real worker with TLS, client certificate, key and user delivers large chunks to it; each line is there once."""
    (tmp_path / "key").write_text("s3same\n")
    (tmp_path / "users").write_text("bob:x\nalice:won:der\n\n")
    arguments = with_tls(authority.issue(), "--tls-client-ca", authority.ca_file, "--output", "raw")
    arguments += ["--shared-key-file", f"{tmp_path}/key", "--user-file", f"{tmp_path}/users"]
    security = SecuritySettings(shared_key="s3same", self_hostname="c", username="alice", password="won:der")
    lines = numbered(1, 30_000, size=200)
    process = receive(*arguments)
    forward = forward_settings(
        [Server("127.0.0.1", process.port)],
        tls=authority.client(authority.issue("client.example")),
        security=security,
    )
    with Worker(tmp_path, forward) as worker:
        worker.write(*lines)
        printed = process.read(size_of(lines))  # its output is a pipe: it must be read for all to arrive
        eventually(lambda: worker.position() == size_of(lines))
        worker.stop()
        assert worker.complaints() == []
    assert (printed + printed_by(process)).splitlines() == lines


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
    command = [*COMMAND, *(word.format(**names) for word in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)

    assert done.returncode in (1, 2)
    assert reason in done.stderr


def test_secrets_on_the_command_line_are_hidden(receive):
    """Once it listens, the list of processes shows neither key nor password."""
    process = receive("--shared-key", "s3same", "--user", "alice:wonder")
    shown = Path(f"/proc/{process.process.pid}/cmdline").read_bytes()
    assert b"s3same" not in shown
    assert b"wonder" not in shown
    assert b"fluentlite: receive 127.0.0.1:" in shown
    assert os.path.basename(sys.executable).encode() not in shown.split(b" ")[0]
    printed_by(process)
