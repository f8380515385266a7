"""``fluentlite status`` as a user and a script see it, against something that answers like a master."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from fake_master import FakeMaster
from statuses import MASTER_KEYS, WORKER_KEYS, answer, connecting, restarting, worker

from fluentlite.config.model import MasterSettings
from fluentlite.status_answer import NOT_RUNNING, UNKNOWN, NoStatusError, ask_status

STATUS = [sys.executable, "-m", "fluentlite", "status"]


@pytest.fixture
def config(tmp_path):
    """A configuration whose run_dir is in tmp_path."""
    path = tmp_path / "fluentlite.toml"
    path.write_text(f"""
        [master]
        run_dir = "{tmp_path}/run"
        log_file = "{tmp_path}/own.log"
        [forward]
        primary = ["127.0.0.1"]
        [[log]]
        tag = "t"
        path = "{tmp_path}/a.log"
    """)
    return path


@pytest.fixture
def make_master(tmp_path):
    """Make a :class:`FakeMaster` with the answer it gets."""
    with contextlib.ExitStack() as stack:

        def make(said):
            master = FakeMaster(tmp_path / "run", said)
            stack.callback(master.stop)
            return master

        yield make


def status(config, *words, environ=None, **options):
    """Run ``fluentlite status``; returns (exit status, standard output, standard error)."""
    done = subprocess.run(
        [*STATUS, "-c", str(config), *words],
        capture_output=True,
        text=True,
        env={**os.environ, **(environ or {})},
        timeout=60,
        stdin=subprocess.DEVNULL,
        **options,
    )
    return done.returncode, done.stdout, done.stderr


# -- exit statuses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "words", "expected"),
    [
        pytest.param([worker()], [], 0, id="well"),
        pytest.param([worker()], ["--strict"], 0, id="well-strict"),
        pytest.param([worker("a"), connecting("b")], [], 0, id="unwell"),
        pytest.param([worker("a"), connecting("b")], ["--strict"], 2, id="unwell-strict"),
        pytest.param([worker("a"), connecting("b")], ["--strict", "--json"], 2, id="unwell-strict-json"),
    ],
)
def test_a_running_master(config, make_master, workers, words, expected):
    """A master that answers is status 0, whatever its workers do; --strict makes 2 of one that is not well (O03)."""
    make_master(answer(*workers)).listen()
    code, out, err = status(config, *words)

    assert (code, err) == (expected, "")
    assert "t" in out


def test_no_master(config, tmp_path):
    """Without pid file and socket it is status 3, with what to do."""
    code, out, err = status(config)

    assert (code, out) == (3, "")
    assert f"fluentlite is not running: nobody listens at {tmp_path}/run/fluentlite.sock" in err
    assert "fluentlite start" in err


def test_a_dead_master(config, make_master, tmp_path):
    """A pid file and a socket that nobody holds any more are status 1, whoever has that pid now (P03)."""
    master = make_master(answer(worker())).listen()
    master.die()
    master.pid_path.write_text("1\n")
    code, out, err = status(config)

    assert (code, out) == (1, "")
    for expected in (
        "is not running",
        "fluentlite.pid is still there",
        f"{tmp_path}/own.log",
        "fluentlite start",
    ):
        assert expected in err


def test_a_silent_master(config, make_master):
    """A master that takes the question and gives no answer is unknown, after five seconds, and is named by its pid."""
    make_master(None).listen()
    code, out, err = status(config)

    assert (code, out) == (4, "")
    assert f"(pid {os.getpid()}) did not answer" in err
    assert "within 5 s" in err


def test_an_answer_that_is_none(config, make_master):
    """An answer of something else is unknown, not a traceback."""
    make_master({"ok": False, "problems": ["go away"]}).listen()

    assert status(config) == (4, "", "fluentlite status: the master refused to answer: go away\n")


def test_a_master_that_is_just_starting(make_master, tmp_path):
    """Whoever holds the pid file and does not yet listen gets time to do so."""
    master = make_master(answer(worker()))
    timer = threading.Timer(0.3, master.listen)
    timer.start()
    try:
        assert ask_status(MasterSettings(run_dir=str(tmp_path / "run")), 10.0) == answer(worker())
    finally:
        timer.join()


def test_a_master_that_does_not_listen(make_master, tmp_path):
    """Whoever holds the pid file and never listens is unknown, and nobody is told to start another one (P03)."""
    make_master(answer(worker()))
    with pytest.raises(NoStatusError, match=rf"process {os.getpid()} holds .*fluentlite\.pid") as caught:
        ask_status(MasterSettings(run_dir=str(tmp_path / "run")), 0.3)

    assert caught.value.exit_status == UNKNOWN
    assert "fluentlite start" not in str(caught.value)


def test_a_master_that_stops_while_it_is_asked(make_master, tmp_path):
    """One that was about to end is not running when it has."""
    master = make_master(answer(worker()))
    timer = threading.Timer(0.3, master.stop)
    timer.start()
    try:
        with pytest.raises(NoStatusError) as caught:
            ask_status(MasterSettings(run_dir=str(tmp_path / "run")), 10.0)
    finally:
        timer.join()

    assert caught.value.exit_status == NOT_RUNNING


@contextlib.contextmanager
def somebody_else():
    """Have no rights to what root owns; other users have none to what has no mode."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_somebody_who_may_not_ask(make_master, tmp_path):
    """Who may not use the socket is told whom to be or what to change, and it is not called dead."""
    master = make_master(answer(worker())).listen()
    master.socket_path.chmod(0)
    with somebody_else(), pytest.raises(NoStatusError, match="may not use the control socket") as caught:
        ask_status(MasterSettings(run_dir=str(tmp_path / "run")), 1.0)

    assert caught.value.exit_status == UNKNOWN
    assert "Ask as root" in str(caught.value)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["--wacth"], "--wacth", id="unknown"),
        pytest.param(["everything"], "everything", id="operand"),
        pytest.param(["--json", "--watch"], "do not go together", id="contradiction"),
    ],
)
def test_misuse_is_no_answer(config, make_master, words, expected):
    """Words that are not understood are status 4: 1, 2 and 3 would say something of the daemon."""
    make_master(answer(worker())).listen()
    code, out, err = status(config, *words)

    assert (code, out) == (4, "")
    assert expected in err


