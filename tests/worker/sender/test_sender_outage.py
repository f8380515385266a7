"""Whole workers while nothing can be sent: nothing is lost, nothing is in the way, and TERM is obeyed."""

from __future__ import annotations

import signal
import time

import behaviours
import pytest
from behaviours import ack_all
from clients import eventually
from sending import Names, ServerProcess, Worker, forward_settings, large_lines, numbered, size_of
from servers import HOST, ScriptedServer

from fluentlite.config.model import Server

NAME = Server("logs.test", 1)
REFUSED = Server(HOST, 1)


# -- TERM ---------------------------------------------------------------------------------------------


def test_term_while_all_servers_are_down(tmp_path):
    """
    With every server down TERM ends the worker at once; nothing is committed, and the next start delivers all of it
    (S33).
    """
    lines = numbered(1, 1000)
    with ScriptedServer(behaviours.no_ack) as server:
        worker = Worker(tmp_path, forward_settings([server, REFUSED]), stop_timeout=5.0)
        worker.write(*lines)
        with worker:
            server.wait_for(lambda: len(server.lines()) == 1000)
            server.stop()
            eventually(lambda: worker.count("lines wait in the log"))
            assert worker.stop() < 2.0
            assert worker.position() == 0
            assert (
                worker.count("stopped with 1 chunks unacknowledged; they are sent again at the next start")
                == 1
            )

            server.restart(ack_all)
            worker.start()
            server.wait_for(lambda: server.lines(acked=True) == lines)
            worker.stop()
            assert worker.position() == size_of(lines)


def test_term_waits_for_the_ack(tmp_path):
    """
    TERM while an ack is outstanding: nothing more is read, the ack is awaited and committed, and after the next start
    no line arrives a second time (S34).
    """
    lines = numbered(1, 300)

    def ack_when_told(connection):
        arrived = connection.next_chunk()
        while not worker.count("app.log: stopping"):
            connection.pause(0.01)
        worker.write(*lines[100:])
        connection.pause(0.2)
        connection.ack(arrived)
        ack_all(connection)

    with ScriptedServer([ack_when_told, ack_all]) as server:
        worker = Worker(tmp_path, forward_settings([server]), stop_timeout=10.0)
        worker.write(*lines[:100])
        with worker:
            server.wait_for(lambda: server.chunks)
            assert 0.2 <= worker.stop() < 5.0
            assert worker.position() == size_of(lines[:100])
            assert server.lines() == lines[:100]

            worker.start()
            server.wait_for(lambda: len(server.lines()) >= 300)
            worker.stop()
        assert server.lines() == lines
        assert worker.complaints() == []


def test_term_waits_no_longer_than_told(tmp_path):
    """An ack that does not come holds TERM up for stop_timeout, no longer; a second TERM changes nothing (S33, S34)."""
    with ScriptedServer(behaviours.no_ack) as server:
        with Worker(tmp_path, forward_settings([server]), stop_timeout=0.5) as worker:
            worker.write(b"a")
            server.wait_for(lambda: server.chunks)
            worker.signal(signal.SIGTERM)
            assert 0.4 <= worker.stop() < 2.0
            assert worker.position() == 0


def test_term_while_a_server_takes_no_bytes(tmp_path):
    """A server that reads nothing, with a chunk half written, does not keep the worker from ending (S09)."""
    with ServerProcess() as frozen:
        frozen.freeze()
        worker = Worker(
            tmp_path, forward_settings([frozen.address]), stop_timeout=0.5, read_buffer_size=16 << 20
        )
        worker.write(*large_lines(20_000))
        with worker:
            eventually(lambda: frozen.unread() > 100_000)
            assert worker.stop() < 2.0
            assert worker.position() == 0


def test_term_while_connecting(tmp_path, silent_port):
    """Neither a server that answers no connect nor a wait between attempts holds TERM up (S33)."""
    worker = Worker(tmp_path, forward_settings([Server(HOST, silent_port)], connect_timeout=60.0))
    worker.write(b"a")
    with worker:
        assert worker.stop() < 1.0
    waiting = forward_settings([REFUSED], reconnect_wait_max=3600.0, reconnect_wait_incr_rate=1000.0)
    with Worker(tmp_path, waiting) as worker:
        eventually(lambda: worker.count("trying again in") >= 2)
        assert worker.stop() < 1.0


# -- names --------------------------------------------------------------------------------------------


@pytest.fixture
def resolver(tmp_path):
    return Names(tmp_path / "names.json")


def test_worker_follows_a_name_to_its_new_address(tmp_path, resolver):
    """HUP makes a new connection, to the address that the name has now, although the old one still answers (S16)."""
    with ScriptedServer() as old, ScriptedServer() as new:
        resolver[NAME.host] = [(HOST, old.port)]
        with Worker(tmp_path, forward_settings([NAME]), names=resolver) as worker:
            worker.write(b"a")
            old.wait_for(lambda: old.lines() == [b"a"])
            resolver[NAME.host] = [(HOST, new.port)]
            worker.signal(signal.SIGHUP)
            new.wait_for(lambda: new.connections)
            worker.write(b"b")
            new.wait_for(lambda: new.lines() == [b"b"])
            worker.stop()
        assert old.lines() == [b"a"]


