"""The commands; errors become messages and exit statuses."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence

from fluentlite import __version__
from fluentlite.config.model import DEFAULT_CONFIG_PATH
from fluentlite.config.reading import absolute
from fluentlite.core.display import defuse
from fluentlite.errors import ConfigError, FluentliteError, NotConfiguredError
from fluentlite.saying import say, silence
from fluentlite.signals import WORKER_SIGNALS

STARTING = ("start", "restart")

LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
"""What the system says that has no more descriptors, memory or processes for us."""

NOT_CONFIGURED = 6
"""Exit status of the commands that start something, as LSB has it."""

USAGE = f"""\
fluentlite {__version__}: follows log files and forwards each line to Fluentd or Fluent Bit.

Usage: fluentlite COMMAND [ARGUMENTS]

  demo [FILE ...]     ten seconds of the real thing: live logs, a server, faults, a verdict

As a service:
  install             make it a service of systemd or SysV init; "fluentlite install --help"
  uninstall           take that away again; configuration and positions stay
  import OLD.conf     print a configuration of fluent-agent-lite as TOML; "fluentlite import --help"
  check [-c FILE] [--connect]
                      say what is wrong with a configuration, or what it would do; try the servers
  start [-c FILE] [--foreground]
                      start the daemon: one worker for each configured log
  status [-c FILE]    how each log is, and what to do where it is not well; --watch, --json, --strict
  reload [-c FILE]    have it read its configuration again, if that is good
  restart [-c FILE]   stop and start, if the configuration is good
  stop [-c FILE] [--timeout S]
                      let it finish, and wait until it is gone
  replay [-c FILE] LETTER ...
                      send again what all servers had refused: "status" says whether there is something

By hand:
  agent TAG FILE HOST[:PORT] [SECONDARY[:PORT]]
                      follow one log in the foreground; "fluentlite agent --help" lists its flags
  receive             a Forward server that prints what arrives; "fluentlite receive --help"
  version             print the version

The configuration is $FLUENTLITE_CONFIG or {DEFAULT_CONFIG_PATH}, unless -c names another.
New here? Try "fluentlite demo". Then say "fluentlite install", name a server and a log in the configuration, and say
"fluentlite check", "fluentlite start" and "fluentlite status"; each of them tells you the next step."""


CHECK_HELP = f"""\
Usage: fluentlite check [-c FILE] [--connect]

Reads the configuration FILE (default: $FLUENTLITE_CONFIG, then {DEFAULT_CONFIG_PATH}), says everything that is
wrong with it, looks at files, permissions and server names, and says what would be done. Changes nothing itself;
a FILE that does not end in .toml is a shell script of fluent-agent-lite and is run to see what it sets.
--connect tries the servers as well: name, TCP, TLS, shared key and user, as the workers will; no line is sent.
Exit status: 0 if it can be used, 1 if not."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    if argv is None and sys.getfilesystemencoding() != "utf-8":
        # The names of files are bytes, and those in a configuration are UTF-8, whatever the locale of who starts us.
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"PYTHONUTF8": "1"})
    words = list(sys.argv[1:] if argv is None else argv)
    command = words.pop(0) if words else "--help"
    if command in ("-h", "--help", "help"):
        print(USAGE)
        return 0
    try:
        run = COMMANDS[command]
    except KeyError:
        say(f'fluentlite: there is no command "{command}". {_meant(command)}', is_error=True)
        return 2
    # Whoever started us may ignore it, and so would we: then no child could be waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        status = run(words)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except ConfigError as exc:
        for problem in exc.problems:
            told = defuse(problem.removeprefix(f"fluentlite {command}: "))
            say(f"fluentlite {command}: {told}", is_error=True)
        return NOT_CONFIGURED if isinstance(exc, NotConfiguredError) and command in STARTING else 1
    except FluentliteError as exc:
        say(f"fluentlite {command}: {exc}", is_error=True)
        return 1
    except KeyboardInterrupt:
        say(f"fluentlite {command}: interrupted; what it has begun goes on", is_error=True)
        return 130
    except BrokenPipeError:
        silence(sys.stdout.fileno())  # whoever read our output has gone; there is nobody to tell
        return 0
    except OSError as exc:
        return _system_refused(command, exc)


