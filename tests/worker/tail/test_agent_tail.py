"""``fluentlite agent`` as a process: what it reads, what it refuses, what it costs, and how it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import termios
import time

import psutil
import pytest
from following import leased, numbered
from servers import ScriptedServer

AGENT = [sys.executable, "-m", "fluentlite", "agent"]

IMPATIENT = """
import dataclasses, sys
from fluentlite import agent

def impatient(argv, environ, settings=agent.agent_settings):
    options = settings(argv, environ)
    return dataclasses.replace(options, master=dataclasses.replace(options.master, stop_timeout=0.3))

agent.agent_settings = impatient
sys.exit(agent.run_agent(sys.argv[1:]))
"""
"""The same with a stop_timeout for which there is no flag."""


class Agent:
    """
    One agent process.

    Args:
        flags: Before the operands; ``-l`` and ``--state-dir`` are given anyway.
        operands: TAG, FILE and servers.
    """

    def __init__(self, directory, *flags, operands, command=AGENT, **how):
        self.log_path, self.state_dir = directory / "agent.log", directory / "state"
        arguments = ["-v", "-l", self.log_path, "--state-dir", self.state_dir, *flags, *operands]
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)], **{"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE} | how
        )

    @property
    def pid(self):
        return self.process.pid

    def said(self):
        """Its own log, as text."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def wait_until_said(self, text, timeout=10.0):
        wait_for(lambda: text in self.said(), timeout, self.said)

    def signal(self, signum):
        self.process.send_signal(signum)

    def wait(self, timeout=15.0):
        """Wait for its end; return its exit status."""
        return self.process.wait(timeout)

    def terminate(self):
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def wait_for(condition, timeout=10.0, explain=lambda: ""):
    """Poll until *condition* is true."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.005)


@pytest.fixture
def server():
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def start(tmp_path, log, server):
    """Start agents that follow the log, or what ``path`` says; they are killed at the end."""
    agents = []

    def start(*flags, path=log.path, server=server, **how):
        agents.append(Agent(tmp_path, *flags, operands=["t", path, server.address], **how))
        return agents[-1]

    yield start
    for agent in agents:
        agent.kill()


def texts(lines):
    return [line.encode() for line in lines]


def surprises(agent):
    """Lines of its log at the levels of warnings and errors."""
    return [line for line in agent.said().splitlines() if re.search(r"\[(WARNING|ERROR|CRITICAL)\]", line)]


# -- a log ----------------------------------------------------------------------------------------------


def test_follows_a_log(log, server, start):
    """It starts at the end, follows rotations, and ends with 0 after TERM, all delivered, without a surprise."""
    log.append("old")
    agent = start()
    agent.wait_until_said("following inode")
    log.append(*numbered(1, 100))
    log.rotate()
    log.append(*numbered(101, 200))
    server.wait_for(lambda: len(server.lines()) == 200)

    assert server.lines() == texts(numbered(1, 200))
    assert agent.terminate() == 0
    assert surprises(agent) == []
    assert server.errors == []


def test_a_quiet_log_s_line_arrives_at_once(log, server, start):
    """A line of a quiet log is at the server within milliseconds, although it polls once a second (T52)."""
    log.create()
    agent = start("-i", "30")
    agent.wait_until_said("connected to")
    times = []
    for number in range(30):
        begin = time.monotonic()
        log.append(str(number))
        wait_for(lambda number=number: len(server.lines()) == number + 1)
        times.append(time.monotonic() - begin)

    assert sorted(times)[len(times) // 2] < 0.05


def test_an_idle_agent_sleeps(log, server, start):
    """With nothing to do it wakes for its poll and for little else, and a poll costs less than a millisecond (T52)."""
    log.append("one")
    agent = start("--read-from-head", "-i", "0.1")
    server.wait_for(lambda: server.lines() == [b"one"])
    process = psutil.Process(agent.pid)
    agent.wait_until_said("connected to")
    begin, spent, wakes = time.monotonic(), cpu_seconds(agent.pid), process.num_ctx_switches().voluntary
    wait_for(lambda: process.num_ctx_switches().voluntary >= wakes + 6)

    assert time.monotonic() - begin > 0.25, "four polls take 0.4 s or more; it may have synced its checkpoint"
    assert (cpu_seconds(agent.pid) - spent) / 6 < 0.001


def cpu_seconds(pid):
    """Time that a process has run, in seconds, finer than clock ticks."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0]) / 1e9


