"""``fluentlite status`` on a terminal, and ``--watch`` on one and without one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
from clients import eventually
from fake_master import FakeMaster
from screen import Screen
from statuses import answer, connecting, worker

STATUS = [sys.executable, "-m", "fluentlite", "status"]
ENVIRON = {
    key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM", "COLUMNS", "LINES")
}


class OnTerminal:
    """``fluentlite status`` with a terminal as its standard output; what it writes goes to ``raw`` and ``screen``."""

    def __init__(self, config, *words, columns=100, rows=40, **environ):
        self._reader, writer = pty.openpty()
        self._writer = writer
        self.raw, self.screen = "", Screen(columns, rows)
        self.resize(columns, rows)
        self.process = subprocess.Popen(
            [*STATUS, "-c", str(config), *words],
            stdout=writer,
            stderr=subprocess.PIPE,
            env={**ENVIRON, "TERM": "xterm", **environ},
        )

    def resize(self, columns, rows):
        """Another size, on which nothing is left: what then stands there was drawn for it."""
        fcntl.ioctl(self._writer, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        resized = Screen(columns, rows)
        resized.modes, self.screen = self.screen.modes, resized

    def read(self):
        """Take what has been written."""
        while select.select([self._reader], [], [], 0.01)[0]:
            text = os.read(self._reader, 65536).decode()
            self.raw += text
            self.screen.feed(text)

    def shows(self, *texts):
        """Wait until all of *texts* are on the screen."""

        def is_shown():
            self.read()
            return all(text in self.screen.text for text in texts)

        eventually(is_shown)

    def wait(self):
        """Wait for its end; returns (exit status, standard error)."""

        def is_over():
            self.read()
            return self.process.poll() is not None

        eventually(is_over)
        self.read()
        return self.process.returncode, self.process.stderr.read().decode()

    def end(self, signum=signal.SIGINT):
        self.process.send_signal(signum)
        return self.wait()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
        os.close(self._reader)
        os.close(self._writer)


class Printing:
    """``fluentlite status --watch`` into a pipe; what it prints goes to ``text``."""

    def __init__(self, config, *words):
        self.process = subprocess.Popen(
            [*STATUS, "-c", str(config), "--watch", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRON,
        )
        self.text = ""

    def prints(self, text, count=1):
        """Wait until *text* has been printed *count* times since the last call."""

        def is_printed():
            if select.select([self.process.stdout], [], [], 0.01)[0]:
                self.text += os.read(self.process.stdout.fileno(), 65536).decode()
            return self.text.count(text) >= count

        eventually(is_printed)
        printed, self.text = self.text, ""
        return printed

    def end(self, signum=signal.SIGINT):
        self.process.send_signal(signum)
        out, err = self.process.communicate(timeout=10)
        return self.process.returncode, out.decode(), err.decode()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture
def run(tmp_path):
    """Start one of the classes above with a configuration whose run_dir is in tmp_path; closed at the end."""
    config = tmp_path / "fluentlite.toml"
    config.write_text(
        f'[master]\nrun_dir = "{tmp_path}/run"\n[forward]\nprimary = ["h"]\n[[log]]\ntag = "t"\npath = "/t"\n'
    )
    with contextlib.ExitStack() as stack:

        def start(kind, *words, **how):
            made = kind(config, *words, **how)
            stack.callback(made.close)
            return made

        yield start


@pytest.fixture
def make_master(tmp_path):
    """Make a :class:`FakeMaster` that listens, with the answer it gets."""
    with contextlib.ExitStack() as stack:

        def make(said):
            master = FakeMaster(tmp_path / "run", said)
            stack.callback(master.stop)
            return master.listen()

        yield make


# -- one look, on a terminal --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "is_coloured"),
    [
        pytest.param({}, True, id="colours"),
        pytest.param({"NO_COLOR": "1"}, False, id="not-wanted"),
        pytest.param({"NO_COLOR": ""}, True, id="an-empty-wish-is-none"),
        pytest.param({"TERM": "dumb"}, False, id="not-known"),
    ],
)
def test_colours(make_master, run, environ, is_coloured):
    """A terminal gets colours, unless it has none or the user wants none."""
    make_master(answer(worker("a"), connecting("b")))
    terminal = run(OnTerminal, **environ)

    assert terminal.wait() == (0, "")
    assert ("\x1b[31mb" in terminal.raw) == is_coloured
    assert ("\x1b" in terminal.raw) == is_coloured


def test_hostile_names_on_a_terminal(make_master, run):
    """No name reaches the terminal with its escape sequences: the only ones there are our colours."""
    hostile = "\x1b[2J\x1b[H\x9b5m\u202e\r\n"
    make_master(
        answer(connecting(hostile, path=f"/{hostile}", last_error=f"/{hostile}: broken"), config=hostile)
    )
    terminal = run(OnTerminal)
    terminal.wait()

    assert terminal.screen.frames == 0
    assert "\\x1b[2J" in terminal.screen.text
    assert not set("\x9b\u202e") & set(terminal.raw)


@pytest.mark.parametrize(("columns", "widest"), [(80, 80), (100, 100), (200, 100)])
def test_the_width_of_the_terminal(make_master, run, columns, widest):
    """The table uses the terminal up to 100 columns, and no more than it has."""
    make_master(answer(worker("a" * 50, server="s" * 50), connecting("b" * 50, last_error="e" * 500)))
    terminal = run(OnTerminal, columns=columns)
    terminal.wait()

    assert max(map(len, terminal.screen.text.splitlines())) == widest


# -- watching on a screen -----------------------------------------------------------------------------------


def test_a_screen_is_drawn_over_and_given_back(make_master, run):
    """Each second the screen is overwritten from its top, never emptied; the end gives everything back (and the last table stays)."""
    master = make_master(answer(*(worker(f"t{n}") for n in range(20))))
    terminal = run(OnTerminal, "--watch")
    terminal.shows("All 20 logs are well.", "t19")
    assert terminal.screen.modes == {1049}

    master.said = answer(connecting("a"), worker("b"))
    terminal.shows("1 of 2 logs is NOT well.")
    assert "t19" not in terminal.screen.text, "what is gone is erased"

    assert terminal.end() == (0, "")
    assert terminal.screen.modes == {25, 7}
    assert terminal.raw.count("\x1b[2J") == 1, "emptied once, before the first table"
    assert terminal.screen.frames >= 2
    assert "1 of 2 logs is NOT well." in terminal.raw.rpartition("\x1b[?1049l")[2]


def test_a_low_screen_shows_the_worst(make_master, run):
    """What does not fit is counted; nothing scrolls, on a screen of another size neither."""
    make_master(answer(*(connecting(f"t{n}", last_error=f"server {n} is down") for n in range(50))))
    terminal = run(OnTerminal, "--watch", rows=20)
    assert shown_and_hidden(terminal, 20)[0] > 3

    terminal.resize(90, 12)
    terminal.process.send_signal(signal.SIGWINCH)
    assert shown_and_hidden(terminal, 12)[0] >= 1
    assert max(map(len, terminal.screen.text.splitlines())) <= 90


def shown_and_hidden(terminal, rows):
    """How many logs are on a full screen, and how many are counted in its last line: 50 together."""
    terminal.shows("make the window higher")
    lines = terminal.screen.text.splitlines()
    shown = sum(re.match(r"t\d+ .* connecting ", line) is not None for line in lines)
    hidden = int(re.match(r"\.\.\. and (\d+) more logs; ", lines[-1])[1])
    assert (len(lines), shown + hidden) == (rows, 50)
    return shown, hidden


def test_a_full_last_column_survives(make_master, run):
    """A row that ends in the terminal's last column is not bitten off by what erases the rest of shorter ones."""
    make_master(answer(connecting("b", last_error="e" * 96 + " " + "f" * 95)))
    terminal = run(OnTerminal, "--watch", columns=100)
    terminal.shows(" " * 4 + "e" * 96 + "\n" + " " * 4 + "f" * 95 + ".")


