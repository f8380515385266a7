"""Sourcing a shell configuration: what it may do, what it sees, and how it can fail."""

import contextlib
import errno
import os
import signal
import time

import psutil
import pytest

from fluentlite.config.shell import source
from fluentlite.config.trust import open_trusted
from fluentlite.errors import ConfigError

NAMES = ("LOGS", "TAG_PREFIX", "PING_DATA")


@pytest.fixture
def run(write):
    """Source a text and return what came of it."""

    def run(text, environ=None, patience=20.0):
        path = write("old.conf", text)
        os.chmod(path, 0o644)
        fd = open_trusted(path)
        try:
            return source(
                path, fd, NAMES, {"PATH": os.environ["PATH"]} if environ is None else environ, patience
            )
        finally:
            os.close(fd)

    return run


@pytest.fixture
def value(run):
    """The value of TAG_PREFIX that a text leaves behind."""
    return lambda *args, **kwargs: run(*args, **kwargs).variables["TAG_PREFIX"]


@pytest.fixture
def problem(run):
    """What is said of a text that cannot be used."""

    def problem(text, **how):
        with pytest.raises(ConfigError) as caught:
            run(text, **how)
        [problem] = caught.value.problems
        return problem.partition(": ")[2]

    return problem


VALUES = [
    pytest.param("TAG_PREFIX=raw", "raw", id="plain"),
    pytest.param("X=1", "", id="unset"),
    pytest.param("TAG_PREFIX=", "", id="empty"),
    pytest.param("TAG_PREFIX='a b\n\nc '", "a b\n\nc ", id="blanks-and-newlines"),
    pytest.param("TAG_PREFIX=$(printf 'a\\377b')", "a\udcffb", id="not-utf-8"),
    pytest.param("TAG_PREFIX=$(printf 'a\\0b')", "ab", id="nul-of-a-command"),
    pytest.param("export TAG_PREFIX=raw; readonly TAG_PREFIX", "raw", id="exported-and-readonly"),
    pytest.param("TAG_PREFIX=(one two)", "one", id="an-array-is-its-first-element"),
    pytest.param("TAG_PREFIX=raw\n[ -f /nowhere ] && PERL_PATH=/nowhere", "raw", id="last-line-fails"),
    pytest.param("TAG_PREFIX=raw\nfalse", "raw", id="last-line-is-false"),
    pytest.param("TAG_PREFIX=raw\nreturn 3\nTAG_PREFIX=no", "raw", id="return-leaves-early"),
    pytest.param("nonsense 1 2\nTAG_PREFIX=raw", "raw", id="unknown-command-goes-on"),
    pytest.param("(exit 3); X=$(exit 4); exit | cat; TAG_PREFIX=raw", "raw", id="exit-of-a-subshell"),
    pytest.param("set -e; true; TAG_PREFIX=raw", "raw", id="set-e"),
    pytest.param("set -u; TAG_PREFIX=raw", "raw", id="set-u"),
    pytest.param(
        "set -f; IFS=,; set -- a b; cd /tmp; umask 077; TAG_PREFIX=raw", "raw", id="turned-upside-down"
    ),
    pytest.param("set -o posix; set -o noclobber; TAG_PREFIX=raw", "raw", id="posix"),
    pytest.param("printf() { :; }; echo() { :; }; source() { :; }; TAG_PREFIX=raw", "raw", id="functions"),
    pytest.param("trap 'rm -f /nowhere' EXIT; trap - ERR; TAG_PREFIX=raw", "raw", id="traps-of-its-own"),
    pytest.param("shopt -s extglob\ncase x in !(y|z)) TAG_PREFIX=raw;; esac", "raw", id="extended-patterns"),
    pytest.param("exec 3>/dev/null 9>&3 200>&3; TAG_PREFIX=raw", "raw", id="descriptors"),
    pytest.param("read X; TAG_PREFIX=raw$X", "raw", id="input-is-empty"),
    pytest.param("TAG_PREFIX=$(pwd)$(umask)", "/0022", id="as-an-init-script"),
    pytest.param("TAG_PREFIX=raw\r\n: \r\n", "raw\r", id="carriage-returns-are-data-here"),
    pytest.param("cat <<EOF >/dev/null\nx\nEOF\nTAG_PREFIX=raw", "raw", id="here-document"),
    pytest.param("TAG_PREFIX=raw # no newline at the end", "raw", id="no-newline-at-the-end"),
    pytest.param("", "", id="nothing"),
]