def test_killed_at_any_time(log, server, start):
    """Killed again and again under load and rotations: no line lost, doubled only what was in flight (T46, T47)."""
    log.create()
    count, lives = 0, 8
    for life in range(lives):
        agent, before = start("-F", "--read-from-head", "-b", "4096"), len(server.chunks)
        if life == 0:
            agent.wait_until_said("following inode")  # what is rotated before the first look is an old log
        while len(server.chunks) < before + 6:
            log.append(*numbered(count + 1, count + 50))
            count += 50
            if count % 1000 == 0:
                log.rename(f"app.log-{count:08}")
            time.sleep(0.002)
        agent.kill()
    agent = start("-F", "--read-from-head")
    last = numbered(count, count)[0].encode()
    server.wait_for(lambda: last in server.chunks[-1].lines(), timeout=20)
    lines = server.lines()

    assert [*dict.fromkeys(lines)] == texts(numbered(1, count))
    assert len(lines) - count <= lives * 5 * 130, (
        "four chunks in flight and one that was being written, each life"
    )
    assert agent.terminate() == 0


def test_clean_restarts_double_nothing(log, server, start):
    """Stopped with TERM and started again under load, ten times: every line once, in order (T23, O05)."""
    log.create()
    count = 0
    for _ in range(10):
        agent, before = start("--read-from-head"), len(server.chunks)
        while len(server.chunks) < before + 10:
            log.append(*numbered(count + 1, count + 20))
            log.write("half of a line, ")
            log.append(f"and the rest {count}")
            count += 20
            time.sleep(0.001)
        assert agent.terminate() == 0
        assert surprises(agent) == []
    agent = start("--read-from-head")
    server.wait_for(lambda: server.lines()[-1:] == [b"half of a line, and the rest %d" % (count - 20)])

    expected = []
    for number in range(0, count, 20):
        expected += [*numbered(number + 1, number + 20), f"half of a line, and the rest {number}"]
    assert server.lines() == texts(expected)


@contextlib.contextmanager
def not_mounted(path):
    """As long as a file system is not mounted, the directory of *path* is an empty one."""
    directory, aside = path.parent, path.parent.with_name("aside")
    directory.rename(aside)
    directory.mkdir()
    yield
    directory.rmdir()
    aside.rename(directory)


@pytest.mark.parametrize("hindrance", [leased, not_mounted])
def test_killed_while_its_log_cannot_be_opened(log, server, start, hindrance):
    """A log that cannot be opened at a start keeps its position through kills, and is read on once it can be (T35, T36, T46)."""
    log.append("1", "2", "3")
    agent = start("--read-from-head")
    server.wait_for(lambda: len(server.lines()) == 3)
    assert agent.terminate() == 0
    log.append("4")
    with hindrance(log.path):
        for count in (1, 2, 3):
            agent.kill()
            agent = start("-F", "-i", "0.1")
            wait_for(lambda agent=agent, count=count: len(surprises(agent)) == count, explain=agent.said)
    server.wait_for(lambda: len(server.lines()) == 4)
    log.append("5")
    server.wait_for(lambda: len(server.lines()) == 5)

    assert server.lines() == texts(["1", "2", "3", "4", "5"])
    assert agent.terminate() == 0
    assert not any("[ERROR]" in line for line in surprises(agent))


