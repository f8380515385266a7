"""The table of the flags of ``fluentlite agent``, how they are parsed, and their help text."""

from __future__ import annotations

import getopt
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fluentlite.config import schema
from fluentlite.config.model import MasterSettings
from fluentlite.errors import ConfigError

COMMAND = "fluentlite agent"
_USAGE = f"""\
Usage: {COMMAND} [flags] TAG FILE PRIMARY[:PORT] [SECONDARY[:PORT]]
       {COMMAND} [flags] -p LIST [-s LIST] TAG FILE"""

OLD_DEFAULTS: Mapping[str, object] = {
    "forward.reconnect_wait_max": 3600.0,
    "master.log_file": "/tmp/fluent-agent.log",  # noqa: S108 - where fluent-agent-lite's users look for it
}
"""Where the old agent's default is not that of a configuration file."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag; *target* is what it sets, *value* what a flag without argument sets it to."""

    name: str
    argument: str
    meaning: str
    target: str = ""
    value: object = None

    @property
    def option(self) -> str:
        return f"-{self.name}" if len(self.name) == 1 else f"--{self.name}"


FLAGS = (
    Flag("f", "FIELDNAME", "the key of the line in its record", "tail.field_name"),
    Flag(
        "p",
        "LIST",
        "a file of primary servers, server[:port] per line, instead of the argument; one is chosen at random "
        "at each connection, the others follow when it fails",
        "forward.primary",
    ),
    Flag("s", "LIST", "the same for secondary servers, used while no primary answers", "forward.secondary"),
    Flag("b", "BYTES", "most bytes of the log in one chunk", "tail.read_buffer_size"),
    Flag("n", "NICE", "niceness of the process", "master.nice"),
    Flag("t", "PATH", "accepted and ignored: no tail command is needed any more"),
    Flag(
        "i", "SECONDS", "look at the file this often even if nothing announces a change", "tail.poll_interval"
    ),
    Flag("l", "PATH", "the agent's own log; -: standard error", "master.log_file"),
    Flag(
        "P",
        "TAG:DATA",
        'send a ping, an event TAG with {"data": "DATA FILE"}, at once and then at intervals (default: none)',
        "ping",
    ),
    Flag("S", "SECONDS", "time between two pings", "ping.interval"),
    Flag(
        "d",
        "TAG",
        'after each chunk send an event TAG with {"drain": number of lines} (default: none)',
        "drain_log.tag",
    ),
    Flag(
        "k",
        "SECONDS",
        "renew the connection at this age, give or take 30 seconds at random; 0: never; at least 120",
        "forward.keepalive_timeout",
    ),
    Flag("w", "SECONDS", "longest wait before connecting again; at least 0.5", "forward.reconnect_wait_max"),
    Flag(
        "r",
        "RATE",
        "growth of that wait, which begins with 0.5 s; at least 1.0",
        "forward.reconnect_wait_incr_rate",
    ),
    Flag("j", "", "send JSON instead of msgpack", "forward.format", "json"),
    Flag("v", "", "log information and debugging messages as well", "master.log_level", "debug"),
    Flag("F", "", "start although FILE is not there, and wait for it", "force_start", True),
    Flag(
        "read-from-head",
        "",
        "begin with the first line of a FILE seen for the first time, not at its end; later the position "
        "that was reached decides",
        "tail.read_from_head",
        True,
    ),
    Flag("state-dir", "DIR", "where the position is kept", "master.state_dir"),
    Flag(
        "no-ack",
        "",
        "do not ask the server to acknowledge chunks, for very old servers; lines can then be lost with a connection",
        "forward.require_ack_response",
        False,
    ),
    Flag("h", "", "print this text; also --help", "help", True),
)


def parse(argv: Sequence[str]) -> tuple[list[tuple[Flag, str]], list[str]]:
    """
    Returns:
        The flags with their arguments, in order, and the operands.

    Raises:
        ConfigError: For an unknown flag, or one without its argument.
    """
    by_option = {flag.option: flag for flag in FLAGS}
    short = "".join(flag.name + (":" if flag.argument else "") for flag in FLAGS if len(flag.name) == 1)
    long = [flag.name + ("=" if flag.argument else "") for flag in FLAGS if len(flag.name) > 1]
    try:
        given, operands = getopt.gnu_getopt(list(argv), short, [*long, "help"])
    except getopt.GetoptError as exc:
        raise ConfigError(f"{COMMAND}: {exc}. See `{COMMAND} --help`.") from None
    return [(by_option[option.replace("--help", "-h")], text) for option, text in given], operands


def wants_help(argv: Sequence[str]) -> bool:
    """Whether -h or --help is among the flags, so that :func:`help_text` should be printed instead."""
    try:
        return any(flag.target == "help" for flag, _ in parse(argv)[0])
    except ConfigError:
        return False


def help_text() -> str:
    """What ``fluentlite agent --help`` prints: every flag, its meaning, its default."""
    lines = [
        _USAGE,
        "",
        "Follow FILE and send each of its lines, as an event TAG, to a Fluentd or Fluent Bit server.",
        "FILE - is standard input. A server's default port is 24224; IPv6 addresses stand in brackets.",
        "",
        "Flags:",
    ]
    for flag in FLAGS:
        head = f"  {flag.option} {flag.argument}".rstrip()
        body = textwrap.wrap(flag.meaning + _default_of(flag), 72)
        lines += [f"{head:<20}{body[0]}" if len(head) < 20 else f"{head}\n{'':<20}{body[0]}"]
        lines += [f"{'':<20}{line}" for line in body[1:]]
    return "\n".join(lines) + "\n"


def _default_of(flag: Flag) -> str:
    if flag.name == "state-dir":
        return f" (default: {MasterSettings().state_dir} for root, else ~/.local/state/fluentlite)"
    key = schema.KEYS.get(flag.target)
    if not flag.argument or key is None or key.default in (schema.REQUIRED, ()):
        return ""
    default = OLD_DEFAULTS.get(flag.target, key.default)
    return f" (default: {default:g})" if isinstance(default, float) else f" (default: {default})"
