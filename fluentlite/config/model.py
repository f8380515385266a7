"""
The configuration as frozen, typed objects, with units and defaults.

Whoever reads a configuration (a TOML file, the flags of ``fluentlite agent``) makes these; nobody else
knows how they were written. Durations are float seconds, sizes are int bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DEFAULT_PORT = 24224
DEFAULT_CONFIG_PATH = "/etc/fluentlite/fluentlite.toml"


@dataclass(frozen=True, slots=True)
class Server:
    """One Forward server: a host name or an address, IPv6 without brackets."""

    host: str
    port: int = DEFAULT_PORT

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecuritySettings:
    """``[forward.security]``, with the names of Fluentd's ``<security>``."""

    shared_key: str
    self_hostname: str
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"SecuritySettings(self_hostname={self.self_hostname!r}, username={self.username!r}, ...)"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """``[forward.tls]``; an empty string means "not given"."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    verify: bool = True
    server_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardSettings:
    """``[forward]``: where chunks go, and how."""

    primary: tuple[Server, ...]
    secondary: tuple[Server, ...] = ()
    require_ack_response: bool = True
    ack_response_timeout: float = 60.0
    connect_timeout: float = 5.0
    """One deadline for name, TCP and handshake together, per server."""
    send_timeout: float = 60.0
    """For one whole chunk, not for one write."""
    keepalive_timeout: float = 1800.0
    """Age at which a connection is renewed, +-30 s at random; 0 = never."""
    reconnect_wait_max: float = 60.0
    reconnect_wait_incr_rate: float = 1.5
    failback_interval: float = 60.0
    """While a secondary is in use, a primary is tried again this often."""
    max_in_flight: int = 4
    """Chunks that may wait for their acks at one time."""
    format: Literal["msgpack", "json"] = "msgpack"
    compress: Literal["none", "gzip"] = "none"
    time_as_integer: bool = False
    security: SecuritySettings | None = None
    tls: TlsSettings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TailSettings:
    """``[tail]``: how a log is read and cut into records."""

    field_name: str = "message"
    read_from_head: bool = False
    """For a log seen for the first time; later its position decides."""
    read_buffer_size: int = 1048576
    """Most bytes of entries in one chunk, before compression; a single longer line goes alone."""
    max_line_size: int = 1048576
    long_lines: Literal["split", "truncate", "skip"] = "split"
    rotate_wait: float = 5.0
    """Quiet seconds before a rotated generation is closed."""
    poll_interval: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PingSettings:
    """``[ping]``: a message ``[tag, time, {"data": "DATA PATH"}]`` every *interval* seconds, the first at once."""

    tag: str
    data: str
    interval: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """One ``[[log]]`` with everything that applies to it; what one worker needs."""

    tag: str
    """As sent: ``tag_prefix`` is already in front of it."""
    path: str
    """Absolute; ``-`` is standard input."""
    forward: ForwardSettings
    tail: TailSettings = TailSettings()
    ping: PingSettings | None = None
    drain_log_tag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterSettings:
    """``[master]``: the process that runs the workers, and where things are kept."""

    state_dir: str = "/var/lib/fluentlite"
    run_dir: str = "/run/fluentlite"
    log_file: str = "/var/log/fluentlite/fluentlite.log"
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    user: str | None = None
    nice: int = 0
    stop_timeout: float = 10.0
    memory_limit: int = 0
    """Bytes of resident memory above which a worker is replaced gently; 0 = no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A whole configuration."""

    path: str
    """The file it came from."""
    master: MasterSettings = MasterSettings()
    logs: tuple[LogSettings, ...] = ()
