"""
The tables and keys of a configuration: what exists, and what each value may be.

Defaults and choices come from the dataclasses of :mod:`fluentlite.config.model` and stand nowhere else.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field

from fluentlite.config import model
from fluentlite.config.file_kinds import Patterns, SecretFile, ServersFile
from fluentlite.config.kinds import (
    Choice,
    Flag,
    HostName,
    Integer,
    Kind,
    LogPath,
    Number,
    OwnLog,
    Path,
    Servers,
    Tag,
    Text,
)

REQUIRED = dataclasses.MISSING
"""The default of a key that has none."""

_DAY = 86400
_HOUR = 3600
_LARGEST_SIZE = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table."""

    name: str
    target: str
    """What it sets, the same wherever it is written: ``tail.field_name`` in [tail] and in a [[log]]."""
    kind: Kind
    default: object
    secret: bool = False
    """Its value must appear nowhere."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its keys and the tables inside it."""

    name: str
    """Dotted, as in its header; empty for a file's top level."""
    keys: dict[str, Key]
    tables: dict[str, Table] = field(default_factory=dict)
    optional: bool = False
    """Its presence switches something on, and ``false`` in its place switches that off."""


def _defaults(settings: type) -> dict[str, object]:
    return {item.name: item.default for item in dataclasses.fields(settings)}


def _choice(settings: type, name: str) -> Choice:
    return Choice(typing.get_args(typing.get_type_hints(settings)[name]))


def _keys(
    table: str, defaults: Mapping[str, object], secret: tuple[str, ...] = (), **kinds: Kind
) -> dict[str, Key]:
    return {
        name: Key(
            name, f"{table}.{name}" if table else name, kind, defaults.get(name, REQUIRED), name in secret
        )
        for name, kind in kinds.items()
    }


def _files(table: str, kind: Kind, *names: str) -> dict[str, Key]:
    """Keys ``NAME_file``: a file that says what NAME is."""
    return {f"{name}_file": Key(f"{name}_file", f"{table}.{name}", kind, None) for name in names}


MASTER = Table(
    "master",
    _keys(
        "master",
        _defaults(model.MasterSettings),
        state_dir=Path(),
        run_dir=Path(),
        log_file=OwnLog(),
        log_level=_choice(model.MasterSettings, "log_level"),
        user=Text(),
        nice=Integer(-20, 19),
        stop_timeout=Number(0, _HOUR),
        memory_limit=Integer(0, 1 << 40),
    ),
)

SECURITY = Table(
    "forward.security",
    _keys(
        "forward.security",
        # The name of this host is what everybody writes, and what the handshake needs to differ by host.
        _defaults(model.SecuritySettings) | {"self_hostname": "${HOSTNAME}"},
        secret=("shared_key", "password"),
        shared_key=Text(),
        self_hostname=Text(),
        username=Text(may_be_empty=True),
        password=Text(may_be_empty=True),
    )
    | _files("forward.security", SecretFile(), "shared_key", "password"),
    optional=True,
)

TLS = Table(
    "forward.tls",
    _keys(
        "forward.tls",
        _defaults(model.TlsSettings),
        ca_file=Path(may_be_empty=True),
        cert_file=Path(may_be_empty=True),
        key_file=Path(may_be_empty=True),
        verify=Flag(),
        server_name=HostName(),
    ),
    optional=True,
)

FORWARD = Table(
    "forward",
    _keys(
        "forward",
        _defaults(model.ForwardSettings),
        primary=Servers(may_be_empty=False),
        secondary=Servers(),
        require_ack_response=Flag(),
        ack_response_timeout=Number(0.01, _HOUR),
        connect_timeout=Number(0.01, _HOUR),
        send_timeout=Number(0.01, _HOUR),
        keepalive_timeout=Number(120, 30 * _DAY, or_zero=True),
        reconnect_wait_max=Number(0.5, _DAY),
        reconnect_wait_incr_rate=Number(1, 100, unit=""),
        failback_interval=Number(0.1, _DAY),
        max_in_flight=Integer(1, 1024, "chunks"),
        format=_choice(model.ForwardSettings, "format"),
        compress=_choice(model.ForwardSettings, "compress"),
        time_as_integer=Flag(),
    )
    | _files("forward", ServersFile(), "primary", "secondary"),
    {"security": SECURITY, "tls": TLS},
)

TAIL = Table(
    "tail",
    _keys(
        "tail",
        _defaults(model.TailSettings) | {"tag_prefix": ""},
        field_name=Text(),
        tag_prefix=Tag(may_be_empty=True),
        read_from_head=Flag(),
        read_buffer_size=Integer(64, _LARGEST_SIZE, "bytes"),
        max_line_size=Integer(64, _LARGEST_SIZE, "bytes"),
        long_lines=_choice(model.TailSettings, "long_lines"),
        rotate_wait=Number(0, _HOUR),
        poll_interval=Number(0.01, _HOUR),
    ),
)

PING = Table(
    "ping",
    _keys(
        "ping",
        _defaults(model.PingSettings),
        tag=Tag(),
        data=Text(),
        interval=Number(0.1, _DAY),
    ),
    optional=True,
)

DRAIN_LOG = Table("drain_log", _keys("drain_log", {}, tag=Tag()), optional=True)

LOG = Table(
    "log",
    _keys("", {}, tag=Tag(), path=LogPath()) | TAIL.keys,
    {"forward": FORWARD, "ping": PING, "drain_log": DRAIN_LOG},
)

FILE = Table(
    "",
    _keys("", {"include": ()}, include=Patterns()),
    {"master": MASTER, "forward": FORWARD, "tail": TAIL, "ping": PING, "drain_log": DRAIN_LOG},
)
"""A whole file, but for its [[log]] tables."""

OPTIONAL = (SECURITY, TLS, PING, DRAIN_LOG)

HEADERS = {
    f"[{table.name}]": table.keys for table in (MASTER, FORWARD, SECURITY, TLS, TAIL, PING, DRAIN_LOG)
} | {"[[log]]": {name: LOG.keys[name] for name in ("tag", "path")}}
"""The keys under each header that a file may have."""

KEYS = {
    key.target: key
    for keys in HEADERS.values()
    for key in keys.values()
    if not isinstance(key.kind, ServersFile | SecretFile)
}
"""Each key by what it sets."""