@pytest.mark.parametrize(("text", "expected"), VALUES)
def test_variables_arrive_whatever_the_script_does(value, text, expected):
    """A script that runs to its end is understood; the status of its last line is no error."""
    assert value(text) == expected


def test_side_effects_happen(run, tmp_path):
    """Real ones write the list of servers that they then name."""
    run(f"mkdir -p {tmp_path}/etc\ncat <<'EOF' > {tmp_path}/etc/list\na.example\n$b\nEOF\n")

    assert (tmp_path / "etc" / "list").read_text() == "a.example\n$b\n"


def test_other_files_can_be_sourced(value, write, tmp_path):
    """A script may be made of several."""
    write("more.sh", "TAG_PREFIX=more")

    assert value(f". {tmp_path}/more.sh") == "more"


def test_what_it_writes_does_not_disturb(run):
    """Standard output is dropped, of standard error the last lines are kept, named as the user knows the file."""
    sourced = run(
        "echo TAG_PREFIX=no\nseq 100000\nfor i in 1 2 3 4 5 6 7; do echo e$i >&2; done\nnonsense\nTAG_PREFIX=raw"
    )

    assert sourced.variables["TAG_PREFIX"] == "raw"
    assert sourced.chatter == ("e4", "e5", "e6", "e7", "line 4: nonsense: command not found")


def test_much_output_is_not_kept(run):
    """Megabytes on standard error cost neither memory nor the configuration."""
    sourced = run("yes $(printf '%01000d' 0) | head -c 20000000 >&2\nTAG_PREFIX=raw")

    assert sourced.variables["TAG_PREFIX"] == "raw"
    assert sum(map(len, sourced.chatter)) <= 5 * 300


def test_long_values_arrive(value):
    """More than a pipe holds."""
    assert value("TAG_PREFIX=$(printf '%0900000d' 0)") == "0" * 900000


def test_too_long_values_are_refused(problem):
    """More than any configuration has is not read into memory."""
    assert "its variables hold more than 16 MiB" in problem(
        "X=$(printf '%06000000d' 0); LOGS=$X; TAG_PREFIX=$X; PING_DATA=$X"
    )


def test_variables_of_the_environment_stay_out(run):
    """Only the script sets what is asked for; the rest of the environment is there, as for an init script."""
    environ = {"LOGS": "no", "TAG_PREFIX": "no", "COLOUR": "green", "PATH": os.environ["PATH"]}
    sourced = run("PING_DATA=$COLOUR-$TAG_PREFIX-$LOGS", environ)

    assert sourced.variables == {"LOGS": "", "TAG_PREFIX": "", "PING_DATA": "green--"}


def test_the_environment_does_not_change_bash(value, write):
    """Files and functions that bash would read of its own accord, and options, do not come in that way."""
    environ = {
        "PATH": os.environ["PATH"],
        "BASH_ENV": write("env.sh", "TAG_PREFIX=no; alias true=false"),
        "SHELLOPTS": "noexec:errexit:nounset",
        "BASH_FUNC_hostname%%": "() { echo no; }",
        "NOTIFY_SOCKET": "/run/no",
        "POSIXLY_CORRECT": "1",
    }

    assert value("false; TAG_PREFIX=$(type -t hostname)$NOTIFY_SOCKET$UNSET", environ) == "file"


@pytest.mark.parametrize("path", [{}, {"PATH": ""}, {"PATH": "relative:/nowhere"}])
def test_commands_are_found_whatever_the_path(value, path):
    """cron and init have a short PATH; the usual directories are always searched."""
    assert value("TAG_PREFIX=$(type -t cat)$(type -t chown)", path) == "filefile"


