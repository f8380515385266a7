"""
The digests of the Forward handshake, the same for both sides.

Each side hashes its own hostname, so the answers of client and server differ although they share salt,
nonce and key. Compare digests with ``hmac.compare_digest``.

Source: Forward Protocol Specification v1, "HELO", "PING", "PONG"; fluentd in_forward.rb, out_forward.rb.
"""

from __future__ import annotations

import hashlib


def shared_key_digest(salt: bytes, hostname: str, nonce: bytes, shared_key: str) -> str:
    """
    Return the proof that *hostname* knows *shared_key*: 128 lower-case hex digits of SHA-512.

    Args:
        salt: ``shared_key_salt``, which the client chose and sent in its PING.
        hostname: Of the side that proves: the client's in PING, the server's in PONG.
        nonce: What the server chose and sent in its HELO.
        shared_key: As configured.
    """
    return hashlib.sha512(salt + _bytes(hostname) + nonce + _bytes(shared_key)).hexdigest()


def password_digest(auth: bytes, username: str, password: str) -> str:
    """
    Return the proof that a user knows *password*: 128 lower-case hex digits of SHA-512.

    Args:
        auth: The salt of the server's HELO; empty when the server asks for no user, and no digest is due.
        username: As sent beside the digest.
        password: As configured.
    """
    return hashlib.sha512(auth + _bytes(username) + _bytes(password)).hexdigest()


def _bytes(text: str) -> bytes:
    # Names come from the peer and from the operating system: whatever bytes they were, they are again.
    return text.encode("utf-8", "surrogateescape")
