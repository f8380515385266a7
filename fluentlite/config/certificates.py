"""What ``fluentlite check`` sees of ``[forward.tls]``: whether OpenSSL takes the files, and for how long yet."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Iterator
from typing import Any, Literal

from fluentlite.config.model import TlsSettings
from fluentlite.errors import ConfigError
from fluentlite.tls.context import client_context, server_context

SOON = 14 * 86400
"""Seconds before its end from which a certificate is warned of."""

Verdict = tuple[Literal["warning", "error"], str]


def look_at_tls(tls: TlsSettings) -> Iterator[Verdict]:
    """Everything that is wrong with the files of *tls*, as whoever calls can read them."""
    try:
        context = client_context(tls)
        yield from _authorities(tls.ca_file, context)
        if tls.cert_file:
            yield from _own(tls)
    except ConfigError as exc:
        yield "error", str(exc)
    if not tls.verify:
        yield "warning", "verify = false: whoever answers can read the lines"


def _authorities(ca_file: str, context: ssl.SSLContext) -> Iterator[Verdict]:
    if context.verify_mode == ssl.CERT_NONE or not ca_file:
        return
    ends = [ssl.cert_time_to_seconds(str(shown["notAfter"])) for shown in context.get_ca_certs()]
    if ends and max(ends) < time.time():
        yield (
            "error",
            f"ca_file {ca_file} has expired ({_date(max(ends))}), so no server will be believed. Renew it.",
        )
    elif ends and max(ends) < time.time() + SOON:
        yield "warning", f"ca_file {ca_file} expires on {_date(max(ends))}. Renew it."


def _own(tls: TlsSettings) -> Iterator[Verdict]:
    """Of the client certificate; OpenSSL judges it, as a server will."""
    try:
        end = ssl.cert_time_to_seconds(_shown_to_ourselves(tls)["notAfter"])
    except ssl.SSLCertVerificationError as exc:
        yield (
            "error",
            f"cert_file {tls.cert_file} would not be accepted: {exc.verify_message}. Renew it, or name another.",
        )
    except ssl.SSLError as exc:
        yield "error", f"cert_file {tls.cert_file} cannot be used ({exc.reason}). Name another."
    else:
        if end < time.time() + SOON:
            yield "warning", f"cert_file {tls.cert_file} expires on {_date(end)}. Renew it."


def _shown_to_ourselves(tls: TlsSettings) -> dict[str, Any]:
    """
    Return the certificate as a server sees it that trusts it: a handshake in memory, with ourselves.

    Raises:
        ssl.SSLError: It does not accept it; an SSLCertVerificationError says why.
    """
    own = TlsSettings(verify=False, cert_file=tls.cert_file, key_file=tls.key_file)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context(own).wrap_bio(to_client, to_server)
    server = server_context(tls.cert_file, tls.key_file, tls.cert_file).wrap_bio(
        to_server, to_client, server_side=True
    )
    for _ in range(4):  # flights of a handshake, and one to be sure
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return server.getpeercert() or {}


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