def test_no_terminal(value):
    """There is nobody to answer a question."""
    assert value("TAG_PREFIX=x$(cat /dev/tty 2>/dev/null)") == "x"


def test_signals_are_as_usual(run):
    """A caller that holds signals back does not pass that on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD])
    try:
        sourced = run("TAG_PREFIX=$(grep SigBlk /proc/self/status)")
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM, signal.SIGCHLD])

    assert sourced.variables["TAG_PREFIX"].split() == ["SigBlk:", "0" * 16]


ENDS = [
    pytest.param("A=1\nexit 3\n", "the script ended at line 2 with status 3", id="exit"),
    pytest.param(
        "A=1\nfalse || exit\n", "the script ended at line 2 with status 1", id="exit-without-status"
    ),
    pytest.param(
        "f() {\n  exit 4\n}\n\nf\n", "the script ended at line 2 with status 4", id="exit-in-function"
    ),
    pytest.param("set -e\n\nfalse\n", "the script ended at line 3 with status 1", id="set-e"),
    pytest.param("false\nset -u\necho $NOPE\n", "bash said: line 3: NOPE: unbound variable", id="set-u"),
    pytest.param("exec true\n", "the script ended with status 0, before its last line", id="exec"),
    pytest.param("kill -9 $$\n", "bash was ended by signal 9 (Killed)", id="killed"),
    pytest.param("echo oh no >&2\nexit 1\n", "bash said: oh no", id="its-last-words"),
]


@pytest.mark.parametrize(("text", "expected"), ENDS)
def test_an_end_before_the_end_is_an_error(problem, text, expected):
    """Half a configuration is none; the line is named where bash tells it."""
    assert expected in problem(text)


def test_an_end_in_another_file_names_that(problem, write, tmp_path):
    """The line that ended it may stand elsewhere."""
    other = write("more.sh", "\n\nexit 7\n")

    assert f"the script ended at {other}: line 3 with status 7" in problem(f". {other}")


SYNTAX = [
    pytest.param("if true\nA=1\n", "line 3: syntax error: unexpected end of file", id="if"),
    pytest.param("A=1\nfi\n", "line 2: syntax error near unexpected token `fi'", id="fi"),
    pytest.param("A=1\nLOGS=$(cat <<EOF\nx\nEOF\n", "line ", id="parenthesis"),
    pytest.param("A='x\n", "unexpected EOF while looking for matching `''", id="quote"),
    pytest.param("[master]\n[[log]]\ntag = (\n", "let its name end in .toml", id="toml"),
]


@pytest.mark.parametrize(("text", "expected"), SYNTAX)
def test_a_mistake_in_the_syntax_stops_it_before_it_starts(problem, tmp_path, text, expected):
    """bash would run what stands before the mistake; we let it run nothing."""
    found = problem(f"touch {tmp_path}/ran;{text}")

    assert "bash finds a mistake in it, so nothing of it was run" in found
    assert expected in found
    assert not (tmp_path / "ran").exists()


def test_a_here_document_without_end_is_told(run):
    """bash takes all that follows for its text, and says so; that must reach the user."""
    sourced = run("TAG_PREFIX=raw\ncat <<EOF >/dev/null\nPING_DATA=x\n")

    assert "here-document at line 2 delimited by end-of-file" in sourced.chatter[0]


def test_a_script_that_hangs_is_killed_with_all_that_it_started(problem, tmp_path):
    """The time is limited, and nothing is left; what it waited for is named."""
    began = time.monotonic()
    found = problem(f"sleep 1234 & echo $! > {tmp_path}/pid\nsleep 4321\n", patience=0.5)
    pid = int((tmp_path / "pid").read_text())
    while _is_alive(pid) and time.monotonic() < began + 10:
        time.sleep(0.01)

    assert "the script did not end within 0.5 s, so it was killed with all that it had started" in found
    assert "sleep 4321" in found
    assert not _is_alive(pid)
    assert time.monotonic() - began < 10


def test_what_it_leaves_behind_holds_nobody_up(run, tmp_path):
    """A command in the background lives on, as it did under the init script, and nobody waits for it."""
    began = time.monotonic()
    sourced = run(f"sleep 1000 & echo $! > {tmp_path}/pid\nTAG_PREFIX=raw")
    pid = int((tmp_path / "pid").read_text())
    try:
        assert sourced.variables["TAG_PREFIX"] == "raw"
        assert time.monotonic() - began < 10
        assert _is_alive(pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_flood_from_the_background_holds_nobody_up(run, tmp_path):
    """Not even while it writes without end."""
    sourced = run(f"yes >&2 & echo $! > {tmp_path}/pid\nTAG_PREFIX=raw")
    with contextlib.suppress(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    assert sourced.variables["TAG_PREFIX"] == "raw"


def test_whoever_gives_up_reading_ends_the_script(run, tmp_path):
    """An exception, such as one that a signal handler raises, leaves nothing behind."""

    class GivenUpError(Exception):
        pass

    def give_up(_signum, _frame):
        raise GivenUpError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(GivenUpError):
            run(f"echo $$ > {tmp_path}/pid; while :; do sleep 0.01; done")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert not _is_alive(int((tmp_path / "pid").read_text()))


def test_no_descriptor_and_no_zombie_is_left(run):
    """Reload after reload, the process stays as it was."""
    run("TAG_PREFIX=raw")
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        run("TAG_PREFIX=raw")
        with pytest.raises(ConfigError):
            run("exit 1")

    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_without_a_process_it_says_so(problem, monkeypatch):
    """Where no process can be started, that is a problem of the configuration's reading like all others."""

    def refuse(*_args, **_kwargs):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("fluentlite.config.shell.subprocess.Popen", refuse)
    assert "cannot be started (Resource temporarily unavailable). Raise the limits" in problem(
        "TAG_PREFIX=raw"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("kill -STOP $$", "did not end within 1 s", id="stops-itself"),
        pytest.param(
            "trap '' TERM HUP INT; while :; do :; done", "did not end within 1 s", id="will-not-end"
        ),
        pytest.param("while :; do echo x; done", "did not end within 1 s", id="output-without-end"),
        pytest.param("while :; do echo x >&2; done", "did not end within 1 s", id="errors-without-end"),
        pytest.param("exec 1>&- 2>&- 62>&-; sleep 60", "did not end within 1 s", id="closes-all-and-stays"),
        pytest.param("exec 62>&-", "ended with status", id="closes-the-report"),
        pytest.param(
            "dd if=/dev/zero bs=1M count=64 status=none >&62", "hold more than 16 MiB", id="report-of-nuls"
        ),
    ],
)
def test_whatever_a_script_does_it_ends(problem, text, expected):
    """Time and memory are bounded, whatever a script does with its signals, descriptors and output."""
    before = psutil.Process().memory_info().rss
    began = time.monotonic()

    assert expected in problem(text, patience=1.0)
    assert time.monotonic() - began < 10.0
    assert psutil.Process().memory_info().rss - before < 64 << 20


def test_what_bash_says_moves_no_cursor(problem, run):
    """What a script writes to standard error is told as text, whether it fails or not."""
    text = r"printf '\e[2J\xc2\x9b2J\xe2\x80\xae\n' >&2"
    expected = "\\x1b[2J\\x9b2J\\u202e"

    assert run(text).chatter == (expected,)
    assert f"bash said: {expected}" in problem(f"{text}\nexit 3")


def test_without_bash_it_says_so(problem, monkeypatch):
    """The message names what is missing, where it was looked for, and the other way."""
    monkeypatch.setattr("fluentlite.config.shell._PATH", "/nowhere")
    found = problem("TAG_PREFIX=raw", environ={"PATH": "/nowhere/else"})

    assert found.startswith(
        "bash is needed to read it, as it is a shell script, but there is none in /nowhere/else:/nowhere."
    )
    assert "TOML" in found


def _is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