def test_suspending_gives_the_screen_back_for_a_while(make_master, run):
    """Ctrl-Z leaves the screen before it stops; when it is continued, the table is there again."""
    make_master(answer(worker("a")))
    terminal = run(OnTerminal, "--watch")
    terminal.shows("The log is well.")
    terminal.process.send_signal(signal.SIGTSTP)

    def is_suspended():
        terminal.read()
        with open(f"/proc/{terminal.process.pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "T"

    eventually(is_suspended)
    assert terminal.screen.modes == {25, 7}

    terminal.screen = Screen(100, 40)
    terminal.process.send_signal(signal.SIGCONT)
    terminal.shows("The log is well.")
    assert terminal.screen.modes == {1049}
    assert terminal.end() == (0, "")


def test_progress_and_time_to_go(make_master, run):
    """A log that is catching up has a bar, and after some looks a time to go."""
    master = make_master(answer(worker("a", state="catching_up", lag_bytes=1000 << 20)))
    terminal = run(OnTerminal, "--watch")
    terminal.shows("  0%  1.0G to go, the time is being measured")
    master.said = answer(worker("a", state="catching_up", lag_bytes=500 << 20))
    terminal.shows("############------------]  50%  500M to go, about ")


# -- watching without a screen ------------------------------------------------------------------------------


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_without_a_screen_tables_follow_each_other(make_master, run, signum):
    """Into a pipe a plain table goes every second, and a signal ends it with 0."""
    make_master(answer(worker("a")))
    begin = time.monotonic()
    watch = run(Printing)
    printed = watch.prints("The log is well.\n", 2)

    assert time.monotonic() - begin > 0.9
    assert "\x1b" not in printed
    code, _out, err = watch.end(signum)
    assert (code, err) == (0, "")


def test_a_restart_of_the_master_is_lived_through(make_master, run):
    """While there is no master it says so and what to do, then that there is another one; what it ends with is what it saw last."""
    master = make_master(answer(connecting("a"), pid=101))
    watch = run(Printing, "--strict")
    watch.prints("The log is NOT well.")
    master.stop()
    printed = watch.prints("Waiting for it to come back; the last answer of process 101 was ")
    assert "fluentlite is not running" in printed
    assert '"fluentlite start"' in " ".join(printed.split())

    master = make_master(answer(connecting("a"), pid=102))
    watch.prints("process 101 is gone, 102 took over.\n")
    assert watch.end()[0] == 2

    master.stop()
    watch = run(Printing)
    watch.prints("Waiting for it to start.")
    code, _out, err = watch.end()
    assert (code, err) == (3, "")


def test_a_master_that_falls_silent_is_no_end(make_master, run):
    """Silence is shown as such, can be interrupted at once, and is over as soon as an answer comes."""
    master = make_master(answer(worker("a")))
    watch = run(Printing)
    watch.prints("The log is well.")
    master.said = None
    watch.prints("did not answer")
    master.said = answer(worker("a"))
    watch.prints("The log is well.")
    master.said, asked = None, master.asked
    eventually(lambda: master.asked > asked)
    code, _out, err = watch.end()

    assert (code, err) == (0, "")


def test_nobody_reads_any_more(make_master, run):
    """When the reader of the pipe has gone, watching ends without a traceback."""
    make_master(answer(worker("a")))
    watch = run(Printing)
    watch.prints("The log is well.")
    watch.process.stdout.close()

    assert watch.process.wait(10) == 0
    assert watch.process.stderr.read() == b""
