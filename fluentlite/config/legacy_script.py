"""What the variables mean that a configuration of fluent-agent-lite has set."""

from __future__ import annotations

import os
from dataclasses import dataclass

from fluentlite.config import legacy_table as table
from fluentlite.config import schema
from fluentlite.config.kinds import Number, UnfitError
from fluentlite.config.legacy_logs import Entry, check_files, read_logs, tell_of_missing
from fluentlite.config.legacy_notes import Notes, run_dir_in
from fluentlite.config.legacy_table import Variable, is_on
from fluentlite.config.model import MasterSettings
from fluentlite.config.problems import Problems
from fluentlite.config.servers import HOW_TO_WRITE, parse_server
from fluentlite.config.shell import Sourced

_DIRECTORY = "/"
"""Where relative paths start: init scripts run there."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What one variable sets."""

    variable: str
    text: str
    """As the script left it."""
    key: str
    """Where TOML has it, dotted."""
    written: object
    """What TOML has there."""
    sets: str
    value: object
    """What the settings hold there."""


@dataclass(frozen=True, slots=True)
class Understood:
    """A script that can be used."""

    path: str
    script: str
    """Its text."""
    settings: tuple[Setting, ...]
    """In the order of a TOML file."""
    logs: tuple[Entry, ...]
    ignored: tuple[str, ...]
    """Variables that were set and mean nothing any more."""
    warnings: tuple[str, ...]


def understand(path: str, script: str, sourced: Sourced, problems: Problems) -> Understood:
    """
    Say what the variables of the script at *path* mean; what is wrong with them goes to *problems*.

    Args:
        script: Its text, to find the lines that problems are about.
    """
    notes = Notes(path, script)
    for line in sourced.chatter:
        notes.warn(0, f"bash said: {line}")
    reader = _Reader(sourced, notes)
    for variable in table.VARIABLES:
        reader.take(variable)
    reader.take_switches()
    reader.take_servers()
    reader.take_ping()
    reader.check_run_dir(run_dir_in(script))
    logs = read_logs(sourced.variables["LOGS"], _DIRECTORY, notes)
    check_files(logs, reader.log_file, notes)
    if not is_on(reader.text("FORCE_START")):
        tell_of_missing(logs, notes)
    notes.report(problems)
    return Understood(
        path=path,
        script=script,
        settings=tuple(sorted(reader.settings, key=_order)),
        logs=tuple(logs),
        ignored=tuple(name for name in table.IGNORED if reader.text(name)),
        warnings=tuple(notes.warnings),
    )


class _Reader:
    """Turns variables into settings, one kind after the other."""

    def __init__(self, sourced: Sourced, notes: Notes) -> None:
        self._variables = sourced.variables
        self._notes = notes
        self.settings: list[Setting] = []

    @property
    def log_file(self) -> str:
        given = [str(item.value) for item in self.settings if item.sets == "master.log_file"]
        return next(iter(given), MasterSettings().log_file)

    def text(self, name: str) -> str:
        """The value without the blanks and carriage returns around it, which a use without quotes never had."""
        return self._variables[name].strip(" \t\r\n")

    def take(self, variable: Variable) -> None:
        text = self.text(variable.name)
        if not text or (variable.instead and self.text(variable.instead)):
            return
        try:
            value = variable.kind.from_text(text)
            if value == 0 and variable.zero_is_default:
                self._notes.warn_of(variable.name, text, "means the default.")
                return
            if variable.raised:
                value = self._raised(variable, text, value)
            read = variable.kind.read(value, _DIRECTORY)
        except UnfitError as exc:
            for reason in exc.reasons:
                self._notes.complain_of(variable.name, text, reason)
        else:
            written = os.path.join(_DIRECTORY, text) if variable.instead else read
            self.settings.append(Setting(variable.name, text, variable.key, written, variable.sets, read))

    def take_switches(self) -> None:
        if is_on(self.text("LOG_VERBOSE")):
            self._set("LOG_VERBOSE", "master.log_level", "debug")
        acks = "FLUENTLITE_REQUIRE_ACK_RESPONSE"
        if self.text(acks):
            self._set(acks, "forward.require_ack_response", is_on(self.text(acks)))

    def take_servers(self) -> None:
        for name, target in table.SERVERS.items():
            text, list_name = self.text(name), f"{name}S_LIST"
            if not text:
                continue
            if self.text(list_name):
                self._notes.warn_of(list_name, self.text(list_name), f"is not used, because {name} is set.")
            try:
                server = parse_server(text)
            except ValueError as exc:
                self._notes.complain_of(name, text, f"is no server: {exc}. {HOW_TO_WRITE}")
            else:
                self.settings.append(Setting(name, text, target, [str(server)], target, (server,)))
        if not (self.text("PRIMARY_SERVER") or self.text("PRIMARY_SERVERS_LIST")):
            self._notes.complain(
                0,
                "neither PRIMARY_SERVER nor PRIMARY_SERVERS_LIST is set, so there is nowhere to send to. Add a line "
                "such as PRIMARY_SERVER=fluentd.example:24224.",
            )
        self._tell_of_mixture()

    def take_ping(self) -> None:
        """Without a tag there is no ping, whatever else is set; a tag needs its data."""
        tag = self.text("PING_TAG")
        if not tag:
            self.settings = [item for item in self.settings if not item.sets.startswith("ping.")]
        elif not self.text("PING_DATA"):
            self._notes.complain_of(
                "PING_TAG", tag, "needs PING_DATA. Add a line such as PING_DATA=$(hostname)."
            )

    def check_run_dir(self, seen: str) -> None:
        """What ``stop`` and ``status`` see without running the script has to be what it sets."""
        name = "FLUENTLITE_RUN_DIR"
        if any(item.variable == name and item.value != seen for item in self.settings):
            self._notes.complain_of(
                name,
                self.text(name),
                "is computed, but `fluentlite stop` and `status` look for it without running the script. Write it as "
                "it is, on a line of its own.",
            )

    def _tell_of_mixture(self) -> None:
        """The old init script took the secondary in the form of the primary alone; whoever set it wants it."""
        names = {item.variable for item in self.settings}
        for primary, secondary in (
            ("PRIMARY_SERVERS_LIST", "SECONDARY_SERVER"),
            ("PRIMARY_SERVER", "SECONDARY_SERVERS_LIST"),
        ):
            if {primary, secondary} <= names:
                text = f"is used now; beside {primary}, fluent-agent-lite overlooked it."
                self._notes.warn_of(secondary, self.text(secondary), text)

    def _raised(self, variable: Variable, text: str, value: object) -> object:
        assert isinstance(variable.kind, Number) and isinstance(value, float)
        raised = variable.kind.raised(value)
        if raised > value:
            self._notes.warn_of(variable.name, text, f"is below the minimum; {raised:g} is used.")
        return raised

    def _set(self, variable: str, key: str, value: object) -> None:
        self.settings.append(Setting(variable, self.text(variable), key, value, key, value))


def _order(setting: Setting) -> int:
    """As in a TOML file: by its tables."""
    return list(schema.HEADERS).index(f"[{setting.sets.rpartition('.')[0]}]")
