"""``fluentlite check --connect``: does each server take us, with TLS and keys as configured?"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from fluentlite.config.look import Finding, rights_of
from fluentlite.config.model import ForwardSettings, LogSettings, Server, Settings
from fluentlite.loop import Loop
from fluentlite.worker.connection import Connection

GRACE = 0.5
"""Seconds in which a server may still say no: in TLS 1.3 it looks at our certificate when we are through."""

MOST_AT_ONCE = 100

_Target = tuple[Server, ForwardSettings]


def try_servers(settings: Settings) -> list[Finding]:
    """
    Connect to every server as the workers will, with the rights of their user; nothing is sent but the handshake.

    Returns:
        A finding for each server and each way in which it is spoken to.
    """
    targets = list(dict.fromkeys(_targets(settings.logs)))
    findings: list[Finding] = []
    with rights_of(settings.master.user):
        for first in range(0, len(targets), MOST_AT_ONCE):
            findings += _try(targets[first : first + MOST_AT_ONCE])
    return findings


def _targets(logs: Iterable[LogSettings]) -> Iterator[_Target]:
    """Each server with all that its handshake depends on, and nothing else."""
    for log in logs:
        forward = log.forward
        for server in (*forward.primary, *forward.secondary):
            yield (
                server,
                replace(
                    ForwardSettings(primary=()),
                    connect_timeout=forward.connect_timeout,
                    format=forward.format,
                    security=forward.security,
                    tls=forward.tls,
                ),
            )


def _try(targets: Iterable[_Target]) -> Iterator[Finding]:
    loop = Loop()
    links: list[Connection] = []
    try:
        for server, forward in targets:
            try:
                links.append(Connection(server, forward, loop))
            except OSError as exc:
                yield Finding("error", "servers", f"{server}: a connection cannot be made ({exc.strerror})")
        while waiting := [link for link in links if not _is_decided(link)]:
            loop.wait(max(0.0, min(_deadline(link) for link in waiting) - time.monotonic()))
            for link in waiting:
                link.check(time.monotonic())
        yield from map(_finding, links)
    finally:
        for link in links:
            link.close()
        loop.close()


def _deadline(link: Connection) -> float:
    return min(link.deadline, link.established_at + GRACE)


def _is_decided(link: Connection) -> bool:
    return link.is_closed or time.monotonic() >= link.established_at + GRACE


def _finding(link: Connection) -> Finding:
    if link.is_closed:
        end = "" if link.error.endswith(("?", ".")) else "."
        return Finding("error", "servers", f"{link.error}{end} Look there, or correct what is configured.")
    return Finding("ok", "servers", f"{link.server} takes a connection of ours")