def test_resolver_that_hangs_blocks_nothing(tmp_path, resolver):
    """
    While the resolver does not answer, the worker starts, follows rotation, uses no processor time, and obeys TERM;
    when it answers, everything is delivered (S17).
    """
    resolver[NAME.host] = None
    lines = numbered(1, 30)
    with ScriptedServer() as server:
        worker = Worker(tmp_path, forward_settings([NAME], connect_timeout=0.3), names=resolver)
        worker.write(*lines[:10])
        with worker:
            eventually(lambda: worker.count("its name was not resolved within 0.3 s"))
            rotate_twice(worker, lines[10:])
            assert worker.stop() < 1.0

            worker.start()
            eventually(lambda: worker.count("its name was not resolved within 0.3 s") >= 2)
            resolver[NAME.host] = [(HOST, server.port)]
            server.wait_for(lambda: len(server.lines()) == 30)
            worker.stop()
        assert server.lines() == lines


def rotate_twice(worker, lines, day=1):
    """Rotate the log twice, each time with new lines; the worker must hold all three files within a moment."""
    half = len(lines) // 2
    for name, part in (f"app.log-2026010{day}", lines[:half]), (f"app.log-2026010{day + 1}", lines[half:]):
        worker.rotate(name)
        worker.write(*part)
        eventually(lambda: str(worker.path) in worker.descriptors().values(), timeout=2.0)
        eventually(
            lambda name=name: str(worker.path.with_name(name)) in worker.descriptors().values(), timeout=2.0
        )


# -- outages ------------------------------------------------------------------------------------------


def test_long_outage(tmp_path):
    """
    Through an outage of many attempts, with rotations and restarts in it, nothing is given up: when a server is there
    again everything arrives, once and in order (S32).
    """
    lines = numbered(1, 900)
    with ScriptedServer(listening=False) as server:
        worker = Worker(tmp_path, forward_settings([server], reconnect_wait_max=0.05))
        worker.write(*lines[:300])
        with worker:
            eventually(lambda: worker.count("trying again in") >= 10)
            rotate_twice(worker, lines[300:600])
            worker.stop()
            worker.start()
            rotate_twice(worker, lines[600:], day=3)
            eventually(lambda: worker.count("trying again in") >= 25)
            worker.kill()
            worker.start()
            server.restart()
            server.wait_for(lambda: len(server.lines()) >= 900)
            worker.stop()
        assert server.lines() == lines


@pytest.mark.parametrize("state", ["refused", "never acks", "reads nothing"])
def test_backpressure(tmp_path, state):
    """
    While nothing can be delivered and 50 MB are being written, the worker reads no more than what may be in flight:
    its memory stays flat, the writer does not wake it, it hardly uses the processor, and it follows rotation (S31).
    """
    behaviour = {"refused": ack_all, "never acks": behaviours.no_ack, "reads nothing": behaviours.hold}[state]
    with ScriptedServer(behaviour, listening=state != "refused") as server:
        settings = forward_settings([server], ack_response_timeout=60.0, send_timeout=60.0, max_in_flight=2)
        with Worker(tmp_path, settings, read_buffer_size=262_144) as worker:
            worker.write(*large_lines(2000))
            eventually(lambda: worker.count("connected|trying again in"))
            time.sleep(0.2)
            memory, cpu, begin = worker.memory(), worker.cpu(), time.monotonic()
            for _ in range(50):
                worker.write(*large_lines(1000))
                time.sleep(0.01)
            passed = time.monotonic() - begin
            assert worker.cpu() - cpu < 0.1 + 0.05 * passed
            assert worker.memory() - memory < 4 << 20
            wakeups = worker.wakeups()
            for _ in range(400):
                worker.write(b"small")
                time.sleep(0.001)
            assert worker.wakeups() - wakeups < 100
            assert worker.position() == 0

            worker.rotate("app.log.1")
            worker.write(b"new")
            eventually(
                lambda: str(worker.path.with_name("app.log.1")) in worker.descriptors().values(), timeout=2.0
            )
            eventually(lambda: str(worker.path) in worker.descriptors().values(), timeout=2.0)


def test_overload_that_ends(tmp_path):
    """A server that acknowledges nothing for a while gets all of it afterwards, in order, without a gap (S31)."""
    lines = numbered(1, 20_000)
    with ScriptedServer(behaviours.no_ack) as server:
        settings = forward_settings([server], ack_response_timeout=0.2)
        with Worker(tmp_path, settings, read_buffer_size=65536) as worker:
            worker.write(*lines)
            eventually(lambda: worker.count("has acknowledged none of the last 3"))
            assert worker.position() == 0
            server.restart(ack_all)
            server.wait_for(lambda: len(server.lines(acked=True)) >= 20_000)
            eventually(lambda: worker.position() == size_of(lines))
            worker.stop()
        # On a busy host an ack can be overdue again: what is repeated then has its place already.
        assert list(dict.fromkeys(server.lines(acked=True))) == lines
