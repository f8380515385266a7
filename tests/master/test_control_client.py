"""Asking a master: one that answers, one that does not, and none."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time

import pytest
from asking import Served, as_stranger
from strangers import IS_ROOT, MALLORY, impostor, process_of

from fluentlite.control_client import (
    MAX_ANSWER,
    ImpostorError,
    NoAnswerError,
    NotRunningError,
    Running,
    ask,
    ask_master,
    pid_of_answering,
    problems_of,
)
from fluentlite.errors import FluentliteError, StateError
from fluentlite.stopping import stop


@contextlib.contextmanager
def serving(path, answers=None):
    """A control server that turns in a thread."""
    served = Served(path, answers)
    is_over = threading.Event()

    def turn():
        while not is_over.is_set():
            served.loop.wait(0.01)

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield served
    finally:
        is_over.set()
        thread.join()
        served.close()


@contextlib.contextmanager
def scripted(path, answer, *, reads=True):
    """A server that answers its only client with *answer*, as bytes, and closes; with None it says nothing."""
    is_over = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve():
            client, _ = listener.accept()
            with client:
                if reads:
                    client.recv(4096)
                if answer is None:
                    is_over.wait(20.0)
                else:
                    client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()


def test_an_answer_is_returned_as_it_came(open_dir, socket_file):
    """The answer to each command is the object that the master sent."""
    answers = {"status": {"workers": [1]}, "reload": {"ok": False, "problems": ["a"]}, "stop": {"ok": True}}
    with serving(socket_file, answers) as served:
        assert {command: ask(open_dir, command, 10.0) for command in answers} == answers
        assert served.asked == list(answers)


def test_a_megabyte_is_read_whole(open_dir, socket_file):
    """The status of a thousand workers comes whole, in less than a second (O03)."""
    status = {"workers": [{"path": "x" * 1000}] * 1000}
    with serving(socket_file, {"status": status}):
        began = time.monotonic()
        assert ask(open_dir, "status", 10.0) == status
        assert time.monotonic() - began < 1.0


def test_an_unknown_command_is_an_answer(open_dir, socket_file):
    """What the master refuses comes as its problems."""
    with serving(socket_file):
        assert ask(open_dir, "dance", 10.0)["ok"] is False


def test_a_hundred_ask_at_once(open_dir, socket_file):
    """A hundred clients in the same moment are all answered."""
    found = []
    with serving(socket_file, {"status": {"ok": True}}):
        threads = [
            threading.Thread(target=lambda: found.append(ask(open_dir, "status", 20.0))) for _ in range(100)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert found == [{"ok": True}] * 100


def test_an_answer_that_does_not_wait_for_the_question_is_read(open_dir, socket_file):
    """A master with too many clients answers and closes at once: its answer counts, not the broken connection."""
    for _ in range(20):
        with scripted(socket_file, b'{"ok": false, "problems": ["too many"]}\n', reads=False):
            assert ask(open_dir, "status", 10.0) == {"ok": False, "problems": ["too many"]}
        os.unlink(socket_file)


# -- nobody there -----------------------------------------------------------------------------------------


def _no_socket(path):
    pass


def _stale_socket(path):
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)


def _regular_file(path):
    open(path, "w").close()


@pytest.mark.parametrize("make", [_no_socket, _stale_socket, _regular_file])
def test_nobody_listens(open_dir, socket_file, make):
    """Without a listener the error says that nothing runs, where that was looked for, and how to start."""
    make(socket_file)
    with pytest.raises(
        NotRunningError, match=r"not running: nobody listens at .*fluentlite\.sock.*fluentlite start.*-c"
    ):
        ask(open_dir, "status", 10.0)


@pytest.mark.parametrize("name", ["missing", "file/below"])
def test_no_directory(open_dir, name):
    """No run_dir: nothing runs."""
    open(os.path.join(open_dir, "file"), "w").close()
    with pytest.raises(NotRunningError):
        ask(os.path.join(open_dir, name), "status", 10.0)


def test_not_running_is_an_error_of_ours():
    """The commands turn both errors into a message and an exit status."""
    assert issubclass(NotRunningError, StateError)
    assert issubclass(NoAnswerError, StateError)


# -- somebody there, but no answer ------------------------------------------------------------------------


def test_a_silent_master(open_dir, socket_file):
    """A master that is suspended: no answer in time, its pid, and what to look at (P14)."""
    began = time.monotonic()
    with (
        scripted(socket_file, None),
        pytest.raises(NoAnswerError, match=r'did not answer "stop" within 0.2 s.*ps -o stat') as caught,
    ):
        ask(open_dir, "stop", 0.2)

    assert caught.value.pid == os.getpid()
    assert f"(pid {os.getpid()})" in str(caught.value)
    assert 0.2 <= time.monotonic() - began < 5.0


def test_a_master_that_drips(open_dir, socket_file):
    """The time-out is for the whole answer: bytes that keep coming do not put it off."""
    is_over = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(socket_file)
        listener.listen()

        def drip():
            client, _ = listener.accept()
            with client, contextlib.suppress(BrokenPipeError):
                while not is_over.wait(0.02):
                    client.send(b" ")

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(NoAnswerError, match=r"within 0\.3 s"):
            ask(open_dir, "status", 0.3)
        is_over.set()
        thread.join()


def test_a_master_whose_queue_is_full(open_dir, socket_file):
    """A master that accepts nobody does not hold us up for ever."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(socket_file)
        listener.listen(0)
        first.connect(socket_file)
        with pytest.raises(NoAnswerError, match=r"did not accept a connection within 0\.2 s") as caught:
            ask(open_dir, "status", 0.2)

    assert caught.value.pid is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(b"", "the connection was closed", id="closed"),
        pytest.param(b'{"ok": true', "closed before its end", id="half"),
        pytest.param(b'{"ok": true}', "closed before its end", id="no-newline"),
        pytest.param(b"hello\n", "Expecting value", id="no-json"),
        pytest.param(b"[1]\n", "no JSON object", id="list"),
        pytest.param(b"\xff\n", "decode", id="not-utf8"),
        pytest.param(b'{"ok":' + b"[" * 100_000 + b"\n", "nested too deeply", id="deep"),
        pytest.param(b'{"ok":' + b"9" * 5000 + b"}\n", "digits", id="very-long-number"),
    ],
)
def test_an_answer_that_is_none(open_dir, socket_file, answer, reason):
    """Half an answer is never taken for a whole one."""
    with (
        scripted(socket_file, answer),
        pytest.raises(
            NoAnswerError, match=f'gave no answer to "reload" that can be understood .*{reason}'
        ) as caught,
    ):
        ask(open_dir, "reload", 10.0)

    assert caught.value.pid == os.getpid()


