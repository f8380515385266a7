"""The real agent and a server that others wrote, over TLS: every line arrives there once, and nothing at the wrong one."""

from __future__ import annotations

import pytest
from agents import (
    LINES,
    USERS,
    WRONG_CREDENTIALS,
    complaints_of,
    deliver,
    errors_in,
    received,
    security,
    worker_for,
)


def tls_of(authority, *, clients=None, days=30, names=()):
    """The options of a server: its certificate, and who signs those of its clients, if it wants any."""
    shown = authority.issue(*names, days=days)
    own = {"cert": shown.cert_file, "key": shown.key_file}
    mutual = {"ca": clients.ca_file, "requestCert": True, "rejectUnauthorized": True} if clients else {}
    return own | mutual


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
        deliver(worker)
        assert received(server) == LINES
        deliver(worker, ["the last one"])
        assert received(server, 1) == ["the last one"]
        worker.stop()
        assert worker.complaints() == []


def test_an_unknown_authority(start_fluent_server, tmp_path, authority, other):
    """A server whose authority we do not know gets nothing, and the message says what to set (S25)."""
    server = start_fluent_server(tls=tls_of(authority))
    wrong, right = {"tls": other.client()}, {"tls": authority.client()}
    [complaint] = complaints_of(server, tmp_path, wrong, right)

    assert "its certificate is not accepted" in complaint
    assert "set ca_file in [forward.tls]" in complaint


def test_another_name(start_fluent_server, tmp_path, authority):
    """So does one whose certificate is somebody else's (S25)."""
    server = start_fluent_server(tls=tls_of(authority, names=["elsewhere.example"]))
    wrong = {"tls": authority.client()}
    right = {"tls": authority.client(server_name="elsewhere.example")}
    [complaint] = complaints_of(server, tmp_path, wrong, right)

    assert "certificate is not valid for '127.0.0.1'" in complaint
    assert "set server_name in [forward.tls]" in complaint


def test_an_expired_one(start_fluent_server, tmp_path, authority):
    """And one whose certificate has expired (S25)."""
    server = start_fluent_server(tls=tls_of(authority, days=-1))
    wrong, right = {"tls": authority.client()}, {"tls": authority.client(verify=False)}
    [complaint] = complaints_of(server, tmp_path, wrong, right)

    assert "certificate has expired; renew it there" in complaint


def test_no_client_certificate(start_fluent_server, tmp_path, authority, other):
    """Who asks for a certificate, and gets none, is named with what it wants (S25)."""
    server = start_fluent_server(tls=tls_of(authority, clients=other))
    wrong = {"tls": authority.client()}
    right = {"tls": authority.client(other.issue("client.example"))}
    errors = errors_in(complaints_of(server, tmp_path, wrong, right))

    assert all("ee cert_file and key_file in [forward.tls], and its own log" in error for error in errors)


def test_a_wrong_client_certificate(start_fluent_server, tmp_path, authority, other):
    """One of another authority is no better than none (S25)."""
    server = start_fluent_server(tls=tls_of(authority, clients=other))
    wrong = {"tls": authority.client(authority.issue("client.example"))}
    right = {"tls": authority.client(other.issue("client.example"))}
    errors = errors_in(complaints_of(server, tmp_path, wrong, right))

    assert all("ee cert_file and key_file in [forward.tls], and its own log" in error for error in errors)


@WRONG_CREDENTIALS
def test_wrong_credentials(start_fluent_server, tmp_path, authority, ours):
    """A wrong key or user is what it is without TLS: one error with the remedy, nothing delivered (S26)."""
    server = start_fluent_server(USERS, tls_of(authority))
    tls = {"tls": authority.client()}
    [complaint] = complaints_of(server, tmp_path, tls | {"security": ours}, tls | {"security": security()})

    assert "compare shared_key, username and password with its own" in complaint


def test_no_tls_for_a_server_that_has_it(start_fluent_server, tmp_path, authority):
    """Without [forward.tls] nothing counts as delivered to a server that waits for TLS (S27)."""
    server = start_fluent_server(USERS, tls_of(authority))
    wrong = {"security": security(), "connect_timeout": 0.3}
    right = {"security": security(), "tls": authority.client()}
    [complaint] = complaints_of(server, tmp_path, wrong, right)

    assert "it accepted the connection but sent no HELO" in complaint


def test_tls_for_a_server_that_has_none(start_fluent_server, tmp_path, authority):
    """The reverse (S27)."""
    server = start_fluent_server(USERS)
    wrong = {"security": security(), "tls": authority.client()}
    right = {"security": security()}
    [complaint] = complaints_of(server, tmp_path, wrong, right)

    assert "what it sends is no TLS; is its Forward input one with TLS?" in complaint