# -- what is shown ------------------------------------------------------------------------------------------


def test_json_is_one_object(config, make_master):
    """--json prints one object with the documented keys and nothing else, in ASCII, whatever is in it."""
    said = answer({**worker("日\x1b[2J\udcff"), "colour": "blue"}, reload_error="f.toml: broken")
    make_master(said).listen()
    code, out, err = status(config, "--json", environ={"PYTHONIOENCODING": "latin-1"})
    shown = json.loads(out)

    assert (code, err) == (0, "")
    assert out.isascii()
    assert "\x1b" not in out
    assert list(shown["master"]) == MASTER_KEYS
    assert list(shown["workers"][0]) == WORKER_KEYS
    assert shown["workers"][0] == {key: said["workers"][0][key] for key in WORKER_KEYS}
    assert shown["master"] == said["master"]


def test_a_thousand_workers(config, make_master):
    """A thousand logs are a thousand rows, those without a server on top."""
    workers = [connecting(f"t{n:03}") if n % 100 == 7 else worker(f"t{n:03}") for n in range(1000)]
    make_master(answer(*workers)).listen()
    code, out, _err = status(config)
    rows = [line.split()[0] for line in out.splitlines() if line.startswith("t") and "state" not in line]

    assert code == 0
    assert "10 of 1000 logs are NOT well." in out
    assert len(rows) == 1000
    assert rows[:10] == [f"t{n:03}" for n in range(7, 1000, 100)]


def test_the_start_is_told_in_local_time(config, make_master):
    """The head says since when the master runs, by the clock of this host."""
    make_master(answer(worker(), started_at="2026-11-20T02:12:45+00:00")).listen()

    assert "since Fri 2026-11-20 05:12:45" in status(config, environ={"TZ": "XXX-3"})[1]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_any_encoding_of_the_output(config, make_master, encoding):
    """Where the output cannot hold a character, its number stands there."""
    make_master(answer(worker("日é"))).listen()
    done = subprocess.run(
        [*STATUS, "-c", str(config)], capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert ("日é" if encoding == "utf-8" else "\\u65e5\\xe9").encode() in done.stdout


def test_a_configuration_that_became_broken(config, make_master):
    """What is wrong elsewhere in the configuration does not hide the master that runs with an older one (P10)."""
    make_master(answer(worker(), reload_error="f.toml: broken")).listen()
    config.write_text(config.read_text() + "\n[tail]\npoll_intervall = 1\n")
    code, out, _err = status(config)

    assert code == 0
    assert "The last reload FAILED" in out


def test_an_old_configuration_is_not_run(tmp_path):
    """A shell configuration is not sourced for a status: its commands have effects."""
    config = tmp_path / "old.conf"
    config.write_text(f"touch {tmp_path}/effect\n")
    _code, _out, err = status(config)

    assert not (tmp_path / "effect").exists()
    assert "Traceback" not in err


def test_closed_outputs(config, make_master):
    """A script that closes standard error, or stops reading, gets no traceback (and the first one its exit status)."""
    words = " ".join([*STATUS, "-c", str(config)])
    done = subprocess.run(["sh", "-c", f"{words} 2>&-"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (3, "")

    make_master(answer(*(restarting(f"t{n}", last_error=f"e {n}") for n in range(2000)))).listen()
    done = subprocess.run(["sh", "-c", f"{words} | head -1"], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("fluentlite 0.1.0, master 4711")
    assert done.stderr == ""


def test_waiting_can_be_interrupted(config, make_master):
    """Ctrl-C while a master does not answer ends the command as it ends any other, without a traceback."""
    master = make_master(None).listen()
    process = subprocess.Popen([*STATUS, "-c", str(config)], stderr=subprocess.PIPE, text=True)
    while not master.asked and process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=10)

    assert (process.returncode, err) == (-signal.SIGINT, "")


def test_help(config):
    """--help explains states, columns and exit statuses."""
    code, out, err = status(config, "--help")

    assert (code, err) == (0, "")
    for expected in ("--watch", "catching up", "restarting", "unacked", "3 it does not run"):
        assert expected in out
    assert max(map(len, out.splitlines())) <= 100
