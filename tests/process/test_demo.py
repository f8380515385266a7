"""``fluentlite demo`` as a user runs it: what it shows, what it counts, and that nothing is left of it."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

import pytest
from clients import Client, eventually
from kernel import children, is_alive, open_files, title

from fluentlite.core.decode import Event, Mode, ReceivedChunk
from fluentlite.demo.files import GivenFile, GivenFiles
from fluentlite.demo.live import LiveLogs
from fluentlite.demo.server import DemoServer
from fluentlite.errors import ConfigError, FluentliteError

DEMO = [sys.executable, "-m", "fluentlite", "demo"]
GOOD = "verdict: every line arrived, once and whole"


def run(directory, *words, **how):
    """Run the demo to its end; returns (exit status, standard output, standard error)."""
    how = {"env": {**os.environ, "TMPDIR": str(directory)}} | how
    done = subprocess.run(
        [*DEMO, *map(str, words)], capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL, **how
    )
    return done.returncode, done.stdout, done.stderr


def users_of(directory):
    """Every process that has something open in *directory*."""
    return {
        pid
        for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
        if pid != os.getpid() and any(name.startswith(f"{directory}/") for name in open_files(pid).values())
    }


class Running:
    """A demo in the middle of its life, and everybody who belongs to it."""

    def __init__(self, directory, output, *words, **how):
        self.directory, self.output = directory, output
        with self.output.open("wb") as output:
            how = {"stdout": output, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL} | how
            environ = {**os.environ, "TMPDIR": str(self.directory), "TERM": "xterm"}
            self.process = subprocess.Popen(
                [*DEMO, *map(str, words)], env=environ, start_new_session=True, **how
            )
        self.pid, self.family = self.process.pid, set()

    def wait_until_said(self, pattern):
        eventually(lambda: re.search(pattern, self.said()), 30.0)

    def said(self):
        return self.output.read_text()

    def meet(self):
        """Get to know all its processes."""
        self.family |= {*children(self.pid), *users_of(self.directory)} - {self.pid}

    def left(self):
        """What is left of it."""
        alive = [f"{pid} {title(pid)}" for pid in self.family | users_of(self.directory) if is_alive(pid)]
        return [*alive, *os.listdir(self.directory)]


@pytest.fixture
def short():
    """A directory for TMPDIR whose name is short enough for control sockets, as pytest's are not."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture
def demo(short, tmp_path):
    """Run a demo; whatever a failed test leaves of it is killed."""
    started = []

    def start(*words, **how):
        started.append(Running(short, tmp_path / "output", *words, **how))
        return started[-1]

    yield start
    for one in started:
        one.meet()
        for pid in {one.pid, *one.family}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        one.process.wait()


# -- what it shows --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seen():
    """One whole run: (exit status, standard output, standard error, names that are left)."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as directory:
        return *run(directory), os.listdir(directory)


def test_two_live_logs_end_with_a_verdict(seen):
    """The daemon follows two logs through rotations, an outage, a killed worker and a reload, and no line is lost or doubled."""
    status, out, err, left = seen

    written, delivered, lost, doubled = map(
        int, re.search(r"(\d+) written, (\d+) delivered, (\d+) lost, (\d+) doubled", out).groups()
    )
    assert (status, err, lost, doubled) == (0, "", 0, 0), out
    assert written == delivered > 10_000
    assert out.splitlines()[-1] == GOOD
    assert left == []


def test_its_status_table_shows_what_happens(seen):
    """Every act shows in the daemon's own table: it runs, its server is gone, a worker was started again, a tag has changed."""
    out = seen[1]

    tables = re.findall(r"^fluentlite .*, master .*\n(?:.+\n|\n(?!\d+ s:))*", out, re.MULTILINE)
    assert len(tables) >= 4
    assert re.search(r"^web +\d+ following ", tables[-1], re.MULTILINE)
    assert any("Connection refused" in table for table in tables)
    assert re.search(r"^app\.new +\d+ .* 1 +\d+s$", tables[-1], re.MULTILINE), "one restart"
    assert re.search(r"reloaded; logs started 0, stopped 0, replaced 1, kept 1$", out, re.MULTILINE)
    assert "fluentlite: stopped; everything is delivered" in out
    assert len(out.splitlines()) < 120
    assert "\x1b" not in out


