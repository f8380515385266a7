"""The certificates and keys of both sides, read from their files; what is wrong with them is said in words."""

from __future__ import annotations

import os
import ssl
import stat
from typing import NoReturn

from fluentlite.config.model import TlsSettings
from fluentlite.errors import ConfigError
from fluentlite.tls.reasons import words


def client_context(settings: TlsSettings) -> ssl.SSLContext:
    """
    Read the files of ``[forward.tls]``. They are read again for each connection: a certificate that was renewed needs
    no restart.

    Raises:
        ConfigError: One of them cannot be used; the text names it, and what to do.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.ca_file:
        _trust(context, "ca_file", settings.ca_file)
    else:
        context.load_default_certs()
    if settings.cert_file:
        _present(context, settings.cert_file, settings.key_file)
    return context


def server_context(cert_file: str, key_file: str, client_ca_file: str = "") -> ssl.SSLContext:
    """
    The server's side; with *client_ca_file* every client must have a certificate that one of its authorities has signed.

    Raises:
        ConfigError: A file cannot be used.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    _present(context, cert_file, key_file)
    if client_ca_file:
        _trust(context, "the file of the clients' authorities", client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # Whoever is in ca_file is trusted, also an intermediate authority or the server itself.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _trust(context: ssl.SSLContext, name: str, path: str) -> None:
    _check_readable(name, path)
    try:
        context.load_verify_locations(cafile=path)
    except OSError as exc:  # ssl.SSLError is one
        raise ConfigError(
            f"{name} {path} holds no certificate that can be read ({words(exc)}). Give it certificates in PEM."
        ) from exc


def _present(context: ssl.SSLContext, cert_file: str, key_file: str) -> None:
    def password() -> NoReturn:
        raise ConfigError(
            f"key_file {key_file} is encrypted, and there is nobody to ask for its password. Store it without "
            f"(openssl pkey -in {key_file} -out NEW), readable for the workers' user only."
        )

    _check_readable("cert_file", cert_file)
    _check_readable("key_file", key_file)
    try:
        context.load_cert_chain(cert_file, key_file, password)
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"key_file {key_file} does not fit cert_file {cert_file}: it is another certificate's. Name the key that "
                "this certificate was made with."
            ) from exc
        raise ConfigError(
            f"cert_file {cert_file} and key_file {key_file} cannot be used ({words(exc)}). Give them a certificate and "
            "its key, each in PEM."
        ) from exc


def _check_readable(name: str, path: str) -> None:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ConfigError(f"{name} {path} is not a regular file. Name a file.")
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY))
    except OSError as exc:
        raise ConfigError(
            f"{name} {path} cannot be read by user {os.geteuid()} ({exc.strerror}). Correct its path or permissions."
        ) from exc
