"""What the service manager is told, on real datagram sockets."""

from __future__ import annotations

import logging
import math
import os
import socket
import time

import pytest

from fluentlite.master import notify
from fluentlite.master.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request, open_dir):
    """A service manager's socket and the name that it puts into NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(10.0)
        if request.param == "path":
            listening.bind(os.path.join(open_dir, "notify"))
            yield listening, listening.getsockname()
        else:
            listening.bind("")  # the kernel chooses an abstract name
            yield listening, "@" + os.fsdecode(listening.getsockname()[1:])


def started(name, **more):
    return Notifier({"NOTIFY_SOCKET": name, **more})


def test_every_change_is_told(manager):
    """Each message is one datagram of assignments, as sd_notify(3) has them, over a path or an abstract name."""
    listening, name = manager
    notifier = started(name)
    notifier.ready("following 2 logs")
    notifier.reloading(123456789)
    notifier.status("1 of 2 logs is behind")
    notifier.watchdog()
    notifier.stopping()

    assert [listening.recv(4096) for _ in range(5)] == [
        b"READY=1\nSTATUS=following 2 logs",
        b"RELOADING=1\nMONOTONIC_USEC=123456789",
        b"STATUS=1 of 2 logs is behind",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]


def test_a_status_is_one_line(manager):
    """A text cannot make an assignment of its own nor move a cursor, and any name of a file can be said."""
    listening, name = manager
    notifier = started(name)
    notifier.status("a\nMAINPID=1\r\nSTOPPING=1")
    notifier.ready("b\nREADY=0")
    notifier.status("\udcff\u00e9\x1b[2J")

    assert [listening.recv(4096) for _ in range(3)] == [
        b"STATUS=a MAINPID=1 STOPPING=1",
        b"READY=1\nSTATUS=b READY=0",
        b"STATUS=\\xff\xc3\xa9\\x1b[2J",
    ]


def test_what_we_start_cannot_speak_for_us(manager):
    """The variables are gone from the environment; nothing else is touched."""
    _, name = manager
    environ = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "PATH": "/bin"}
    Notifier(environ)

    assert environ == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param({}, math.inf, id="not-watched"),
        pytest.param({"WATCHDOG_USEC": "30000000"}, 15.0, id="half"),
        pytest.param({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0, id="us"),
        pytest.param({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, math.inf, id="another"),
        pytest.param({"WATCHDOG_USEC": "0"}, math.inf, id="off"),
        pytest.param({"WATCHDOG_USEC": "-5"}, math.inf, id="negative"),
        pytest.param({"WATCHDOG_USEC": "soon"}, math.inf, id="no-number"),
        pytest.param({"WATCHDOG_USEC": "", "WATCHDOG_PID": ""}, math.inf, id="empty"),
    ],
)
def test_signs_of_life_are_due_at_half_the_time(manager, environ, expected):
    """The interval is half of what is allowed, and only for the process that is watched."""
    _, name = manager

    assert started(name, **environ).watchdog_interval == expected


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"WATCHDOG_USEC": "1000000"}])
def test_without_a_service_manager_nothing_happens(environ, caplog):
    """Where nobody listens nothing is sent, nothing is due, and nothing is said."""
    notifier = Notifier(environ)
    notifier.ready("x")
    notifier.reloading(1)
    notifier.status("x")
    notifier.watchdog()
    notifier.stopping()

    assert notifier.watchdog_interval == math.inf
    assert not caplog.records


def test_an_address_that_we_cannot_use_is_said(caplog):
    """A vsock or a relative name is reported once, with the remedy, and ignored."""
    notifier = Notifier({"NOTIFY_SOCKET": "vsock:2:1234", "WATCHDOG_USEC": "1000000"})
    notifier.ready("x")

    assert [record.getMessage().endswith("Use a Unix socket.") for record in caplog.records] == [True]
    assert notifier.watchdog_interval == math.inf


@pytest.mark.parametrize("name", ["/nonexistent/notify", "@nobody-listens-here", "/" + "x" * 200])
def test_a_service_manager_that_is_gone_does_no_harm(name, caplog):
    """Without a listener nothing is raised; it is said once, however often it is tried (O02)."""
    notifier = started(name)
    for _ in range(50):
        notifier.watchdog()
    notifier.stopping()

    messages = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(messages) == 1
    assert f"cannot be told how we are: {name} (" in messages[0]
    assert "systemctl restart fluentlite" in messages[0]


def test_a_service_manager_that_comes_back_is_told(open_dir, caplog):
    """The address is looked up each time: a service manager that was restarted hears the next message (O02)."""
    name = os.path.join(open_dir, "notify")
    notifier = started(name)
    notifier.watchdog()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(10.0)
        listening.bind(name)
        notifier.watchdog()

        assert listening.recv(100) == b"WATCHDOG=1"
    assert caplog.records[-1].getMessage() == "the service manager can be told again how we are"


def test_a_service_manager_that_does_not_read_does_not_hold_us_up(manager, monkeypatch):
    """With a full queue, signs of life are dropped at once, and changes after a moment."""
    monkeypatch.setattr(notify, "PATIENCE", 0.2)
    listening, name = manager
    notifier = started(name)
    for _ in range(5000):
        notifier.watchdog()
    began = time.monotonic()
    notifier.watchdog()
    at_once = time.monotonic()
    notifier.ready("x")
    after_a_moment = time.monotonic()

    assert at_once - began < 0.1
    assert 0.2 <= after_a_moment - at_once < 5.0
    assert listening.recv(100) == b"WATCHDOG=1"


def test_a_change_waits_for_a_service_manager_that_is_slow(manager):
    """A full queue that is read within the second loses no change of state."""
    listening, name = manager
    notifier = started(name)
    for _ in range(5000):
        notifier.watchdog()
    pid = os.fork()
    if pid == 0:
        try:
            time.sleep(0.1)
            while listening.recv(100) != b"STOPPING=1":
                pass
            os._exit(7)
        finally:
            os._exit(1)
    notifier.stopping()

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