def test_files_are_compared_byte_for_byte(short, tmp_path):
    """Given files are delivered whole, whatever is in them and whatever they are called, each by a worker of its own."""
    files = [tmp_path / "given.log", tmp_path / os.fsdecode(b"b\xff ${HOME}")]
    files[0].write_bytes(b"".join(b"%d \xff caf\xe9\n" % n for n in range(10_000)) + b"not finished")
    files[1].write_bytes(b"x" * 3_000_000 + b"\n\n")
    empty = tmp_path / "empty"
    empty.touch()
    status, out, err = run(short, *files, empty, files[0])

    assert (status, err) == (0, ""), out
    assert "fluentlite: started" in out
    assert "3 logs" in out
    assert re.search(r"given\.log: 10000 lines delivered in .* s, the same bytes as in the file\n", out)
    assert re.search(r"/b\\xff \$\{HOME\}: 2 lines delivered in .* s, the same bytes as in the file\n", out)
    assert out.splitlines()[-1] == GOOD
    assert list(short.iterdir()) == []


def test_many_files_fit_on_a_page(short, tmp_path):
    """Any number of files can be given: the table and the verdict name the first ones, and count the others."""
    files = [tmp_path / f"{number}.log" for number in range(50)]
    for file in files:
        file.write_text(f"{file.name}\n")
    status, out, err = run(short, *files)

    assert (status, err) == (0, ""), out
    assert re.search(r"^\.\.\. and \d+ more logs$", out, re.MULTILINE)
    assert (
        len(re.findall(r"\.log: 1 line delivered in .* s, the same bytes as in the file$", out, re.MULTILINE))
        == 20
    )
    assert "... and 30 files more, all the same\n" in out
    assert out.splitlines()[-1] == GOOD


def test_a_stranger_is_no_trouble(demo):
    """Who else connects to the demo's server is told off, in sight of all, and changes nothing in the count."""
    running = demo()
    running.wait_until_said("\n")
    with Client(int(re.search(r"127\.0\.0\.1:(\d+)", running.said())[1])) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.ended()

    assert running.process.wait(60) == 0
    assert re.search(r" s  the server: 127\.0\.0\.1:\d+: .*; the connection was closed\n", running.said())
    assert running.said().splitlines()[-1] == GOOD


