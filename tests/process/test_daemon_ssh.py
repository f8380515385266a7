"""Started over ssh, or into a pipe: whoever waits for the end of the output waits for nobody."""

import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sshd import Sshd

SCRIPT = Path(__file__).parents[2] / "init" / "fluentlite"

NO_TERMINAL = """\
If it says "chown(/dev/pts/...) failed": an sshd that is not root's gives terminals only where they belong to their group
from the beginning. Run, as root: mount -o remount,gid=tty,mode=620 /dev/pts
"""


@pytest.fixture
def sshd(tmp_path):
    with Sshd(tmp_path / "sshd") as server:
        yield server


def by_init_script(daemon, verb="start"):
    """A shell command that does what ``/etc/init.d/fluentlite VERB`` does where fluentlite is installed, for *daemon*."""
    script = daemon.directory / "init.d-fluentlite"
    program = Path(sys.executable).with_name("fluentlite")
    script.write_text(
        SCRIPT.read_text().replace("\nFLUENTLITE=/usr/bin/fluentlite\n", f"\nFLUENTLITE={program}\n")
    )
    script.chmod(0o755)
    return f"FLUENTLITE_CONFIG={shlex.quote(str(daemon.config_path))} {script} {verb}"


def check_it_lives(daemon, arrivals):
    """Master and workers are there and deliver."""
    daemon.eventually(lambda: len(daemon.processes()) == 3)
    for name in ("a", "b"):
        daemon.append(name, "one")
        arrivals.wait_for_lines(name, ["one"])


@pytest.mark.parametrize("pipe", ["", " | cat", " 2>&1 | cat"])
def test_without_a_terminal(sshd, make_daemon, arrivals, pipe):
    """``ssh host '/etc/init.d/fluentlite start'`` ends at once with 0, also piped into cat; the daemon lives on (P19)."""
    daemon = make_daemon("a", "b")
    command = sshd.command(
        f"set -o pipefail; {by_init_script(daemon)}{pipe}" if pipe else by_init_script(daemon)
    )
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, (done, sshd.said())
    daemon.eventually(lambda: not sshd.sessions())

    check_it_lives(daemon, arrivals)


def test_with_a_terminal(sshd, make_daemon, arrivals):
    """``ssh -t host '/etc/init.d/fluentlite start'`` does the same: the terminal goes, the daemon stays (P19)."""
    daemon = make_daemon("a", "b")
    master, slave = pty.openpty()
    command = sshd.command(by_init_script(daemon), options=("-t",))
    ssh = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    said = _read_all(master)
    assert ssh.wait(20) == 0, (said, sshd.said(), NO_TERMINAL)
    daemon.eventually(lambda: not sshd.sessions())

    check_it_lives(daemon, arrivals)


def test_a_session_that_is_cut(sshd, make_daemon, arrivals):
    """A login that starts it and is then cut off, client killed, takes nothing with it (P19, P20)."""
    daemon = make_daemon("a", "b")
    master, slave = pty.openpty()
    command = sshd.command(f"{by_init_script(daemon)}; sleep 600", options=("-t",))
    ssh = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    daemon.eventually(lambda: daemon.is_running() or ssh.poll() is not None, 20)
    assert ssh.poll() is None, (sshd.said(), NO_TERMINAL)
    before = daemon.wait_for_workers()
    ssh.send_signal(signal.SIGKILL)
    ssh.wait()
    os.close(master)
    daemon.eventually(lambda: not sshd.sessions())

    check_it_lives(daemon, arrivals)
    assert daemon.workers() == before


def test_into_a_pipe(make_daemon, arrivals):
    """``fluentlite start | cat`` ends as soon as the start has ended (P19)."""
    daemon = make_daemon("a", "b")
    begin = time.monotonic()
    line = f"{shlex.join(daemon.command('start'))} | cat"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=20)
    assert "started" in done.stdout
    assert time.monotonic() - begin < 10

    check_it_lives(daemon, arrivals)


def test_every_verb(sshd, make_daemon, arrivals):
    """All verbs of the init script work over ssh, with the exit codes of LSB."""
    daemon = make_daemon("a", "b")
    verbs = (
        "status",
        "start",
        "start",
        "status",
        "reload",
        "force-reload",
        "restart",
        "status",
        "stop",
        "stop",
        "status",
    )
    statuses = []
    for verb in verbs:
        done = subprocess.run(
            sshd.command(by_init_script(daemon, verb)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
        )
        statuses.append(done.returncode)

    assert dict(enumerate(zip(verbs, statuses, strict=True))) == dict(
        enumerate(zip(verbs, (3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3), strict=True))
    )


def _read_all(fd):
    """Everything that comes from the terminal until its other side is closed."""
    said = b""
    try:
        while data := os.read(fd, 4096):
            said += data
    except OSError:  # EIO: nobody has the other side
        pass
    os.close(fd)
    return said.decode(errors="replace")