def test_server_down_while_it_rotates(log, server, start):
    """Nobody takes lines while the log rotates several times: all of them arrive afterwards, in order (T03)."""
    log.create()
    agent = start("--read-from-head", "-w", "0.5")
    agent.wait_until_said("connected to")
    server.stop()
    for number in range(5):
        log.append(*numbered(number * 100 + 1, number * 100 + 100))
        log.rotate()
        log.append()
        wait_for(lambda number=number: agent.said().count("following inode") >= number + 2)
    server.restart()
    server.wait_for(lambda: len(server.lines()) >= 500, timeout=20)

    assert [*dict.fromkeys(server.lines())] == texts(numbered(1, 500))
    assert agent.terminate() == 0


def test_two_agents_on_one_log(log, server, start):
    """A second agent for the same log waits for the first, and takes over where that one ends (P02)."""
    log.append("one")
    first = start("--read-from-head")
    server.wait_for(lambda: server.lines() == [b"one"])
    second = start("--read-from-head")
    log.append("two")
    server.wait_for(lambda: len(server.lines()) == 2)
    assert second.process.poll() is None
    assert first.terminate() == 0
    log.append("three")
    server.wait_for(lambda: len(server.lines()) == 3)

    assert server.lines() == [b"one", b"two", b"three"]
    assert second.terminate() == 0


def test_few_descriptors(log, server, start):
    """With a limit of 32 descriptors, and none of them inherited, it does all of its work (T38)."""
    log.append(*numbered(1, 10))
    limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))  # noqa: E731
    agent = start("--read-from-head", preexec_fn=limit)
    server.wait_for(lambda: len(server.lines()) == 10)
    for number in range(3):
        log.rotate()
        log.append(str(number))
        server.wait_for(lambda number=number: len(server.lines()) == 11 + number)

    assert agent.terminate() == 0
    assert surprises(agent) == []


def test_a_line_of_a_deleted_file(log, server, start):
    """A file that is deleted while the server is down is delivered when it is back, and closed then (T33)."""
    log.append("one")
    agent = start("--read-from-head", "-w", "0.5")
    server.wait_for(lambda: server.lines() == [b"one"])
    server.stop()
    log.append("two")
    agent.wait_until_said("lines wait in the log")
    log.path.unlink()
    server.restart()
    server.wait_for(lambda: b"two" in server.lines(), timeout=20)
    wait_for(lambda: f"{log.path} (deleted)" not in open_paths(agent.pid), 15, lambda: open_paths(agent.pid))


