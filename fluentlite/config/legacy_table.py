"""The variables of a configuration of fluent-agent-lite, and what each of them sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fluentlite.config import schema
from fluentlite.config.file_kinds import ServersFile
from fluentlite.config.flag_table import OLD_DEFAULTS
from fluentlite.config.kinds import Kind


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable with a value of its own."""

    name: str
    key: str
    """Where TOML has it, dotted: ``forward.primary_file``."""
    kind: Kind
    target: str = ""
    """What it sets, where that is not *key*: ``forward.primary``."""
    instead: str = ""
    """The variable that is used instead, where that is set."""
    raised: bool = False
    """Below its minimum it becomes that, with a warning."""
    zero_is_default: bool = False
    """0 is the same as not set."""

    @property
    def sets(self) -> str:
        return self.target or self.key


def _plain(name: str, key: str, *, raised: bool = False, zero_is_default: bool = False) -> Variable:
    return Variable(name, key, schema.KEYS[key].kind, raised=raised, zero_is_default=zero_is_default)


VARIABLES = (
    _plain("FLUENTLITE_STATE_DIR", "master.state_dir"),
    _plain("FLUENTLITE_RUN_DIR", "master.run_dir"),
    _plain("LOG_PATH", "master.log_file"),
    _plain("FLUENTLITE_USER", "master.user"),
    _plain("PROCESS_NICE", "master.nice"),
    Variable(
        "PRIMARY_SERVERS_LIST", "forward.primary_file", ServersFile(), "forward.primary", "PRIMARY_SERVER"
    ),
    Variable(
        "SECONDARY_SERVERS_LIST",
        "forward.secondary_file",
        ServersFile(),
        "forward.secondary",
        "SECONDARY_SERVER",
    ),
    _plain("KEEPALIVE_TIME", "forward.keepalive_timeout", raised=True),
    _plain("RECONNECT_WAIT_MAX", "forward.reconnect_wait_max", raised=True),
    _plain("RECONNECT_WAIT_INCR_RATE", "forward.reconnect_wait_incr_rate", raised=True),
    _plain("TAG_PREFIX", "tail.tag_prefix"),
    _plain("FIELD_NAME", "tail.field_name"),
    _plain("READ_BUFFER_SIZE", "tail.read_buffer_size", zero_is_default=True),
    _plain("TAIL_INTERVAL", "tail.poll_interval", zero_is_default=True),
    _plain("PING_TAG", "ping.tag"),
    _plain("PING_DATA", "ping.data"),
    _plain("PING_INTERVAL", "ping.interval", zero_is_default=True),
    _plain("DRAIN_LOG_TAG", "drain_log.tag"),
)
"""Those with a value, in the order of a TOML file; the others are switches, servers, the logs, or mean nothing."""

SERVERS = {"PRIMARY_SERVER": "forward.primary", "SECONDARY_SERVER": "forward.secondary"}
"""One server each; it comes before the list of the same rank."""

IGNORED = ("PERL_PATH", "TAIL_PATH")
"""Commands that nobody needs any more."""

NAMES = (
    *(variable.name for variable in VARIABLES),
    *SERVERS,
    *IGNORED,
    *("LOGS", "LOG_VERBOSE", "FORCE_START", "FLUENTLITE_REQUIRE_ACK_RESPONSE"),
)
"""All variables that are asked for."""

DEFAULTS: Mapping[str, object] = {
    "forward.reconnect_wait_max": OLD_DEFAULTS["forward.reconnect_wait_max"],
    "forward.time_as_integer": True,
}
"""What holds where the script says nothing and a TOML file would mean something else: as the old agent did it."""


def is_on(text: str) -> bool:
    """A switch of the old agent: anything but these words, exactly so written."""
    return text not in ("", "no", "0", "false")
