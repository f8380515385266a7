"""Stops and restarts: how long they may take, what they say, and what is lost by them, which is nothing."""

import contextlib
import os
import random
import signal
import subprocess
import time

from behaviours import ack_all, no_ack
from following import numbered
from kernel import children, is_alive, process_state, title
from servers import ScriptedServer
from writing import Writing


def test_restarts_under_load(make_daemon, arrivals):
    """Restarts of the whole agent under load, again and again: nothing is lost, nothing is doubled (O05, C04)."""
    names = ("a", "b", "c")
    daemon = make_daemon(*names)
    daemon.start()
    with Writing(daemon, *names) as writing:
        for _ in range(10):
            assert daemon.run("restart").status == 0
    for name in names:
        arrivals.wait_for_lines(name, writing.lines(name))

    assert daemon.said().count("fluentlite started") == 11


def test_a_restart_with_a_broken_configuration(daemon, arrivals):
    """``restart`` looks at the configuration first: a broken one stops nobody (P10)."""
    before = daemon.processes()
    daemon.config["tail"]["poll_intervall"] = 1
    daemon.write_config()
    result = daemon.run("restart")

    assert (result.status, daemon.processes()) == (1, before)
    assert "poll_interval" in result.err


def test_stop_and_restart_when_nothing_runs(make_daemon, arrivals):
    """Without a master ``stop`` has nothing to do and says so; ``restart`` starts one; ``reload`` ends with 7."""
    daemon = make_daemon("a")
    assert daemon.run("reload").status == 7
    result = daemon.run("stop")
    assert (result.status, "not running" in result.out) == (0, True)

    assert daemon.run("restart").status == 0
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])


def test_commands_of_many_at_once(make_daemon, arrivals):
    """
    Whatever commands many users give at one time, under load: each ends, none with a traceback, never do two masters run,
    and no line is lost or doubled (P04, P12, O05).
    """
    daemon = make_daemon("a", "b")
    daemon.announce("reload refused")
    daemon.start()
    verbs = random.Random(3).choices(["start", "stop", "restart", "reload", "status"], k=40)
    commands = []
    with contextlib.ExitStack() as all_ended, Writing(daemon, "a", "b") as writing:
        for verb in verbs:
            how = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
            commands.append(all_ended.enter_context(subprocess.Popen(daemon.command(verb), **how)))
            while sum(command.poll() is None for command in commands) >= 4:
                assert len(masters(daemon)) <= 1
        said = [command.communicate(timeout=60)[1] for command in commands]
    daemon.start()
    for name in ("a", "b"):
        arrivals.wait_for_lines(name, writing.lines(name), 40)

    assert not [text for text in said if "Traceback" in text]
    assert len(daemon.processes()) == 3


def masters(daemon):
    """The processes that call themselves master, but for their children."""
    found = [pid for pid in daemon.processes() if title(pid).startswith("fluentlite: master")]
    return set(found) - {child for pid in found for child in children(pid)}


def test_no_acks(make_daemon):
    """A stop waits no longer than stop_timeout for acks, says what is undelivered, and it is sent again later (P23)."""
    with ScriptedServer(no_ack) as server:
        daemon = make_daemon("a", server=server.address, stop_timeout=1.0)
        daemon.append("a", *numbered(1, 100))
        daemon.start()
        server.wait_for(lambda: len(server.lines()) == 100)
        daemon.eventually(lambda: daemon.row("a")["unacked_chunks"] > 0)
        begin = time.monotonic()
        said = daemon.stop().out
        assert time.monotonic() - begin < 4
        assert f"{12 * 100} bytes of 1 log" in said

        server.restart(ack_all)
        daemon.start()
        server.wait_for(lambda: len(server.lines(acked=True)) == 100)
        assert [line.decode() for line in server.lines(acked=True)] == numbered(1, 100)
        assert "everything is delivered" in daemon.stop().out


def test_all_servers_down(make_daemon, arrivals):
    """Nothing waits for servers that are down: a stop is a matter of a second, however long its timeout (P23)."""
    arrivals.down()
    daemon = make_daemon("a", "b", stop_timeout=30.0)
    daemon.announce("Connection refused; lines wait")
    daemon.start()
    daemon.append("a", *numbered(1, 100))
    daemon.eventually(lambda: daemon.row("a")["lag_bytes"] == 1200)
    begin = time.monotonic()
    assert "1200 bytes of 1 log" in daemon.stop().out
    assert time.monotonic() - begin < 3

    arrivals.up()
    daemon.start()
    arrivals.wait_for_lines("a", numbered(1, 100))


def test_a_suspended_worker(daemon):
    """A worker that was suspended by a signal is woken up to finish (P23)."""
    worker = daemon.worker("a")
    os.kill(worker, signal.SIGSTOP)
    daemon.eventually(lambda: process_state(worker) == "T")
    daemon.stop()

    assert "SIGKILL" not in daemon.said()


def test_a_suspended_master(daemon):
    """A master that does not answer is killed after --timeout, its workers with it, and ``stop`` says so (P23)."""
    master = daemon.master()
    os.kill(master, signal.SIGSTOP)
    begin = time.monotonic()
    result = daemon.run("stop", "--timeout", "1")

    assert (result.status, daemon.processes()) == (0, [])
    assert "killed" in result.out + result.err
    assert time.monotonic() - begin < 5
    assert not is_alive(master)


def test_a_silent_server_shows(make_daemon):
    """
    A server that takes lines and acknowledges none shows in ``status``: position, lag, the age of the oldest chunk; and
    --strict fails (O03).
    """
    with ScriptedServer(no_ack) as server:
        daemon = make_daemon(
            "a", server=server.address, stop_timeout=0.2, forward={"ack_response_timeout": 1.0}
        )
        daemon.announce("lines wait in the log")
        daemon.append("a", *numbered(1, 100))
        daemon.start()
        daemon.eventually(lambda: daemon.row("a")["last_error"])
        row = daemon.row("a")
        result = daemon.run("status", "--strict")

    assert (row["lag_bytes"], row["position"], row["lines"]) == (1200, 0, 0)
    assert row["unacked_chunks"] > 0
    assert server.address in row["last_error"]
    assert result.status == 2
    assert server.address in result.out
