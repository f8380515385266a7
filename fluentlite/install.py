"""
``fluentlite install`` and ``fluentlite uninstall``: the files that make it a service.

They put files in place and run nothing: what starts at boot, which users there are and when a service manager
reads its files again is decided by the administrator, who is told the commands.
"""

from __future__ import annotations

import argparse
import glob
import os
import re
import shutil
import stat
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from fluentlite.config.model import DEFAULT_CONFIG_PATH, MasterSettings
from fluentlite.errors import ConfigError, FluentliteError
from fluentlite.master.directories import pid_path
from fluentlite.master.pidfile import holder
from fluentlite.placing import File, Record, Step, System, to_install, to_uninstall

UNIT = "/etc/systemd/system/fluentlite.service"
SCRIPT = "/etc/init.d/fluentlite"
RECORD = "/etc/fluentlite/installed.json"

_SOURCES = {
    "systemd": {
        "init/fluentlite.service": UNIT,
        "etc/tmpfiles.d/fluentlite.conf": "/etc/tmpfiles.d/fluentlite.conf",
        "etc/sysusers.d/fluentlite.conf": "/etc/sysusers.d/fluentlite.conf",
    },
    "sysv": {"init/fluentlite": SCRIPT},
}
_SOURCES_OF_ALL = {
    "etc/fluentlite.toml": DEFAULT_CONFIG_PATH,
    "etc/default/fluentlite": "/etc/default/fluentlite",
    "etc/logrotate.d/fluentlite": "/etc/logrotate.d/fluentlite",
}
_PROGRAM_IN_SOURCES = b"/usr/bin/fluentlite"

_DEFAULTS = MasterSettings()

_PLAIN = re.compile(r"[A-Za-z0-9/._+@~,-]+")
"""What neither a shell nor systemd reads anything into."""

_SAFE_PLACE = "Install fluentlite in a directory of root's, such as /opt/fluentlite."

_DONE = {"create": "created", "update": "updated", "keep": "unchanged", "leave": "left", "remove": "removed"}

INSTALL_HELP = f"""\
Usage: fluentlite install [--sysv | --systemd] [--prefix DIR] [--dry-run]

Makes this fluentlite a service: puts a unit for systemd, or an init script, in place, with a configuration
to edit ({DEFAULT_CONFIG_PATH}), and says what to do next. A file that you have changed
stays as it is; the new one is put beside it. Runs no command and starts nothing.

  --systemd, --sysv  for which of them; default: systemd where it runs
  --prefix DIR       put everything below DIR, as if it were /: for packages and images
  --dry-run          only say what would be done
Exit status: 0 if all is in place, 1 if not."""

UNINSTALL_HELP = """\
Usage: fluentlite uninstall [--prefix DIR] [--dry-run]

Takes away what "fluentlite install" put in place. The configuration, positions, logs and whatever you
have changed stay.

  --prefix DIR       where it was installed, if not in /
  --dry-run          only say what would be done
Exit status: 0 if nothing of it is left, 1 if it could not be taken away."""


def run_install(argv: Sequence[str]) -> int:
    """
    Put everything in place, or say why not.

    Returns:
        The exit status, 0.

    Raises:
        FluentliteError: Nothing was done, unless it says so; with all reasons that could be known before.
    """
    options = _read("install", INSTALL_HELP, argv)
    if options is None:
        return 0
    system = System(options.prefix, RECORD)
    kind = options.kind or _init_system()
    problems: list[str] = []
    program = _program(options.prefix, problems)
    old = _load_record(system, problems)
    steps, new = to_install(_files(kind, program), system, old)
    _refuse([*problems, *system.problems(steps), *_in_use(system, steps)])
    if not options.dry_run:
        system.carry_out(steps, new)
    print(f"{kind}, {program}{_below(options.prefix)}")
    _report(steps, options.dry_run)
    if options.prefix == "/" and (path := open_to_others(program)):
        print(f"\nWarning: others than root can change {path}, and so what root will run. {_SAFE_PLACE}")
    print("\nNext:")
    for what, command in _next_steps(kind, program, steps, old):
        print(f"  {what}\n      {command}")
    return 0


def run_uninstall(argv: Sequence[str]) -> int:
    """
    Take away what was put in place, but for what was changed since.

    Returns:
        The exit status, 0.

    Raises:
        FluentliteError: Nothing was done, unless it says so; with all reasons that could be known before.
    """
    options = _read("uninstall", UNINSTALL_HELP, argv)
    if options is None:
        return 0
    system = System(options.prefix, RECORD)
    problems: list[str] = []
    old = _load_record(system, problems)
    steps, new = to_uninstall(system, old, {DEFAULT_CONFIG_PATH: "it is your configuration"})
    in_use = list(_in_use(system, steps)) or list(
        _running(system, steps)
    )  # whoever mends the first ends it too
    _refuse([*problems, *system.problems(steps), *in_use])
    if not old.files:
        print(
            f"fluentlite was not installed{_below(options.prefix) or ' in /'}: there is no {system.real(RECORD)}"
        )
        return 0
    if not options.dry_run:
        system.carry_out(steps, new)
    _report(steps, options.dry_run)
    print("\nPositions and logs are left as well. To be rid of all:\n      " + _rest(system))
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f'{message}. Say "{self.prog} --help" for what it takes.')


