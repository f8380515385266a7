"""What went wrong with TLS, as a sentence about the peer with a remedy."""

from __future__ import annotations

import re
import ssl
from typing import NoReturn

from fluentlite.errors import AuthenticationError, RemoteProtocolError

_HOSTNAME_MISMATCH, _IP_MISMATCH, _EXPIRED, _NOT_YET, _NO_ISSUER = 62, 64, 10, 9, 20
"""X509_V_ERR_* of OpenSSL."""

_NO_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST", "BAD_RECORD_TYPE"}  # fmt: skip

_OTHER_VERSION = {"TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE", "NO_SHARED_CIPHER", "TLSV1_ALERT_INSUFFICIENT_SECURITY", "WRONG_SSL_VERSION"}  # fmt: skip

_OF_OUR_CERTIFICATE = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it asks for a client certificate",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it has no client certificate",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it may ask for a client certificate, or for another kind of TLS",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know who has signed our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "our certificate has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "our certificate has been revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not accept our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not accept our certificate",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it does not accept our certificate",
    "TLSV1_ALERT_ACCESS_DENIED": "it does not accept our certificate",
    "TLSV1_ALERT_DECRYPT_ERROR": "it does not accept our certificate",
}
"""Reasons of OpenSSL by which a peer says that our certificate, or its absence, is the matter."""


def raise_reason(exc: ssl.SSLError, *, is_open: bool, is_client: bool) -> NoReturn:
    """
    Raises:
        AuthenticationError: One side does not accept the other's certificate.
        RemoteProtocolError: Anything else.
    """
    reason = exc.reason or ""
    if isinstance(exc, ssl.SSLCertVerificationError):
        remedy = _remedy(exc.verify_code) if is_client else ""
        said = exc.verify_message.rstrip(".")
        raise AuthenticationError(f"its certificate is not accepted: {said}{remedy}") from exc
    if reason in _OF_OUR_CERTIFICATE:
        remedy = "; see cert_file and key_file in [forward.tls], and its own log" if is_client else ""
        raise AuthenticationError(f"{_OF_OUR_CERTIFICATE[reason]}{remedy}") from exc
    if isinstance(exc, ssl.SSLEOFError) or reason in ("UNEXPECTED_EOF_WHILE_READING",):
        raise RemoteProtocolError("it closed the connection without a word of TLS") from exc
    if reason in _NO_TLS and not is_open:
        who = "is its Forward input one with TLS?" if is_client else "has the client no TLS?"
        raise RemoteProtocolError(f"what it sends is no TLS; {who}") from exc
    if reason in _OTHER_VERSION:
        raise RemoteProtocolError(
            f"TLS failed: {words(exc)}; both must speak TLS 1.2 or newer, with a cipher in common"
        ) from exc
    raise RemoteProtocolError(f"TLS failed: {words(exc)}") from exc


def _remedy(code: int) -> str:
    if code in (_HOSTNAME_MISMATCH, _IP_MISMATCH):
        return (
            "; name it as its certificate does in primary or secondary, or set server_name in [forward.tls]"
        )
    if code == _EXPIRED:
        return "; renew it there (or the authority's in ca_file), or correct the clock here"
    if code == _NOT_YET:
        return "; correct the clock here"
    if code == _NO_ISSUER:
        return (
            "; set ca_file in [forward.tls] to the authority that has signed it, or, if it is, let the server send the "
            "certificates between the two"
        )
    return "; set ca_file in [forward.tls] to the authority that has signed it"


_PLACES = re.compile(r"^\[\w+\] ?| ?\(_ssl\.c:\d+\)$")


def words(exc: OSError) -> str:
    """What OpenSSL says, without its file names and line numbers."""
    if isinstance(exc, ssl.SSLError) and exc.reason:
        return exc.reason.replace("_", " ").lower()
    return _PLACES.sub("", exc.strerror or "") or type(exc).__name__
