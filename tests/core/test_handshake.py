"""The digests, held against those that real clients and servers sent each other."""

from __future__ import annotations

import pytest
import recorded

from fluentlite.core.handshake import password_digest, shared_key_digest

HANDSHAKES = sorted(recorded.PASSWORDS)


@pytest.mark.parametrize("name", HANDSHAKES)
def test_client_digest(name):
    """The digest of a PING is made with the client's hostname."""
    conversation = recorded.load(name)
    nonce = conversation.message(0)[1][b"nonce"]
    _, hostname, salt, digest, *_ = conversation.message(1)

    assert digest.decode() == shared_key_digest(salt, hostname.decode(), nonce, recorded.SHARED_KEY)


@pytest.mark.parametrize("name", HANDSHAKES)
def test_server_digest(name):
    """The digest of a PONG is made with the server's hostname, and with salt and nonce as in the PING."""
    conversation = recorded.load(name)
    nonce, salt = conversation.message(0)[1][b"nonce"], conversation.message(1)[2]
    hostname, digest = conversation.message(2)[3:]

    assert digest.decode() == shared_key_digest(salt, hostname.decode(), nonce, recorded.SHARED_KEY)


@pytest.mark.parametrize("name", HANDSHAKES)
def test_password_digest(name):
    """A user's digest is made with the salt that the server calls auth."""
    conversation = recorded.load(name)
    auth = conversation.message(0)[1][b"auth"]
    username, digest = conversation.message(1)[4:]

    assert digest.decode() == password_digest(auth, username.decode(), recorded.PASSWORDS[name])


def test_a_wrong_key_gives_another_digest():
    """The recorded PING of a client with the key "wrong" is reproduced with "wrong", and with no other key (S26)."""
    conversation = recorded.load("fluentd-handshake-wrong-key")
    nonce = conversation.message(0)[1][b"nonce"]
    _, hostname, salt, digest, *_ = conversation.message(1)

    assert digest.decode() == shared_key_digest(salt, hostname.decode(), nonce, "wrong")
    assert digest.decode() != shared_key_digest(salt, hostname.decode(), nonce, recorded.SHARED_KEY)


def test_names_that_are_not_utf8():
    """A name is hashed with the bytes it had, whatever they are."""
    latin1 = b"caf\xe9".decode("utf-8", "surrogateescape")

    assert shared_key_digest(b"caf\xe9", "", b"", "") == shared_key_digest(b"", latin1, b"", "")
    assert password_digest(b"caf\xe9", "", "") == password_digest(b"", latin1, "")