def _read(command: str, text: str, argv: Sequence[str]) -> argparse.Namespace | None:
    """The options; None if help was asked for and has been given."""
    parser = _Parser(prog=f"fluentlite {command}", add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--prefix", default="/", type=os.path.abspath)
    parser.add_argument("--dry-run", action="store_true")
    if command == "install":
        which = parser.add_mutually_exclusive_group()
        for kind in _SOURCES:
            which.add_argument(f"--{kind}", dest="kind", action="store_const", const=kind)
    options = parser.parse_args(argv)
    if options.help:
        print(text)
        return None
    return options


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise ConfigError(*problems)


def _init_system() -> str:
    # How sd_booted(3) knows it.
    return "systemd" if os.path.isdir("/run/systemd/system") else "sysv"


def _load_record(system: System, problems: list[str]) -> Record:
    try:
        return system.load_record()
    except FluentliteError as exc:
        problems.append(str(exc))
        return Record()


def _files(kind: str, program: str) -> Iterator[File]:
    for source, path in {**_SOURCES[kind], **_SOURCES_OF_ALL}.items():
        content = _source(source).replace(_PROGRAM_IN_SOURCES, program.encode())
        # logrotate reads whatever lies in its directory, but for names that end like this.
        aside = ".new.disabled" if "logrotate.d" in path else ".new"
        yield File(path, content, 0o755 if path == SCRIPT else 0o644, aside)


def _source(name: str) -> bytes:
    package = Path(__file__).parent
    # In a wheel init/ and etc/ lie in the package; in the source tree, also that of an editable install, beside it.
    base = package if (package / "init").is_dir() else package.parent
    return (base / name).read_bytes()


def _program(prefix: str, problems: list[str]) -> str:
    """The program that runs now, as it will be called by a system whose root is *prefix*."""
    for path in map(
        os.path.abspath, (sys.argv[0], os.path.join(sysconfig.get_path("scripts"), "fluentlite"))
    ):
        if os.path.basename(path) == "fluentlite" and os.path.isfile(path) and os.access(path, os.X_OK):
            break
    else:
        problems.append(
            f"there is no program {path}, which the service would run. Install fluentlite with pip, and run that program."
        )
    if prefix != "/" and path.startswith(prefix + "/"):
        path = path.removeprefix(prefix)
    if not _PLAIN.fullmatch(path):
        problems.append(
            f"the program {path} has characters in its name that would have to be quoted. Install fluentlite at a path "
            "of plain letters and digits."
        )
    return path


def _in_use(system: System, steps: Iterable[Step]) -> Iterator[str]:
    """What would be left pointing to nothing."""
    removed = {step.path for step in steps if step.action == "remove"}
    if UNIT in removed and glob.glob(system.real("/etc/systemd/system/*.wants/fluentlite.service")):
        yield f"{system.real(UNIT)} is enabled. Run first: systemctl disable --now fluentlite"
    if SCRIPT in removed and glob.glob(system.real("/etc/rc[0-6S].d/[SK][0-9][0-9]fluentlite")):
        command = f"{SCRIPT} stop; {_registration('remove')}"
        yield f"{system.real(SCRIPT)} is started at boot. Run first: {command}"


def _running(system: System, steps: Iterable[Step]) -> Iterator[str]:
    path = system.real(pid_path(_DEFAULTS.run_dir))
    if any(step.action == "remove" for step in steps) and (pid := holder(path)) is not None:
        who = f", process {pid}" if pid else ""
        yield f"fluentlite is running{who}. Run first: fluentlite stop"


def _report(steps: Iterable[Step], is_dry: bool) -> None:
    for step in steps:
        done = (
            f"would {step.action}" if is_dry and step.action not in ("keep", "leave") else _DONE[step.action]
        )
        print(f"  {done:12} {step.path}" + (f": {step.why}" if step.why else ""))


def _below(prefix: str) -> str:
    return "" if prefix == "/" else f", below {prefix}"


def open_to_others(program: str) -> str | None:
    """Return what others than root can change of the way to *program*: with it they have root's power."""
    path = os.path.realpath(program)
    while True:
        status = os.stat(path)
        if status.st_uid != 0 or (status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX):
            return path
        if path == "/":
            return None
        path = os.path.dirname(path)


def _next_steps(kind: str, program: str, steps: Iterable[Step], old: Record) -> Iterator[tuple[str, str]]:
    """What to do, and the command for it."""
    done = {step.path: step.action for step in steps}
    if done[DEFAULT_CONFIG_PATH] != "leave":
        yield f"name a server and a log in {DEFAULT_CONFIG_PATH}, and have it looked at", f"{program} check"
    is_upgrade = (UNIT if kind == "systemd" else SCRIPT) in old.files
    what = "have the new version run" if is_upgrade else "start it, now and at every boot"
    if kind == "systemd":
        verb = "restart" if is_upgrade else "enable --now"
        yield what, f"systemctl daemon-reload && systemctl {verb} fluentlite"
    elif is_upgrade:
        yield what, f"{SCRIPT} restart"
    else:
        yield what, f"{_registration('add')} && {SCRIPT} start"
    yield "see how it is", f"{program} status"
    user = "systemd-sysusers" if kind == "systemd" else "useradd --system --groups adm fluentlite"
    yield 'if the workers shall not be root: make a user, and set user = "fluentlite" in [master]', user


def _registration(what: str) -> str:
    """The command that has the init script called at boot, or no more."""
    if shutil.which("chkconfig") and not shutil.which("update-rc.d"):
        return "chkconfig --add fluentlite" if what == "add" else "chkconfig --del fluentlite"
    return "update-rc.d fluentlite defaults" if what == "add" else "update-rc.d -f fluentlite remove"


def _rest(system: System) -> str:
    paths = [
        os.path.dirname(DEFAULT_CONFIG_PATH),
        _DEFAULTS.state_dir,
        os.path.dirname(_DEFAULTS.log_file),
    ]
    return "rm -r " + " ".join(map(system.real, paths))