def _system_refused(command: str, exc: OSError) -> int:
    """Say what the system has no more of for us; anything else is a bug."""
    if exc.errno in LIMITS:
        say(
            f"fluentlite {command}: {exc.strerror}. Raise the limits of open files, processes and memory (ulimit -n, -u, -v).",
            is_error=True,
        )
    elif exc.errno in (errno.ENOSPC, errno.EIO):
        silence(sys.stdout.fileno())
        say(f"fluentlite {command}: the output cannot be written ({exc.strerror}).", is_error=True)
    else:
        raise exc
    return 1


def _meant(command: str) -> str:
    import difflib

    beginning = [name for name in COMMANDS if name.startswith(command)]
    close = beginning or difflib.get_close_matches(command, COMMANDS, n=1)
    return f'Did you mean "{close[0]}"?' if close else '"fluentlite --help" lists them all.'


# Each command imports what it needs: "version" must not wait for all the others.


def _agent(argv: Sequence[str]) -> int:
    # A signal while we start must neither be lost nor end us with a traceback: it waits for its handler.
    signal.pthread_sigmask(signal.SIG_BLOCK, WORKER_SIGNALS)
    from fluentlite.agent import run_agent

    return run_agent(argv)


def _start(argv: Sequence[str]) -> int:
    if "--foreground" in argv:  # as for the agent
        signal.pthread_sigmask(signal.SIG_BLOCK, WORKER_SIGNALS)
    from fluentlite.service import run_start

    return run_start(argv)


def _stop(argv: Sequence[str]) -> int:
    from fluentlite.service import run_stop

    return run_stop(argv)


def _restart(argv: Sequence[str]) -> int:
    from fluentlite.service import run_restart

    return run_restart(argv)


def _reload(argv: Sequence[str]) -> int:
    from fluentlite.service import run_reload

    return run_reload(argv)


def _status(argv: Sequence[str]) -> int:
    from fluentlite.status import run_status

    return run_status(argv)


def _replay(argv: Sequence[str]) -> int:
    from fluentlite.replay import run_replay

    return run_replay(argv)


def _receive(argv: Sequence[str]) -> int:
    from fluentlite.receiver import run_receive

    return run_receive(argv)


def _demo(argv: Sequence[str]) -> int:
    from fluentlite.demo import run_demo

    return run_demo(argv)


def _check(argv: Sequence[str]) -> int:
    if any(word in ("-h", "--help") for word in argv):
        print(CHECK_HELP)
        return 0
    from fluentlite.config.check import run_check

    words = [word for word in argv if word != "--connect"]
    path = _config_path("check", words)
    if len(words) == len(argv):
        return run_check(path, os.environ, sys.stdout, sys.stderr)
    from fluentlite.trying import try_servers

    return run_check(path, os.environ, sys.stdout, sys.stderr, connect=try_servers)


def _install(argv: Sequence[str]) -> int:
    from fluentlite.install import run_install

    return run_install(argv)


def _uninstall(argv: Sequence[str]) -> int:
    from fluentlite.install import run_uninstall

    return run_uninstall(argv)


def _import(argv: Sequence[str]) -> int:
    from fluentlite.config.importing import HELP, run_import

    if any(word in ("-h", "--help") for word in argv):
        print(HELP)
        return 0
    if len(argv) != 1:
        raise ConfigError('Name one file, as in "fluentlite import /etc/fluent-agent-lite.conf".')
    return run_import(os.path.abspath(argv[0]), os.environ, sys.stdout.buffer)


def _version(argv: Sequence[str]) -> int:
    if argv and argv[0] not in ("-h", "--help"):
        raise ConfigError(f'"{argv[0]}" is not expected here. Say "fluentlite version".')
    print(f"fluentlite {__version__}")
    return 0


def _config_path(command: str, argv: Sequence[str]) -> str:
    """Return the configuration to use, absolute: -c FILE, the environment's, or the default."""
    words = list(argv)
    path = os.environ.get("FLUENTLITE_CONFIG") or DEFAULT_CONFIG_PATH
    if words[:1] == ["-c"] and len(words) == 2:
        path = words[1]
    elif words[:1] == ["-c"] and len(words) == 1:
        raise ConfigError("-c needs the name of a configuration file after it.")
    elif words:
        raise ConfigError(f'"{words[0]}" is not expected here. Say "fluentlite {command} [-c FILE]".')
    return absolute(path)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "start": _start,
    "stop": _stop,
    "restart": _restart,
    "reload": _reload,
    "status": _status,
    "replay": _replay,
    "agent": _agent,
    "receive": _receive,
    "demo": _demo,
    "check": _check,
    "import": _import,
    "install": _install,
    "uninstall": _uninstall,
    "version": _version,
    "--version": _version,
}