def test_an_answer_without_end(open_dir, socket_file):
    """What answers without end is left at 16 MiB: it cannot fill the memory of who asks, nor keep him."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(socket_file)
        listener.listen()

        def flood():
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError):  # it leaves
                while True:
                    client.sendall(b" " * (1 << 20))

        thread = threading.Thread(target=flood)
        thread.start()
        began = time.monotonic()
        with pytest.raises(NoAnswerError, match=f"it is longer than {MAX_ANSWER} bytes"):
            ask(open_dir, "status", 20.0)
        thread.join()

    assert time.monotonic() - began < 10.0


# -- who answers is not believed ------------------------------------------------------------------------


STATUS = {"master": {"pid": 1, "config": "/etc/f.toml", "is_stopping": True}, "workers": []}


def test_the_pid_is_the_kernels(open_dir, socket_file):
    """Who listens is known from the kernel: an impostor cannot name the process that ``stop`` signals."""
    with serving(socket_file, {"status": STATUS}):
        assert ask_master(open_dir, 10.0) == Running(os.getpid(), "/etc/f.toml", True)


@pytest.mark.parametrize(
    ("master", "expected"),
    [
        pytest.param({}, ("", False), id="nothing"),
        pytest.param({"pid": "x", "config": 7, "is_stopping": 1}, ("", False), id="other-types"),
        pytest.param({"config": "/a\0b", "is_stopping": None}, ("", False), id="nul"),
        pytest.param({"pid": -1, "config": "/a", "is_stopping": False}, ("/a", False), id="everybodys-pid"),
    ],
)
def test_a_master_that_says_nonsense(open_dir, socket_file, master, expected):
    """What has another type counts as not said."""
    with serving(socket_file, {"status": {"master": master, "workers": []}}):
        assert ask_master(open_dir, 10.0) == Running(os.getpid(), *expected)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"ok": False, "problems": ["too many others are asking"]}, "refused to answer: too many others"),
        ({"ok": True}, "is no status"),
        ({"master": [], "workers": {}}, "is no status"),
    ],
)
def test_no_status_is_said(open_dir, socket_file, answer, reason):
    """A refusal in place of the status, as a crowd of strangers can bring about, is told and not stumbled over."""
    with serving(socket_file, {"status": answer}), pytest.raises(NoAnswerError, match=reason):
        ask_master(open_dir, 10.0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"ok": True, "problems": ["x"]}, []),
        ({"problems": ["x\x1b[2J", 7, {"a": []}]}, ["x\\x1b[2J", "7", "{'a': []}"]),
        ({"ok": False}, ["it was refused without a reason"]),
        ({"ok": 0, "problems": "x"}, ["it was refused without a reason"]),
        ({"problems": ["x" * 100_000]}, ["x" * 4096]),
    ],
)
def test_problems_are_harmless(answer, expected):
    """Whatever stands among the problems is told as text that moves no cursor, and not without end."""
    assert problems_of(answer) == expected


# -- we may not -------------------------------------------------------------------------------------------


def _refusal(run_dir):
    try:
        return ask(run_dir, "status", 10.0)
    except FluentliteError as exc:
        return [type(exc).__name__, str(exc)]


@pytest.mark.parametrize("what", ["directory", "socket"])
def test_who_may_not_use_the_socket(open_dir, socket_file, what):
    """A forbidden socket or directory is not "not running": it is said who asks, and the remedy."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(socket_file)
        listener.listen()
        os.chmod(open_dir if what == "directory" else socket_file, 0)
        name, text = as_stranger(lambda: _refusal(open_dir))
        os.chmod(open_dir, 0o755)

    assert name == "FluentliteError"
    assert "may not use the control socket (Permission denied)" in text
    assert "Ask as root or as the user who started fluentlite" in text


