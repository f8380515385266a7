"""Answers of a master, as tests of ``status`` need them."""

from __future__ import annotations

from typing import Any

MASTER_KEYS = ["pid", "version", "config", "started_at", "uptime", "reload_error"]
WORKER_KEYS = [
    "tag", "path", "pid", "state", "server", "lines", "bytes", "chunks", "lines_per_second", "lag_bytes",
    "unacked_chunks", "oldest_unacked_seconds", "position", "restarts", "reconnects", "resent_chunks", "cpu_percent",
    "rss_bytes", "uptime", "last_error",
]  # fmt: skip

REFUSED = "10.0.0.5:24224: Connection refused; lines wait in the log until a server takes them"


def worker(tag: str = "nginx.access", **values: Any) -> dict[str, Any]:
    """What the master says of a healthy worker, changed by *values*."""
    return {
        "tag": tag,
        "path": f"/var/log/{tag}.log",
        "pid": 12345,
        "state": "following",
        "server": "10.0.0.5:24224",
        "lines": 1234567,
        "bytes": 246913400,
        "chunks": 1200,
        "lines_per_second": 123.4,
        "lag_bytes": 0,
        "unacked_chunks": 0,
        "oldest_unacked_seconds": 0.0,
        "position": 246913400,
        "restarts": 0,
        "reconnects": 2,
        "resent_chunks": 0,
        "cpu_percent": 1.2,
        "rss_bytes": 12 << 20,
        "uptime": 8000.0,
        "last_error": None,
        **values,
    }


def restarting(tag: str, **values: Any) -> dict[str, Any]:
    """One that has died."""
    error = "the last worker was killed by SIGSEGV; started again in 4 s"
    return worker(
        tag,
        **{
            "state": "restarting",
            "pid": None,
            "server": None,
            "uptime": 0.0,
            "restarts": 3,
            "last_error": error,
        }
        | values,
    )


def connecting(tag: str, **values: Any) -> dict[str, Any]:
    """One whose server is down."""
    return worker(tag, **{"state": "connecting", "server": None, "last_error": REFUSED} | values)


def answer(*workers: dict[str, Any], **master: Any) -> dict[str, Any]:
    """A whole answer; *master* changes what the master says of itself."""
    return {
        "master": {
            "pid": 4711,
            "version": "0.1.0",
            "config": "/etc/fluentlite/fluentlite.toml",
            "started_at": "2026-11-20T02:12:45+00:00",
            "uptime": 273800.0,
            "reload_error": None,
            **master,
        },
        "workers": list(workers),
    }
