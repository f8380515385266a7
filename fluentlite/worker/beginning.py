"""What a new connection begins with: plain or TLS, and the session with our credentials."""

from __future__ import annotations

import secrets
import socket

from fluentlite.config.model import ForwardSettings, Server
from fluentlite.core.session import Credentials, ForwardSession
from fluentlite.tls.context import client_context
from fluentlite.tls.transport import TlsTransport
from fluentlite.transport import TcpTransport, Transport


def transport_over(sock: socket.socket, server: Server, settings: ForwardSettings) -> Transport:
    """
    Return what bytes to *server* go through; it closes *sock*.

    Raises:
        ConfigError: A file of ``[forward.tls]`` cannot be used.
    """
    tls = settings.tls
    if tls is None:
        return TcpTransport(sock)
    name = tls.server_name or server.host
    return TlsTransport(sock, client_context(tls), name.rstrip("."))


def new_session(settings: ForwardSettings) -> ForwardSession:
    """Return our side of one connection, with a salt of its own."""
    security, credentials = settings.security, None
    if security is not None:
        credentials = Credentials(
            security.shared_key,
            security.self_hostname,
            security.username,
            security.password,
            secrets.token_hex(16),
        )
    return ForwardSession(settings.ack_response_timeout, credentials, as_json=settings.format == "json")
