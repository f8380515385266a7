"""In the foreground: under a supervisor, on a terminal, as process 1 of a container."""

import contextlib
import os
import pty
import signal
import socket
import subprocess
import termios
import time

import pytest
from following import numbered
from kernel import children, is_alive, process_state


@pytest.fixture
def foreground(make_daemon):
    """Start one in the foreground; its :class:`subprocess.Popen` is ``.process``."""
    with contextlib.ExitStack() as stack:

        def make(*logs, around=(), config=None, **how):
            daemon = make_daemon(*logs, **(config or {}))
            how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "start_new_session": True} | how
            daemon.process = subprocess.Popen([*around, *daemon.command("start", "--foreground")], **how)
            stack.callback(end, daemon.process)
            return daemon

        yield make


def end(process):
    process.kill()
    process.wait()


def test_under_a_supervisor(foreground, arrivals):
    """It stays the process that was started; HUP reloads, TERM ends it with 0 when everything is gone (P20)."""
    daemon = foreground("a")
    daemon.eventually(daemon.is_running)
    assert daemon.master() == daemon.process.pid
    daemon.config["log"].append({"tag": "b", "path": str(daemon.path("b"))})
    daemon.write_config()
    daemon.process.send_signal(signal.SIGHUP)
    daemon.append("b", "one")
    arrivals.wait_for_lines("b", ["one"])
    daemon.process.terminate()

    assert daemon.process.wait(10) == 0
    assert daemon.processes() == []


def test_its_terminal_is_closed(foreground, arrivals):
    """Run by hand on a terminal, it ends in good order when that is closed; HUP is no reload there (P20)."""
    master, slave = pty.openpty()
    daemon = foreground(
        "a", stdin=slave, stdout=slave, stderr=slave, preexec_fn=lambda: _acquire_terminal(slave)
    )
    os.close(slave)
    daemon.append("a", *numbered(1, 100))
    arrivals.wait_for_lines("a", numbered(1, 100))
    os.close(master)

    assert daemon.process.wait(10) == 0
    assert daemon.processes() == []
    assert "the terminal is gone" in daemon.said()


def test_interrupted_on_its_terminal(foreground, arrivals):
    """Ctrl-C goes to master and workers at once: all end in good order, and nobody is started again (P09)."""
    master, slave = pty.openpty()
    daemon = foreground(
        "a", "b", stdin=slave, stdout=slave, stderr=slave, preexec_fn=lambda: _acquire_terminal(slave)
    )
    os.close(slave)
    daemon.eventually(daemon.is_running)
    daemon.wait_for_workers()
    os.write(master, b"\x03")

    assert daemon.process.wait(10) == 0
    os.close(master)
    assert daemon.processes() == []
    assert "the next one starts" not in daemon.said()


def _acquire_terminal(fd):
    """Called in the child, which leads a session: its terminal is *fd*."""
    import fcntl

    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)


def test_log_on_standard_error(foreground, arrivals, tmp_path):
    """With log_file = "-", as in a container, master and workers say on standard error what they have to say."""
    with open(tmp_path / "stderr", "wb") as stderr:
        daemon = foreground("a", config={"log_file": "-"}, stderr=stderr)
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])
    said = (tmp_path / "stderr").read_text()

    assert f"({daemon.process.pid}) " in said
    assert f"({daemon.worker('a')}) " in said


# -- process 1 ------------------------------------------------------------------------------------------

CONTAINER = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
"""Processes have numbers of their own in there, and the first of them is process 1; needs no privilege."""

ORPHAN = "sleep 600 & exec sleep 0.2"


def test_process_1(foreground, arrivals):
    """As process 1 of a container it obeys TERM, and reaps orphans that are not its own (P07)."""
    daemon = foreground("a", around=CONTAINER, stderr=subprocess.PIPE)
    daemon.append("a", "one")
    try:
        arrivals.wait_for_lines("a", ["one"])
    except AssertionError as exc:
        daemon.process.kill()
        raise AssertionError(
            f"{exc}\nthis needs user name spaces (sysctl kernel.unprivileged_userns_clone=1, or root): {daemon.process.stderr.read()}"
        ) from exc
    first = next(pid for pid in children(daemon.process.pid))
    assert _inner_pid(first) == 1
    namespaces = ["nsenter", "-t", str(first), "-U", "--preserve-credentials", "-p", "-m"]
    subprocess.run([*namespaces, "sh", "-c", "sh -c 'sleep 0.3 & :' & wait"], check=True, timeout=20)
    daemon.eventually(lambda: not [pid for pid in children(first) if "sleep" in _name(pid)])
    assert [process_state(pid) for pid in children(first)].count("Z") == 0
    os.kill(first, signal.SIGTERM)

    assert daemon.process.wait(10) == 0
    assert daemon.processes() == []