@pytest.mark.parametrize("words", [["--help"], ["a", "-h"]])
def test_help_starts_nothing(tmp_path, words):
    """Asked for help, it says what it does, and does nothing."""
    status, out, err = run(tmp_path, *words)

    assert (status, err) == (0, "")
    assert out.startswith("Usage: fluentlite demo")
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal_the_table_is_drawn_in_place(demo, tmp_path):
    """On a terminal the table moves up to where it was, and fits, however small the terminal is; events stay above it."""
    logs = [tmp_path / f"{number}.log" for number in range(20)]
    for log in logs:
        log.write_text("one\ntwo\n")
    main, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (16, 60))
    running = demo(*logs, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = read_all(main)

    assert running.process.wait(10) == 0
    assert running.left() == []
    heights = [int(height) for height in re.findall(r"\x1b\[(\d+)A\r", shown)]
    assert heights
    assert max(heights) == 15
    table = re.findall(
        r"^(?:\d+\.log +\d+ |fluentlite \d|\.\.\. and).*(?=\x1b\[K\r\n)", plain(shown), re.MULTILINE
    )
    assert "... and 16 more logs" in table
    assert re.search(r"^\d\.\d s: 40 lines, 160B delivered, 0 to come", plain(shown), re.MULTILINE)
    assert max(map(len, table)) <= 59
    assert shown.count("$ fluentlite start") == shown.count(GOOD) == 1


def plain(shown):
    """*shown* without colours."""
    return re.sub(r"\x1b\[[\d;]*m", "", shown)


def read_all(terminal):
    """Everything that is written on a terminal until nobody has it any more."""
    data = b""
    with contextlib.suppress(OSError):  # EIO: it is closed at the other end
        while piece := os.read(terminal, 65536):
            data += piece
    os.close(terminal)
    return data.decode()


# -- what is left ---------------------------------------------------------------------------------------

MOMENTS = {"beginning": "\n", "running": "fluentlite: started, process", "outage": "the server goes away"}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_after_a_signal(demo, signum, moment):
    """However it is ended, and whenever, soon no process and no file of it is left; it says so if it can."""
    running = demo()
    running.wait_until_said(MOMENTS[moment])
    running.meet()
    assert running.family
    os.kill(running.pid, signum)
    code = running.process.wait(20)

    if signum == signal.SIGKILL:
        eventually(lambda: running.left() == [], 20.0)
        assert code == -signal.SIGKILL
    else:
        assert running.left() == []
        assert (code, running.said().splitlines()[-1]) == (
            1, f"stopped by {signum.name}; nothing is left behind"
        )  # fmt: skip
    assert "Traceback" not in running.said()


def pipes(pid):
    """The pipes that process *pid* has open, by name; none if it is gone."""
    return {name for name in open_files(pid).values() if name.startswith("pipe:")}


def test_nothing_is_left_of_a_daemon_that_is_just_starting(demo):
    """Whoever cleans up waits for a start that is on its way: no daemon may come after the cleaning."""
    running, held = demo(), []
    while not list(running.directory.glob("*/run")):  # the next thing it does is taking its lock
        assert running.process.poll() is None
        # Looked at before: on a busy host the start may be over in the moment in which we notice.
        seen = [pipes(pid) for pid in children(running.pid)]
        held = seen if len(seen) == 2 and all(seen) else held
    running.meet()
    os.kill(running.pid, signal.SIGKILL)

    assert len(set.intersection(*held)) == 1, "keeper and start hold the lifeline"
    eventually(lambda: running.left() == [], 20.0)


def test_nothing_is_left_after_killing_the_whole_group(demo):
    """SIGKILL for its whole process group leaves nothing either: who cleans up is not in it."""
    running = demo()
    running.wait_until_said("fluentlite: started, process")
    running.meet()
    os.killpg(running.pid, signal.SIGKILL)

    eventually(lambda: running.left() == [], 20.0)


def test_nothing_is_left_when_its_terminal_is_closed(short):
    """Closing its window ends it, and all that belongs to it."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"TMPDIR": str(short), "TERM": "xterm"}
        os.execv(sys.executable, DEMO)
    shown = b""
    while b"web is" not in shown and b"following" not in shown:
        shown += os.read(terminal, 65536)
    family = {pid, *children(pid), *users_of(short)}
    assert len(family) >= 5
    os.close(terminal)
    os.waitpid(pid, 0)

    eventually(lambda: not [one for one in family | users_of(short) if is_alive(one)])
    assert list(short.iterdir()) == []


def test_nothing_is_left_when_its_reader_leaves(demo):
    """``fluentlite demo | head -1`` ends with the pipe."""
    reader, writer = os.pipe()
    running = demo(stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    while b"started" not in os.read(reader, 4096):
        running.meet()
    running.meet()
    os.close(reader)

    assert running.process.wait(30) == 0
    assert running.left() == []
    assert b"Traceback" not in running.process.stderr.read()


def test_nothing_is_left_after_an_error(short):
    """When a log cannot be written any more, it says why, ends with 1, and cleans up."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    status, _out, err = run(short, preexec_fn=limit)

    assert status == 1
    assert "fluentlite demo: the demo cannot go on: [Errno 27] File too large" in err
    assert "Traceback" not in err
    assert list(short.iterdir()) == []


def test_a_long_temporary_directory_does_not_matter(tmp_path):
    """Where the path of TMPDIR is too long for a control socket, another one is taken, and cleaned up as well."""
    long = tmp_path / ("x" * 100)
    long.mkdir()
    log = tmp_path / "a.log"
    log.write_text("one\n")
    status, out, err = run(long, log)

    assert (status, err) == (0, ""), out
    directory = re.search(r"is in (/\S+),", out)[1]
    assert not directory.startswith(str(tmp_path))
    assert not os.path.exists(directory)
    assert list(long.iterdir()) == []


# -- what it counts -------------------------------------------------------------------------------------


def chunk(tag, *lines):
    """A chunk as the server gives it on."""
    return ReceivedChunk(tag, Mode.PACKED_FORWARD, len(lines), 0, "id", [Event(0, {"message": line}) for line in lines])  # fmt: skip


@pytest.mark.parametrize(
    ("arrive", "counts", "strange"),
    [
        pytest.param([0, 1, 2], "3 delivered, 0 lost, 0 doubled", 0, id="all"),
        pytest.param([0, 2], "2 delivered, 1 lost, 0 doubled", 0, id="lost"),
        pytest.param([], "0 delivered, 3 lost, 0 doubled", 0, id="all-lost"),
        pytest.param([0, 1, 1, 2, 0], "3 delivered, 0 lost, 2 doubled", 0, id="doubled"),
        pytest.param([0, 1, 2, 3], "3 delivered, 0 lost, 0 doubled", 1, id="never-written"),
    ],
)
def test_each_line_is_counted(tmp_path, arrive, counts, strange):
    """Lost, doubled and never written lines are told apart, in whatever order lines arrive."""
    logs = LiveLogs(str(tmp_path))
    logs.web.write_until(3)
    for number in reversed(arrive):
        logs.take(chunk("web.new", logs.web.line(number)))

    assert logs.counts() == f"3 written, {counts}"
    assert logs.strange == strange
    assert logs.is_complete == ("0 lost" in counts)


def test_a_damaged_line_does_not_count(tmp_path):
    """A line that differs by a byte, or has a tag that nobody configured, is no delivered line."""
    logs = LiveLogs(str(tmp_path))
    logs.web.write_until(2)
    logs.take(chunk("web", logs.web.line(0)[:-1], b"no number"))
    logs.take(chunk("app", logs.web.line(0)))
    logs.take(chunk("other", logs.web.line(1)))

    assert logs.counts() == "2 written, 0 delivered, 2 lost, 0 doubled"
    assert logs.strange == 4


@pytest.mark.parametrize(
    ("lines", "is_same", "rest"),
    [
        pytest.param([b"a", b"b"], True, 0, id="all"),
        pytest.param([b"a"], True, 2, id="the-first-half"),
        pytest.param([b"b", b"a"], False, 0, id="another-order"),
        pytest.param([b"a", b"a", b"b"], False, -2, id="doubled"),
        pytest.param([b"b"], False, 2, id="lost"),
    ],
)
def test_what_arrived_is_compared_with_the_file(tmp_path, lines, is_same, rest):
    """Only the file's beginning, in its order, is the same; a line that is not finished is not waited for."""
    path = tmp_path / "log"
    path.write_bytes(b"a\nb\nunfinished")
    file = GivenFile(str(path))
    file.take(chunk("t", *lines))

    assert (file.is_same(), file.rest()) == (is_same, rest)


def test_the_same_file_twice_is_one_log(tmp_path):
    """Each file gets a tag of its own, made of its name; the same file under another name is not sent twice."""
    names = ["a/x.log", "b/x.log", "c d\xe9", "a/link"]
    for name in names[:3]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / names[3]).symlink_to(tmp_path / names[0])
    files = GivenFiles([str(tmp_path / name) for name in names])

    assert {tag: file.path for tag, file in files.by_tag.items()} == {
        "x.log": str(tmp_path / "a/x.log"),
        "x.log-2": str(tmp_path / "b/x.log"),
        "c_d_": str(tmp_path / "c d\xe9"),
    }


