"""``fluentlite check``: is the configuration valid, is the world as it expects, and what would be done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from fluentlite.config.load import read as read_any
from fluentlite.config.look import Finding, Resolve, look, resolve_names, subject_of
from fluentlite.config.model import LogSettings, MasterSettings, Server, Settings
from fluentlite.config.problems import printable
from fluentlite.config.reading import Reading
from fluentlite.errors import ConfigError

_MARKS = {"ok": "ok", "warning": "WARNING", "error": "ERROR"}


def run_check(
    config_path: str,
    environ: Mapping[str, str],
    out: TextIO,
    err: TextIO,
    *,
    read: Callable[[str, Mapping[str, str]], Reading] = read_any,
    resolve: Resolve = resolve_names,
    connect: Callable[[Settings], Sequence[Finding]] = lambda _settings: (),
) -> int:
    """
    Print to *out* what the configuration would do and what was found, or to *err* why it cannot be used.

    Args:
        read: Reads the configuration; another one than that for TOML where the file is of another kind.
        connect: Tries the servers, where that is wanted.

    Returns:
        The exit status: 0, or 1 for an invalid configuration or any finding that is an error.
    """
    try:
        reading = read(config_path, environ)
    except ConfigError as exc:
        for problem in exc.problems:
            print(problem, file=err)
        return 1
    findings = [*look(reading, resolve), *connect(reading.settings)]
    out.write(render(reading, findings))
    return 1 if any(finding.level == "error" for finding in findings) else 0


def render(reading: Reading, findings: Sequence[Finding]) -> str:
    """The report as text, one block per subject. Looks at nothing but its arguments."""
    settings = reading.settings
    blocks = [
        _block("files", list(reading.files), findings),
        _block("[master]", _master_plan(settings.master), findings),
        _block("servers", [], findings),
        *(_block(subject_of(log), _log_plan(log), findings) for log in settings.logs),
        _count(len(settings.logs), "log") + ", " + _verdict(findings) + ".",
    ]
    return "\n\n".join(blocks) + "\n"


def _block(subject: str, plan: Sequence[str], findings: Sequence[Finding]) -> str:
    found = [f"{_MARKS[finding.level]}: {finding.text}" for finding in findings if finding.subject == subject]
    return "\n  ".join(map(printable, [subject, *plan, *found]))


def _master_plan(master: MasterSettings) -> list[str]:
    return [
        f"workers run as {master.user or 'whoever starts fluentlite'}, with niceness {master.nice}",
        f"{'standard error' if master.log_file == '-' else master.log_file} gets messages of level "
        f"{master.log_level} and above",
    ]


def _log_plan(log: LogSettings) -> list[str]:
    forward = log.forward
    start = "its first line" if log.tail.read_from_head else "its end"
    wire = ", ".join(
        [
            forward.format
            if forward.compress == "none"
            else f"{forward.format} compressed with {forward.compress}",
            "with acks" if forward.require_ack_response else "without acks",
            "over TLS" if forward.tls else "over plain TCP",
            *(["authenticated"] if forward.security else []),
        ]
    )
    plan = [
        f"begins at {start}, unless a position is known",
        f"sends to {_choice(forward.primary)}",
        *([f"if that fails, to {_choice(forward.secondary)}"] if forward.secondary else []),
        f"as {wire}",
    ]
    if log.ping:
        plan.append(f"pings every {log.ping.interval:g} s with the tag {log.ping.tag}")
    if log.drain_log_tag:
        plan.append(f"tells the lines of each chunk with the tag {log.drain_log_tag}")
    return plan


def _choice(servers: Sequence[Server]) -> str:
    return ("one of " if len(servers) > 1 else "") + ", ".join(map(str, servers))


def _verdict(findings: Sequence[Finding]) -> str:
    levels = [finding.level for finding in findings]
    return f"{_count(levels.count('error'), 'error')}, {_count(levels.count('warning'), 'warning')}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