def open_paths(pid):
    with contextlib.suppress(FileNotFoundError):
        return [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    return open_paths(pid)  # one was closed meanwhile


def test_ping_and_drain_log(log, server, start):
    """The ping comes at once, the drain log behind each chunk; neither asks for an ack, and lines are not delayed."""
    log.append("one", "two")
    agent = start("--read-from-head", "-P", "ping.tag:alive", "-d", "drain.tag")
    server.wait_for(lambda: len(server.chunks) == 3)
    log.append("three")
    server.wait_for(lambda: len(server.chunks) == 5)
    said = [(one.tag, one.events[0].record) for one in server.chunks if one.id is None]

    assert sorted(said, key=repr) == [
        ("drain.tag", {"drain": 1}),
        ("drain.tag", {"drain": 2}),
        ("ping.tag", {"data": f"alive {log.path}"}),
    ]
    assert [one.lines() for one in server.chunks if one.tag == "t"] == [[b"one", b"two"], [b"three"]]
    tags = [one.tag for one in server.chunks if one.tag != "ping.tag"]
    assert tags == ["t", "drain.tag"] * 2
    assert agent.terminate() == 0


def test_json(log, server, start):
    """With -j everything is JSON, under the key of -f, and a byte that is no UTF-8 becomes U+FFFD (T30)."""
    log.write(b"caf\xe9\nna\xc3\xafve\n")
    agent = start("--read-from-head", "-j", "-f", "log")
    server.wait_for(lambda: len(server.lines("log")) == 2)

    assert server.lines("log") == ["caf\ufffd".encode(), "naïve".encode()]
    assert bytes(server.connections[0].received[:1]) == b"["
    assert agent.terminate() == 0


# -- refusals -------------------------------------------------------------------------------------------


def refusal(agent):
    """Its exit status and what it said on standard error."""
    status = agent.wait()
    return status, agent.process.stderr.read().decode()


def test_a_missing_file_is_refused(log, start):
    """Without -F a missing file is refused, with the remedy (C02)."""
    status, error = refusal(start())

    assert status == 1
    assert error == f"fluentlite agent: {log.path}: there is no such file. Create it, or start with -F to wait for it.\n"  # fmt: skip


def test_a_missing_file_is_waited_for(log, server, start):
    """With -F it is waited for, and read from its beginning although it is not --read-from-head (T19, T36)."""
    agent = start("-F")
    agent.wait_until_said("no such file; waiting for it")
    log.append("one")
    server.wait_for(lambda: server.lines() == [b"one"])

    assert agent.terminate() == 0


def test_no_checkpoint_no_line(log, server, start, tmp_path):
    """Without a place for the position it ends with 1 and says why, before any line is sent (C06)."""
    (tmp_path / "state").write_text("not a directory")
    log.append("one")
    status, error = refusal(start("--read-from-head"))

    assert status == 1
    assert error.startswith(f"fluentlite: state_dir '{tmp_path}/state' cannot be created (File exists)")
    assert server.lines() == []


def test_no_space_no_line(log, server, start):
    """The same on a full disk (C06, T49)."""
    log.append("one")
    no_space = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # noqa: E731
    status, error = refusal(start("--read-from-head", preexec_fn=no_space))

    assert status == 1
    assert "the checkpoint cannot be created" in error
    assert "free space on its disk" in error
    assert server.lines() == []


# -- standard input -------------------------------------------------------------------------------------


def test_standard_input_pipe(server, start):
    """Lines from a pipe arrive at once; at its end the rest is a line, all is delivered, and it ends with 0."""
    agent = start(path="-", stdin=subprocess.PIPE)
    agent.process.stdin.write(b"one\ntwo\nthr")
    agent.process.stdin.flush()
    server.wait_for(lambda: server.lines() == [b"one", b"two"])
    agent.process.stdin.write(b"ee\nrest")
    agent.process.stdin.close()

    assert agent.wait() == 0
    assert server.lines() == [b"one", b"two", b"three", b"rest"]
    assert surprises(agent) == []
    assert list(agent.state_dir.parent.glob("state/*")) == [], "there is no position in a pipe"


def test_standard_input_large(server, start):
    """Much more than a pipe holds arrives in order, through several chunks."""
    agent = start("-b", "65536", path="-", stdin=subprocess.PIPE)
    lines = texts(numbered(1, 50_000))
    agent.process.stdin.write(b"".join(line + b"\n" for line in lines) + b"x" * 100_000)
    agent.process.stdin.close()

    assert agent.wait() == 0
    assert server.lines() == [*lines, b"x" * 100_000]


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_standard_input_that_is_complete(log, server, start, kind):
    """A regular file as standard input, or a pipe whose writer has gone already, is read to its end, the last line included."""
    content = b"".join(line + b"\n" for line in texts(numbered(1, 3000))) + b"rest"
    log.write(content)
    if kind == "file":
        reader = os.open(log.path, os.O_RDONLY)
    else:
        reader, writer = os.pipe()
        os.write(writer, content)
        os.close(writer)
    agent = start(path="-", stdin=reader)
    os.close(reader)

    assert agent.wait() == 0
    assert server.lines() == texts([*numbered(1, 3000), "rest"])


def test_standard_input_terminal(server, start):
    """So is a terminal, up to its end of input."""
    ours, theirs = pty.openpty()
    agent = start(path="-", stdin=theirs)
    os.close(theirs)
    os.write(ours, b"one\n")
    server.wait_for(lambda: server.lines() == [b"one"])
    os.write(ours, b"two\n\x04")

    assert agent.wait() == 0
    os.close(ours)
    assert server.lines() == [b"one", b"two"]


def test_standard_input_is_empty(server, start):
    """Nothing in, nothing out, 0."""
    assert start(path="-").wait() == 0
    assert server.lines() == []


def test_standard_input_term(server, start):
    """After TERM what was read is delivered, and it ends with 0; the writer notices by its broken pipe."""
    agent = start(path="-", stdin=subprocess.PIPE)
    agent.process.stdin.write(b"one\ntwo")
    agent.process.stdin.flush()
    server.wait_for(lambda: server.lines() == [b"one"])

    assert agent.terminate() == 0
    with pytest.raises(BrokenPipeError):
        for _ in range(100):
            agent.process.stdin.write(b"x\n" * 1000)
            agent.process.stdin.flush()


def test_standard_input_waits_for_a_server(server, start):
    """While no server takes lines nothing is read, so the writer waits; then all of it arrives (S31)."""
    server.stop()
    agent = start("-w", "0.5", path="-", stdin=subprocess.PIPE)
    os.set_blocking(agent.process.stdin.fileno(), False)
    agent.wait_until_said("lines wait in the log")
    written = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            written += os.write(agent.process.stdin.fileno(), b"line\n" * 100)
    assert written <= 1 << 20
    server.restart()
    agent.process.stdin.close()

    assert agent.wait() == 0
    assert len(server.lines()) == written // 5


def test_standard_input_is_lost(server, start):
    """What nobody took before the end cannot be read again: it is said how much, and the status is 1 (S33)."""
    server.behave(lambda connection: connection.hold())
    agent = start(path="-", stdin=subprocess.PIPE, command=[sys.executable, "-c", IMPATIENT])
    agent.process.stdin.write(b"one\ntwo\n")
    agent.process.stdin.flush()
    agent.wait_until_said("connected to")
    wait_for(lambda: unread_in_pipe(agent) == 0)
    agent.signal(signal.SIGTERM)

    assert agent.wait() == 1
    assert "stopped with 2 lines undelivered; they are lost" in agent.said()


def unread_in_pipe(agent):
    size = bytearray(4)
    fcntl.ioctl(agent.process.stdin.fileno(), termios.FIONREAD, size)
    return int.from_bytes(size, sys.byteorder)


# -- its own log ----------------------------------------------------------------------------------------


def test_own_log_is_rotated(log, server, start):
    """Renamed, with or without USR1, its own log goes on in a new file; the old one is closed (P18)."""
    log.append("one")
    agent = start("--read-from-head")
    agent.wait_until_said("connected to")
    old = agent.log_path.rename(agent.log_path.with_name("agent.log.1"))
    agent.signal(signal.SIGUSR1)
    wait_for(agent.log_path.exists)
    wait_for(lambda: str(old) not in open_paths(agent.pid))
    again = agent.log_path.rename(agent.log_path.with_name("agent.log.2"))
    log.rotate()
    log.append("two")
    agent.wait_until_said("following inode")
    server.wait_for(lambda: len(server.lines()) == 2)

    assert str(again) not in open_paths(agent.pid)
    assert agent.terminate() == 0


def test_own_log_on_a_full_disk(log, server, start, tmp_path):
    """What it cannot write about itself it drops; lines go on (O04)."""
    log.create()
    agent = start("--read-from-head", "-l", "/dev/full")
    for number in range(3):
        log.append(str(number))
        server.wait_for(lambda number=number: len(server.lines()) == number + 1)
        log.rotate()

    assert agent.terminate() == 0


def test_own_log_to_standard_error(log, server, start):
    """``-l -`` is standard error, and a reader that leaves does not end it."""
    log.append("one")
    agent = start("--read-from-head", "-l", "-")
    agent.process.stderr.close()
    server.wait_for(lambda: server.lines() == [b"one"])
    log.append("two")
    server.wait_for(lambda: len(server.lines()) == 2)

    assert agent.terminate() == 0
