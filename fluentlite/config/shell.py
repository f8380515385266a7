"""Source a shell script with bash, as the init script of fluent-agent-lite did, and see what it set."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from fluentlite.config.problems import printable, shown
from fluentlite.errors import ConfigError

PATIENCE = 30.0
"""Seconds that a script may take."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LARGEST_REPORT = 16 * 1024 * 1024
_LONGEST_CHATTER = 8 * 1024
_LINES_KEPT = 5
_LONGEST_LINE = 300
_LOOK = 0.05
"""Seconds between two looks whether bash has ended while something it started holds our pipes."""

_CHANGE_BASH = {
    "BASH_COMPAT", "BASH_ENV", "BASH_XTRACEFD", "BASHOPTS", "CDPATH", "ENV", "GLOBIGNORE", "POSIXLY_CORRECT", "PS4", "SHELLOPTS",
}  # fmt: skip
_OF_THE_MASTER = {"LISTEN_FDNAMES", "LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"}  # fmt: skip
"""What systemd tells the master alone."""

# The script comes as standard input and the report leaves as standard output; both make room for what a script may
# expect there, and lie above the descriptors that scripts use themselves (`exec 3>file`).
#
# A script may call exit, use set -e or -u, or set traps of its own: whatever ends it early, "end" is not written.
# The status of its last command is nobody's concern.
_WRAPPER = """\
exec 61<&0 62>&1 0</dev/null 1>/dev/null
fluentlite_where=
exit() {
    local fluentlite_status=$?
    [[ $BASH_SUBSHELL == 0 ]] && fluentlite_where="${BASH_SOURCE[1]}: line ${BASH_LINENO[0]}"
    builtin exit "${@-$fluentlite_status}"
}
trap 'if [[ $- == *e* ]]; then fluentlite_where="${BASH_SOURCE[0]}: line $LINENO"; fi' ERR
trap 'builtin printf "%s\\0" ended "${fluentlite_where-}" >&62' EXIT
source /proc/self/fd/61
builtin printf '%s\\0' end """
_NAME_FOR_BASH = re.compile(r"/proc/self/fd/(?:61|0)(: )?")


