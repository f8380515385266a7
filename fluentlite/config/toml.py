"""Read a configuration from TOML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fluentlite.config import rules, schema
from fluentlite.config.expand import hostname
from fluentlite.config.files import Document, Files
from fluentlite.config.look_trust import open_files
from fluentlite.config.model import (
    ForwardSettings,
    LogSettings,
    MasterSettings,
    PingSettings,
    SecuritySettings,
    Settings,
    TailSettings,
    TlsSettings,
)
from fluentlite.config.problems import Place, Problems
from fluentlite.config.reading import Reading, absolute
from fluentlite.config.secrecy import open_to_all
from fluentlite.config.tables import Found, TableReader, join
from fluentlite.errors import ConfigError, NotConfiguredError


def load(path: str, environ: Mapping[str, str]) -> Settings:
    """
    Read the configuration at *path* and all that it includes.

    Args:
        environ: What ``${NAME}`` is taken from.

    Raises:
        ConfigError: With all problems of all files.
    """
    return read(path, environ).settings


def read(path: str, environ: Mapping[str, str]) -> Reading:
    """As :func:`load`, and say which files were read."""
    problems = Problems()
    path = absolute(path)
    documents = Files(environ, problems).read(path)
    all_read = not problems
    reader = TableReader(environ, problems)
    shared = join([_read_tables(reader, document) for document in documents], problems)
    logs = [shared | own for document in documents for own in _read_logs(reader, document)]
    if all_read:  # what seems missing may stand in the file that could not be read
        rules.check_nothing_missing(logs, path, problems)
    for found in logs or [shared]:
        rules.check_combinations(found, problems)
    rules.check_files(logs, rules.log_file_of(shared), problems)
    # No log and nothing else to complain of: not a wrong configuration, but none yet.
    is_untouched = all_read and not logs and len(problems) == 1
    problems.raise_all(NotConfiguredError if is_untouched else ConfigError)
    settings = _settings(path, shared, logs, environ)
    files = tuple(document.file for document in documents)
    warnings = [
        *open_to_all(reader.files_with_secrets, settings.logs),
        *open_files([*files, *sorted(reader.named_files)]),
    ]
    return Reading(settings, files, tuple(warnings))


def _read_tables(reader: TableReader, document: Document) -> Found:
    return reader.read(schema.FILE, document.tables, Place(document.file))


def _read_logs(reader: TableReader, document: Document) -> list[Found]:
    return [
        reader.read_log(content, document.file, number) for number, content in enumerate(document.logs, 1)
    ]


def _settings(path: str, shared: Found, logs: Sequence[Found], environ: Mapping[str, str]) -> Settings:
    """Build the objects from values that have passed every check."""
    return Settings(
        path=path,
        master=MasterSettings(**_section(shared, "master")),
        logs=tuple(_log(found, environ) for found in logs),
    )


def _log(found: Found, environ: Mapping[str, str]) -> LogSettings:
    tail = _section(found, "tail")
    prefix = tail.pop("tag_prefix", "")
    top = _section(found, "")
    return LogSettings(
        tag=f"{prefix}.{top['tag']}" if prefix else top["tag"],
        path=top["path"],
        forward=_forward(found, environ),
        tail=TailSettings(**tail),
        ping=PingSettings(**_section(found, "ping")) if _is_on(found, "ping") else None,
        drain_log_tag=_section(found, "drain_log")["tag"] if _is_on(found, "drain_log") else None,
    )


def _forward(found: Found, environ: Mapping[str, str]) -> ForwardSettings:
    security = {"self_hostname": hostname(environ)} | _section(found, "forward.security")
    return ForwardSettings(
        **_section(found, "forward"),
        security=SecuritySettings(**security) if _is_on(found, "forward.security") else None,
        tls=TlsSettings(**_section(found, "forward.tls")) if _is_on(found, "forward.tls") else None,
    )


def _section(found: Found, table: str) -> dict[str, Any]:
    """The values of *table*, without those of the tables inside it."""
    parts = ((target.rpartition("."), given) for target, given in found.items())
    markers = {inner.name for inner in schema.OPTIONAL}
    return {
        name: given.value
        for (owner, _, name), given in parts
        if owner == table and (f"{owner}.{name}" if owner else name) not in markers
    }


def _is_on(found: Found, table: str) -> bool:
    return table in found and bool(found[table].value)
