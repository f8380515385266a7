"""Settings from the flags of ``fluentlite agent``: those of fluent-agent-lite, and three of our own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fluentlite.config import schema
from fluentlite.config.file_kinds import ServersFile
from fluentlite.config.flag_table import COMMAND, OLD_DEFAULTS, Flag, parse
from fluentlite.config.kinds import Kind, LogPath, Number, Tag, Text, UnfitError
from fluentlite.config.model import (
    ForwardSettings,
    LogSettings,
    MasterSettings,
    PingSettings,
    TailSettings,
)
from fluentlite.config.problems import Problems, quoted, shown
from fluentlite.config.rules import identities
from fluentlite.config.servers import HOW_TO_WRITE, parse_server

_RAISED = ("forward.keepalive_timeout", "forward.reconnect_wait_max", "forward.reconnect_wait_incr_rate")
"""What the old agent raised to its minimum, with a warning, where we would refuse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """What ``fluentlite agent`` was asked to do."""

    log: LogSettings
    master: MasterSettings
    """Only log_file, log_level, nice, state_dir and stop_timeout mean something to a single agent."""
    force_start: bool
    """Start although the file is not there."""
    warnings: tuple[str, ...] = ()
    """Sentences for the agent's log."""


def agent_settings(argv: Sequence[str], environ: Mapping[str, str]) -> AgentOptions:
    """
    Args:
        argv: The arguments after ``fluentlite agent``. Flags and operands may stand in any order.
        environ: For the default of ``--state-dir``.

    Raises:
        ConfigError: With all problems of all flags and operands.
    """
    problems = Problems()
    given, operands = parse(argv)
    reader = _Reader(problems)
    for flag, text in given:
        reader.take(flag, text)
    reader.take_operands(operands)
    reader.check_own_log()
    master = {"state_dir": default_state_dir(environ)} | reader.section("master")
    if not os.path.isabs(master["state_dir"]):
        problems.add(
            COMMAND, "there is no home directory to keep the position in. Name a directory with --state-dir."
        )
    problems.raise_all()
    return AgentOptions(
        log=reader.log(),
        master=MasterSettings(**master),
        force_start=reader.found.get("force_start", False),
        warnings=tuple(reader.warnings),
    )


def default_state_dir(environ: Mapping[str, str]) -> str:
    """Where positions are kept unless a flag says so: the system's place for root, else one of the user's own."""
    if os.geteuid() == 0:
        return MasterSettings().state_dir
    base = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):  # the XDG specification: a relative one is invalid and to be ignored
        base = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "fluentlite")


class _Reader:
    """Turns flags and operands into settings; what is wrong goes to *problems*."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._given: set[str] = set()  # also what could not be read: nothing else should call it missing
        self.found: dict[str, Any] = dict(OLD_DEFAULTS)
        self.warnings: list[str] = []

    def take(self, flag: Flag, text: str) -> None:
        if not flag.argument:
            self.found[flag.target] = flag.value
        elif flag.name == "P":
            self._take_ping(text)
        elif flag.name == "l" and text == "-":
            self.found[flag.target] = text  # standard error
        elif flag.name in ("p", "s"):
            self._read(f"{flag.option} {shown(text)}", ServersFile(), text, flag.target)
        elif flag.target:
            self._read(f"{flag.option} {shown(text)}", schema.KEYS[flag.target].kind, text, flag.target)

    def take_operands(self, operands: Sequence[str]) -> None:
        if not 2 <= len(operands) <= 4:
            there = f"there are {len(operands)}: {shown(list(operands))}" if operands else "there are none"
            self._problems.add(COMMAND, f"2 to 4 operands are needed, but {there}. See `{COMMAND} --help`.")
            return
        tag, path, *servers = operands
        self._read(f"TAG {shown(tag)}", Tag(), tag, "tag")
        if path == "-":
            self.found["path"] = path
        else:
            self._read(f"FILE {quoted(path)}", LogPath(), path, "path")
        for name, text in zip(("primary", "secondary"), servers, strict=False):
            self._take_server(name, text)
        if not servers and "forward.primary" not in self._given:
            self._problems.add(COMMAND, "no server is given. Add PRIMARY after FILE, or a list with -p.")

    def check_own_log(self) -> None:
        """As for the logs of a configuration: following one's own log would never end."""
        path = self.found.get("path", "-")
        if "-" not in (path, self.found["master.log_file"]) and not identities(path).isdisjoint(
            identities(self.found["master.log_file"])
        ):
            self._problems.add(
                COMMAND,
                f"FILE {quoted(path)} is the agent's own log, and following it would never end. "
                "Name another file, or another log with -l.",
            )

    def section(self, table: str) -> dict[str, Any]:
        """What was found for *table*, by the names of its fields."""
        pairs = ((target.partition("."), value) for target, value in self.found.items())
        return {name: value for (owner, dot, name), value in pairs if dot and owner == table}

    def log(self) -> LogSettings:
        """The settings; call it when there are no problems."""
        ping = self.section("ping")
        return LogSettings(
            tag=self.found["tag"],
            path=self.found["path"],
            forward=ForwardSettings(**self.section("forward")),
            tail=TailSettings(**self.section("tail")),
            ping=PingSettings(**ping) if "tag" in ping else None,
            drain_log_tag=self.found.get("drain_log.tag"),
        )

    def _read(self, what: str, kind: Kind, text: str, target: str) -> None:
        self._given.add(target)
        try:
            value = kind.from_text(text)
            if target in _RAISED:
                value = self._raised(what, kind, value)
            self.found[target] = kind.read(value, "")
        except UnfitError as exc:
            for reason in exc.reasons:
                self._problems.add(COMMAND, f"{what} {reason}")

    def _raised(self, what: str, kind: Kind, value: object) -> object:
        if not (isinstance(kind, Number) and isinstance(value, float)):
            return value
        raised = kind.raised(value)
        if raised > value:
            self.warnings.append(f"{what} is below the minimum; {raised:g} is used.")
        return raised

    def _take_ping(self, text: str) -> None:
        tag, colon, data = text.partition(":")
        if not colon:
            self._problems.add(COMMAND, f'-P {shown(text)} has no ":". Write it as TAG:DATA.')
            return
        self._read(f"-P {shown(text)}: the tag", Tag(), tag, "ping.tag")
        self._read(f"-P {shown(text)}: the data", Text(), data, "ping.data")

    def _take_server(self, name: str, text: str) -> None:
        target = f"forward.{name}"
        if target in self._given:
            self._problems.add(
                COMMAND, f"{name.upper()} {shown(text)} is given as well as -{name[0]}. Keep one."
            )
            return
        try:
            self.found[target] = (parse_server(text),)
        except ValueError as exc:
            self._problems.add(COMMAND, f"{name.upper()} {shown(text)} is no server: {exc}. {HOW_TO_WRITE}")