def _inner_pid(pid):
    """The number of the process *pid* in its innermost name space."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[-1]) for line in status if line.startswith("NSpid:"))


def _name(pid):
    try:
        with open(f"/proc/{pid}/comm") as comm:
            return comm.read()
    except OSError:
        return ""


# -- systemd --------------------------------------------------------------------------------------------


class Supervisor:
    """The socket of a service manager, and what it was told."""

    def __init__(self, path):
        self.path = path
        self.messages = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.setblocking(False)

    def told(self):
        """All assignments until now, in order; ``NAME=VALUE`` each."""
        with contextlib.suppress(BlockingIOError):
            while data := self._socket.recv(65536):
                self.messages.append(data.decode())
        return [line for message in self.messages for line in message.splitlines()]

    def close(self):
        self._socket.close()


@pytest.fixture(params=["a path", "an abstract name"])
def supervisor(request, tmp_path):
    path = (
        str(tmp_path / "notify")
        if request.param == "a path"
        else f"\0fluentlite-test-{os.getpid()}-{time.time_ns()}"
    )
    made = Supervisor(path)
    yield made
    made.close()


def test_notify(foreground, arrivals, supervisor):
    """
    A service manager is told when it is ready, that it reloads and since when, that it is ready again, that it lives, and
    that it stops; workers tell it nothing.
    """
    name = supervisor.path.replace("\0", "@")
    environ = {**os.environ, "NOTIFY_SOCKET": name, "WATCHDOG_USEC": "400000"}
    daemon = foreground("a", env=environ)
    daemon.eventually(lambda: "READY=1" in supervisor.told())
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])
    daemon.eventually(lambda: supervisor.told().count("WATCHDOG=1") >= 3)

    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    daemon.process.send_signal(signal.SIGHUP)
    daemon.eventually(lambda: supervisor.told().count("READY=1") == 2)
    told = supervisor.told()
    assert told.index("RELOADING=1") < len(told) - 1 - told[::-1].index("READY=1")
    stamp = next(int(line.partition("=")[2]) for line in told if line.startswith("MONOTONIC_USEC="))
    assert before <= stamp <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert any(line.startswith("STATUS=") for line in told)

    daemon.process.terminate()
    assert daemon.process.wait(10) == 0
    assert supervisor.told()[-1] == "STOPPING=1" or "STOPPING=1" in supervisor.told()


def test_notify_when_a_reload_is_refused(foreground, supervisor):
    """A refused reload ends for the service manager too: it is told READY again."""
    daemon = foreground("a", env={**os.environ, "NOTIFY_SOCKET": supervisor.path.replace("\0", "@")})
    daemon.announce("reload refused")
    daemon.eventually(lambda: "READY=1" in supervisor.told())
    daemon.config_path.write_text("broken")
    daemon.process.send_signal(signal.SIGHUP)

    daemon.eventually(lambda: supervisor.told().count("READY=1") == 2)
    assert "RELOADING=1" in supervisor.told()


def test_a_start_that_fails_in_the_foreground(foreground):
    """In the foreground too a start that cannot be ends with its reason on standard error."""
    daemon = foreground("a", config={"state_dir": "/proc/nowhere"}, stderr=subprocess.PIPE)
    _out, err = daemon.process.communicate(timeout=20)

    assert daemon.process.returncode == 1
    assert b"/proc/nowhere" in err
    assert b"Traceback" not in err


def test_no_control_socket_in_the_foreground(foreground, tmp_path):
    """What keeps a foreground from having its control socket is told on standard error: it has no other place."""
    (tmp_path / "agent" / "run" / "fluentlite.sock").mkdir(parents=True)
    daemon = foreground("a", stderr=subprocess.PIPE)
    _out, err = daemon.process.communicate(timeout=20)

    assert daemon.process.returncode == 1
    assert b"the control socket cannot be made" in err
    assert b"Traceback" not in err


def test_killed_in_the_foreground(foreground):
    """A supervisor that kills the master alone leaves no worker behind (P01)."""
    daemon = foreground("a", "b")
    daemon.eventually(daemon.is_running)
    workers = daemon.wait_for_workers()
    daemon.process.kill()
    daemon.process.wait()

    daemon.eventually(lambda: not any(map(is_alive, workers.values())), 5.0)
