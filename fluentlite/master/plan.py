"""What the master is to do: a configuration with everything looked up that workers need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fluentlite.config.model import LogSettings, MasterSettings, Settings
from fluentlite.core.position import checkpoint_name
from fluentlite.errors import ConfigError
from fluentlite.master.account import Account, find_account, rights_of
from fluentlite.master.directories import prepare
from fluentlite.tls.context import client_context

Load = Callable[[str, Mapping[str, str]], tuple[Settings, tuple[str, ...]]]
"""Reads the configuration at a path with an environment; returns it with what the user should be warned of."""


@dataclass(frozen=True, slots=True)
class Spec:
    """
    What one worker needs. When it changes, the worker is replaced.

    Attributes:
        configured: Names of the checkpoints of all logs; another one log is no reason to replace the others.
    """

    log: LogSettings
    state_dir: str
    stop_timeout: float
    account: Account | None
    nice: int
    log_file: str
    log_level: str
    configured: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """
    A configuration that can be carried out.

    Attributes:
        unusable: What is wrong with certificates. A start begins even so: workers try again, and say why; it is among the
            warnings. A reload or restart, which would end what delivers, refuses it.
    """

    settings: Settings
    account: Account | None
    warnings: tuple[str, ...]
    unusable: tuple[str, ...] = ()

    def specs(self) -> dict[str, Spec]:
        """The workers, by the paths of their logs."""
        master = self.settings.master
        configured = frozenset(checkpoint_name(log.path) for log in self.settings.logs)
        return {
            log.path: Spec(
                log,
                master.state_dir,
                master.stop_timeout,
                self.account,
                master.nice,
                master.log_file,
                master.log_level,
                configured,
            )
            for log in self.settings.logs
        }


def make_plan(path: str, environ: Mapping[str, str], load: Load) -> Plan:
    """
    Read the configuration at *path* and make the directories that it names.

    Raises:
        ConfigError: It cannot be carried out; with all reasons.
    """
    settings, warnings = load(path, environ)
    account = find_account(settings.master.user)
    prepare(settings.master, account)
    unusable = _unusable_certificates(settings, account)
    return Plan(settings, account, (*warnings, *unusable), unusable)


def _unusable_certificates(settings: Settings, account: Account | None) -> tuple[str, ...]:
    """Say which files of ``[forward.tls]`` the workers could not use now."""
    problems: dict[str, None] = {}
    with rights_of(account):
        for tls in dict.fromkeys(log.forward.tls for log in settings.logs):
            try:
                if tls is not None:
                    client_context(tls)
            except ConfigError as exc:
                problems[str(exc)] = None
    return tuple(problems)


def check_certificates(plan: Plan) -> None:
    """
    Raises:
        ConfigError: *plan* names certificates that cannot be used: what runs now delivers, and would not with them.
    """
    if plan.unusable:
        raise ConfigError(*plan.unusable)


def check_daemon(master: MasterSettings) -> None:
    """
    Raises:
        ConfigError: *master* cannot be a daemon in the background.
    """
    if master.log_file == "-":
        raise ConfigError(
            '[master] log_file = "-" is standard error, which a daemon has not. Name a file, or say start --foreground.'
        )


def check_change(old: MasterSettings, new: MasterSettings) -> None:
    """
    Raises:
        ConfigError: *new* changes what a running master cannot change.
    """
    problems = [
        f"[master] {name} has changed from {before} to {after}, which a running fluentlite cannot do: {why}. Change it "
        f"back; then say fluentlite stop, {remedy}, and start."
        for name, before, after, why, remedy in (
            ("run_dir", old.run_dir, new.run_dir, "every command looks for it there", "change it again"),
            (
                "state_dir",
                old.state_dir,
                new.state_dir,
                "the positions are there",
                "move the files, change it again",
            ),
        )
        if before != after
    ]
    if problems:
        raise ConfigError(*problems)