def test_a_path_that_is_too_long(tmp_path):
    """The kernel takes 107 bytes of path; the remedy is a shorter run_dir."""
    with pytest.raises(StateError, match="Choose a shorter run_dir"):
        ask(str(tmp_path / ("d" * 108)), "status", 10.0)


def test_other_users_get_the_status(open_dir, socket_file):
    """Another user asks over the client as well as the owner does (O03)."""
    with serving(socket_file, {"status": json.loads('{"workers": []}')}):
        assert as_stranger(lambda: ask(open_dir, "status", 10.0)) == {"workers": []}


# -- somebody else there ----------------------------------------------------------------------------------


@pytest.fixture
def not_us(monkeypatch):
    """Without root the impostor is we, and we believe to be somebody else."""
    if not IS_ROOT:
        us = os.getuid()
        monkeypatch.setattr(os, "geteuid", lambda: us + 1)


def _claim(pid):
    return lambda _own_pid: {"ok": True, "master": {"pid": pid, "config": "/etc/x.toml"}}


def test_an_impostor_is_told_nothing(open_dir, socket_file, not_us):
    """Whoever has put his socket into a run_dir where he may write is not asked anything, and not believed (P03)."""
    os.chmod(open_dir, 0o777)
    with (
        process_of(MALLORY, impostor(socket_file, _claim(1))),
        pytest.raises(
            ImpostorError, match=r"answers there \(pid \d+\), whose directory this is not: it is no fl"
        ),
    ):
        ask(open_dir, "stop", 10.0)

    assert not os.path.exists(f"{socket_file}.asked")


def test_another_users_own_fluentlite_is_believed(open_dir, socket_file, not_us):
    """Root, and everybody else, may ask the fluentlite of a user who has its run_dir for himself (O03)."""
    if IS_ROOT:
        os.chown(open_dir, MALLORY.pw_uid, -1)
    with process_of(MALLORY, impostor(socket_file, _claim(1))):
        assert ask(open_dir, "status", 10.0)["ok"] is True


def test_a_pid_that_is_only_claimed_is_not_signalled(open_dir, socket_file, not_us):
    """A master without pid file is known by its pid as the kernel tells it, never by what it says it is (P03)."""
    if IS_ROOT:
        os.chown(open_dir, MALLORY.pw_uid, -1)
    with process_of(MALLORY, impostor(socket_file, lambda own: _claim(own)(own))) as pid:
        if IS_ROOT:
            assert pid_of_answering(open_dir, 10.0) == pid
    os.unlink(socket_file)
    with process_of(MALLORY, impostor(socket_file, _claim(os.getpid()))):
        with pytest.raises(
            ImpostorError, match="not sure which process answers there, so none was signalled"
        ):
            pid_of_answering(open_dir, 10.0)
        with pytest.raises(ImpostorError):
            stop(open_dir, 1.0)
