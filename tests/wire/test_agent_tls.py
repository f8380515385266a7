"""The real agent and a server that others wrote, over TLS: every line arrives there once, and nothing at the wrong one."""

from __future__ import annotations

import pytest
from certificates import Authority
from clients import eventually
from sending import Worker, forward_settings, size_of
from servers import HOST

from fluentlite.config.model import SecuritySettings, Server

LINES = [f"line {number} é".encode() for number in range(3000)]
USERS = {
    "serverHostname": "node.example",
    "sharedKey": "secret",
    "authorize": True,
    "userDict": {"alice": "wonder"},
}


def security(key="secret", username="alice", password="wonder"):
    return SecuritySettings(
        shared_key=key, self_hostname="client.example", username=username, password=password
    )


@pytest.fixture
def other(tmp_path):
    return Authority(tmp_path, "other")


def tls_of(authority, *, clients=None, days=30, names=()):
    """The options of a server: its certificate, and who signs those of its clients, if it wants any."""
    shown = authority.issue(*names, days=days)
    own = {"cert": shown.cert_file, "key": shown.key_file}
    mutual = {"ca": clients.ca_file, "requestCert": True, "rejectUnauthorized": True} if clients else {}
    return own | mutual


def worker_for(server, tmp_path, **forward):
    return Worker(
        tmp_path,
        forward_settings([Server(HOST, server.port)], **forward),
        read_buffer_size=16384,
    )


@pytest.mark.parametrize(
    ("is_mutual", "has_users", "compress"),
    [
        pytest.param(False, False, "none", id="tls"),
        pytest.param(False, False, "gzip", id="gzip"),
        pytest.param(False, True, "none", id="users"),
        pytest.param(True, False, "none", id="client-certificate"),
        pytest.param(True, True, "gzip", id="all-of-it"),
    ],
)
def test_every_line_arrives_once(
    start_fluent_server, tmp_path, authority, other, is_mutual, has_users, compress
):
    """With TLS, client certificates, shared key and users, alone and together, each line is there once, in order (S24-S27)."""
    server = start_fluent_server(
        USERS if has_users else None, tls_of(authority, clients=other if is_mutual else None)
    )
    tls = authority.client(other.issue("client.example") if is_mutual else None)
    with worker_for(
        server, tmp_path, tls=tls, security=security() if has_users else None, compress=compress
    ) as worker:
        worker.write(*LINES)
        eventually(lambda: worker.position() == size_of(LINES))
        assert [event["record"]["message"].encode() for event in server.events(3000)] == LINES
        worker.stop()
        assert worker.complaints() == []


def is_refused(worker, server, mistake, right):
    """
    With *mistake* nothing is delivered, however often it is tried, and every error has the server's name; with *right*
    everything arrives. Returns the errors, each once.
    """
    with worker(**mistake) as wrong:
        wrong.write(*LINES)
        eventually(lambda: wrong.count("trying again in") >= 4)
        wrong.stop()
        assert wrong.position() == 0
        complaints = [text for text in wrong.complaints() if "[ERROR]" in text]
    assert all(f"{HOST}:{server.port}: " in complaint for complaint in complaints)
    with worker(**right) as mended:
        assert [event["record"]["message"].encode() for event in server.events(3000)] == LINES
        mended.stop()
    return complaints


def is_refused_for(reason, *others):
    """As ``is_refused``, for one reason that is said once."""
    (complaint,) = is_refused(*others)
    assert reason in complaint
    return complaint


@pytest.fixture
def worker(tmp_path):
    """A worker for the server that is started last, with the settings given."""
    return lambda server: lambda **forward: worker_for(server, tmp_path, reconnect_wait_max=0.05, **forward)


def test_an_unknown_authority(start_fluent_server, worker, authority, other):
    """A server whose authority we do not know gets nothing, and the message says what to set (S25)."""
    server = start_fluent_server(tls=tls_of(authority))
    complaint = is_refused_for(
        "its certificate is not accepted",
        worker(server),
        server,
        {"tls": other.client()},
        {"tls": authority.client()},
    )

    assert "set ca_file in [forward.tls]" in complaint


def test_another_name(start_fluent_server, worker, authority):
    """So does one whose certificate is somebody else's (S25)."""
    server = start_fluent_server(tls=tls_of(authority, names=["elsewhere.example"]))
    right = {"tls": authority.client(server_name="elsewhere.example")}
    reason = "certificate is not valid for '127.0.0.1'"
    complaint = is_refused_for(reason, worker(server), server, {"tls": authority.client()}, right)

    assert "set server_name in [forward.tls]" in complaint


def test_an_expired_one(start_fluent_server, worker, authority):
    """And one whose certificate has expired (S25)."""
    server = start_fluent_server(tls=tls_of(authority, days=-1))
    right = {"tls": authority.client(verify=False)}
    reason = "certificate has expired; renew it there"
    is_refused_for(reason, worker(server), server, {"tls": authority.client()}, right)


def test_no_client_certificate(start_fluent_server, worker, authority, other):
    """Who asks for a certificate, and gets none, is named with what it wants (S25)."""
    server = start_fluent_server(tls=tls_of(authority, clients=other))
    right = {"tls": authority.client(other.issue("client.example"))}
    complaints = is_refused(worker(server), server, {"tls": authority.client()}, right)

    assert all("ee cert_file and key_file in [forward.tls], and its own log" in one for one in complaints)


def test_a_wrong_client_certificate(start_fluent_server, worker, authority, other):
    """One of another authority is no better than none (S25)."""
    server = start_fluent_server(tls=tls_of(authority, clients=other))
    wrong = {"tls": authority.client(authority.issue("client.example"))}
    right = {"tls": authority.client(other.issue("client.example"))}
    complaints = is_refused(worker(server), server, wrong, right)

    assert all("ee cert_file and key_file in [forward.tls], and its own log" in one for one in complaints)


@pytest.mark.parametrize(
    "ours",
    [
        pytest.param(security("wrong"), id="key"),
        pytest.param(security(password="wrong"), id="password"),
        pytest.param(security(username="bob"), id="user"),
    ],
)
def test_wrong_credentials(start_fluent_server, worker, authority, ours):
    """A wrong key or user is what it is without TLS: one error with the remedy, nothing delivered (S26)."""
    server = start_fluent_server(USERS, tls_of(authority))
    wrong = {"tls": authority.client(), "security": ours}
    right = {"tls": authority.client(), "security": security()}
    reason = "compare shared_key, username and password with its own"
    is_refused_for(reason, worker(server), server, wrong, right)


def test_no_tls_for_a_server_that_has_it(start_fluent_server, worker, authority):
    """Without [forward.tls] nothing counts as delivered to a server that waits for TLS (S27)."""
    server = start_fluent_server(USERS, tls_of(authority))
    wrong, right = {"connect_timeout": 0.3}, {"tls": authority.client(), "connect_timeout": 5.0}
    reason = "it accepted the connection but sent no HELO"
    is_refused_for(
        reason, worker(server), server, wrong | {"security": security()}, right | {"security": security()}
    )


def test_tls_for_a_server_that_has_none(start_fluent_server, worker, authority):
    """The reverse (S27)."""
    server = start_fluent_server(USERS)
    wrong = {"tls": authority.client(), "security": security()}
    reason = "what it sends is no TLS; is its Forward input one with TLS?"
    is_refused_for(reason, worker(server), server, wrong, {"security": security()})