def test_what_is_no_file_is_named(tmp_path):
    """All names that are no regular files are told in one go, before anything starts."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError) as caught:
        GivenFiles([str(tmp_path), str(tmp_path / "fifo"), __file__, str(tmp_path / "absent")])

    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        str(tmp_path), str(tmp_path / "fifo"), str(tmp_path / "absent")
    ]  # fmt: skip


# -- its server -----------------------------------------------------------------------------------------


def test_nobody_gets_the_port_while_the_server_is_away():
    """An outage keeps the port: who connects is refused, who wants a free port gets another one."""
    with contextlib.ExitStack() as stack:
        reader, _writer = os.pipe()
        server = DemoServer(lambda _chunk: None, print, reader)
        stack.callback(server.close)
        address = (server.address.host, server.address.port)
        server.go_away()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, 5)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(address)
        server.come_back()
        with socket.create_connection(address, 5):
            pass


def test_a_port_that_was_taken_is_named():
    """Who takes the port by force makes the demo end with a sentence."""
    reader, writer = os.pipe()
    server = DemoServer(lambda _chunk: None, print, reader)
    server.go_away()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((server.address.host, server.address.port))
        other.listen()
        with pytest.raises(FluentliteError, match=f"{server.address}: the server cannot listen"):
            server.come_back()
    server.close()
    os.close(reader)
    os.close(writer)
