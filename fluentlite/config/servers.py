"""Servers as people write them: ``host``, ``host:port``, ``[v6]:port``, a bare IPv6 address."""

from __future__ import annotations

import ipaddress
import re

from fluentlite.config.model import DEFAULT_PORT, Server

HOW_TO_WRITE = 'Write "host", "host:port" or "[IPv6 address]:port".'

_LONGEST = 253
"""Characters of a host's name, as DNS has it."""

_BRACKETS = re.compile(r"\[(?P<host>[^][]*)\](?::(?P<port>.*))?", re.DOTALL)
_NAME = re.compile(r"[^\s/@:?#\[\]\"'\\,;\x00-\x1f\x7f]+")
_INTERFACE = re.compile(r"[A-Za-z0-9._-]{1,15}")
_ONLY_DIGITS_AND_DOTS = re.compile(r"[0-9.]+")


def parse_server(text: str) -> Server:
    """
    Returns:
        The server; port 24224 unless *text* names one.

    Raises:
        ValueError: With a reason that completes 'the server "x", but ...'.
    """
    bracketed = _BRACKETS.fullmatch(text)
    if bracketed:
        return Server(_ipv6(bracketed["host"]), _port(bracketed["port"]))
    if text.count(":") > 1:
        return Server(_ipv6(text))
    host, colon, port = text.partition(":")
    return Server(parse_host(host), _port(port if colon else None))


def parse_server_list(text: str) -> tuple[list[Server], list[str]]:
    """
    Read a list of servers: one per line, blank lines and everything from ``#`` on skipped.

    Returns:
        The servers, and for each line that is none a phrase that names line and reason.
    """
    servers, reasons = [], []
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        try:
            servers.append(parse_server(entry))
        except ValueError as exc:
            reasons.append(f"line {number}: {exc}")
    return servers, reasons


def _port(text: str | None) -> int:
    if text is None:
        return DEFAULT_PORT
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise ValueError(f'the port "{text[:_LONGEST]}" is not a number from 1 to 65535')
    return int(text)


def _ipv6(text: str) -> str:
    address, percent, interface = text.partition("%")
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        raise ValueError(f'"{text[:_LONGEST]}" is not an IPv6 address') from None
    if percent and not _INTERFACE.fullmatch(interface):
        raise ValueError(f'"{text[:_LONGEST]}" has behind its "%" what is no name of an interface')
    return text


def parse_host(text: str) -> str:
    """
    Returns:
        The host's name or IPv4 address.

    Raises:
        ValueError: It is neither; with a reason that completes 'the server "x", but ...'.
    """
    if not text:
        raise ValueError("it has no host")
    if len(text) > _LONGEST:
        raise ValueError(f"the name of its host is longer than {_LONGEST} characters")
    if _ONLY_DIGITS_AND_DOTS.fullmatch(text):
        try:
            ipaddress.IPv4Address(text)
        except ValueError:
            raise ValueError(f'"{text}" is not an IPv4 address') from None
        return text
    try:
        text.encode("idna")  # as the resolver will
        usable = bool(_NAME.fullmatch(text))
    except UnicodeError:
        usable = False
    if not usable:
        raise ValueError(f'"{text}" is not the name of a host')
    return text