@dataclass(frozen=True, slots=True)
class Sourced:
    """What a script left behind."""

    variables: Mapping[str, str]
    """Those asked for; unset ones are empty. Bytes that are no UTF-8 are surrogates, as in file names."""
    chatter: tuple[str, ...]
    """The last lines of what it and bash wrote to standard error."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    status: int
    report: list[str]
    """What was between the NUL bytes."""
    chatter: list[str]
    """Its last lines."""


def source(
    path: str, fd: int, names: Sequence[str], environ: Mapping[str, str], patience: float = PATIENCE
) -> Sourced:
    """
    Run the script that *fd* is open on, once its syntax has been found to be right.

    It runs in ``/`` with the umask 022, without a terminal or input, in a session of its own; what it writes to
    standard output is dropped.

    Args:
        path: Its name, for messages.
        names: The variables to report. Those of *environ* with these names stay out of it.
        patience: Seconds until it is killed with all that it started.

    Raises:
        ConfigError: No bash; a mistake in its syntax; it ended before its end, or not in time.
    """
    run = _Runner(path, fd, _environment(environ, names), patience)
    # Patterns such as !(a|b) would be mistakes here, but not in a script that has turned them on by then.
    checked = run("-O", "extglob", "-n", "/proc/self/fd/0")
    if checked.status:
        raise ConfigError(
            f"{path}: bash finds a mistake in it, so nothing of it was run. Correct it; if it is TOML, let its name end "
            f"in .toml.{_said(checked)}"
        )
    values = " ".join(f'"${{{name}-}}"' for name in names)
    outcome = run("-c", f"{_WRAPPER}{values} >&62", "fluentlite")
    word, *rest = outcome.report or [""]
    if word != "end" or len(rest) < len(names):
        where = rest[0] if word == "ended" and rest else ""
        raise ConfigError(f"{path}: {_why_it_ended(outcome.status, where)}{_said(outcome)}")
    return Sourced(dict(zip(names, rest, strict=False)), tuple(outcome.chatter))


class _Runner:
    """Runs bash with the script as its standard input."""

    def __init__(self, path: str, script: int, environ: Mapping[str, str], patience: float) -> None:
        self._path, self._script, self._environ, self._patience = path, script, environ, patience
        self._bash = shutil.which("bash", path=environ["PATH"])
        if self._bash is None:
            raise ConfigError(
                f"{path}: bash is needed to read it, as it is a shell script, but there is none in {environ['PATH']}. "
                "Install bash, or write a TOML file instead; where bash is, `fluentlite import` makes one of a script."
            )

    def __call__(self, *arguments: str) -> _Outcome:
        process = self._started(arguments)
        with process:
            try:
                report, chatter = self._collect(process)
            finally:
                if process.returncode is None:  # not waited for yet, so the number is still its own
                    os.killpg(process.pid, signal.SIGKILL)
        return _Outcome(
            process.returncode,
            report.decode("utf-8", "surrogateescape").split("\0")[:-1],
            self._readable(chatter),
        )

    def _started(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        """
        Raises:
            ConfigError: There can be no more processes or descriptors now.
        """
        try:
            return subprocess.Popen(
                [self._bash or "bash", *arguments],
                stdin=self._script,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env=self._environ,
                umask=0o022,
                start_new_session=True,
                preexec_fn=_unblock_signals,
            )
        except (OSError, subprocess.SubprocessError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else exc
            raise ConfigError(
                f"{self._path}: bash, which is needed to read it, cannot be started ({reason}). Raise the limits of "
                "processes and open files (ulimit -u, ulimit -n), or try again."
            ) from exc

    def _collect(self, process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        """
        Read what it writes until it ends, whoever else may still hold the pipes then.

        Raises:
            ConfigError: It does not end, or reports too much.
        """
        deadline = time.monotonic() + self._patience
        with _Pipes(process) as pipes:
            while process.poll() is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ConfigError(self._too_slow(process.pid))
                pipes.wait(process, min(left, _LOOK))
                if len(pipes.report) > _LARGEST_REPORT:
                    raise ConfigError(f"{self._path}: its variables hold more than 16 MiB. Shorten them.")
            pipes.take_the_rest()
        return bytes(pipes.report), bytes(pipes.chatter)

    def _too_slow(self, pid: int) -> str:
        import psutil

        running = []
        with contextlib.suppress(psutil.Error):  # what ends meanwhile is not what it waits for
            running = [" ".join(child.cmdline()) for child in psutil.Process(pid).children(recursive=True)]
        what = f" It was running {shown(running)}." if running else ""
        return (
            f"{self._path}: the script did not end within {self._patience:g} s, so it was killed with all that it had "
            f"started.{what} It runs at each start and reload: let it wait for nothing."
        )

    def _readable(self, chatter: bytes) -> list[str]:
        lines = [line for line in chatter.decode("utf-8", "replace").splitlines() if line]
        return [
            printable(_NAME_FOR_BASH.sub(lambda name: "" if name[1] else self._path, line)[:_LONGEST_LINE])
            for line in lines[-_LINES_KEPT:]
        ]


class _Pipes:
    """The two ends that bash writes to."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.report, self.chatter = bytearray(), bytearray()
        self._selector = selectors.DefaultSelector()
        for pipe, kept in ((process.stdout, self.report), (process.stderr, self.chatter)):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, kept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def wait(self, process: subprocess.Popen[bytes], patience: float) -> None:
        """Read what comes within *patience* seconds; once both ends are closed, wait for its end."""
        if self._selector.get_map():
            for key, _ in self._selector.select(patience):
                self._take(key)
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)

    def take_the_rest(self) -> None:
        """Read what is still there; one read empties a pipe."""
        for key in list(self._selector.get_map().values()):
            self._take(key)

    def _take(self, key: selectors.SelectorKey) -> None:
        try:
            data = os.read(key.fd, 1 << 20)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(key.fileobj)
        key.data.extend(data)
        del self.chatter[:-_LONGEST_CHATTER]


def _environment(environ: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """
    What an init script would have: the caller's environment, but nothing in it changes how bash reads the script or
    is taken for a variable that the script has set.
    """
    left_out = {*names, *_CHANGE_BASH, *_OF_THE_MASTER}
    kept = {
        name: value
        for name, value in environ.items()
        if name not in left_out and not name.startswith("BASH_FUNC_")
    }
    directories = [entry for entry in environ.get("PATH", "").split(":") if entry.startswith("/")]
    return kept | {"PATH": ":".join(dict.fromkeys([*directories, *_PATH.split(":")]))}


def _unblock_signals() -> None:
    """In the child: the caller may hold signals back, but what a script starts must not inherit that."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _why_it_ended(status: int, where: str) -> str:
    if status < 0:
        return f"bash was ended by signal {-status} ({signal.strsignal(-status)}) while it ran the script. Run it again."
    place = f" at {printable(_NAME_FOR_BASH.sub('', where)[:_LONGEST_LINE])}" if where else ""
    return (
        f"the script ended{place} with status {status}, before its last line, by `exit`, `exec`, or a failure under "
        "`set -e` or `set -u`. Let it run to its end, or leave it early with `return`."
    )


def _said(outcome: _Outcome) -> str:
    return f" bash said: {' / '.join(outcome.chatter)}" if outcome.chatter else ""
