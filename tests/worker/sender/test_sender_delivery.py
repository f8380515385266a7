"""Whole workers and what they commit: nothing before its ack, nothing out of order, nothing twice without need."""

from __future__ import annotations

import time

import behaviours
from behaviours import ack_all
from clients import eventually
from sending import ServerProcess, Worker, forward_settings, numbered, size_of
from servers import ScriptedServer

# -- a server that dies -------------------------------------------------------------------------------


def test_killed_server_with_bytes_in_its_kernel(tmp_path):
    """What a killed server's kernel had taken is sent again to its successor: with acks nothing is lost (S01)."""
    lines = numbered(1, 1000)
    with ServerProcess() as dying, Worker(tmp_path, forward_settings([dying.address])) as worker:
        worker.write(*lines)
        eventually(lambda: dying.unread() > size_of(lines))
        assert worker.position() == 0
        dying.kill()
        with ScriptedServer(port=dying.port) as server:
            server.wait_for(lambda: len(server.lines()) == 1000)
            eventually(lambda: worker.position() == size_of(lines))
            assert server.lines() == lines


def test_killed_server_without_acks(tmp_path):
    """
    Without acks the position moves when the kernel has the bytes: what was in it when the server died is lost, as
    documented, and everything from then on is delivered (S01).
    """
    lines = numbered(1, 1000)
    with (
        ServerProcess() as dying,
        Worker(tmp_path, forward_settings([dying.address], require_ack_response=False)) as worker,
    ):
        worker.write(*lines[:500])
        eventually(lambda: worker.position() == size_of(lines[:500]))
        dying.kill()
        worker.write(*lines[500:])
        with ScriptedServer(port=dying.port) as server:
            server.wait_for(lambda: len(server.lines()) == 500)
            assert server.lines() == lines[500:]


# -- what is committed --------------------------------------------------------------------------------


def test_acks_in_any_order_commit_in_order(tmp_path):
    """The position moves when the oldest chunk is acknowledged, over all that were acknowledged before it."""
    released, answered = [], []

    def last_one_first(connection):
        chunks = [connection.next_chunk() for _ in range(3)]
        for chunk in reversed(chunks):
            connection.ack(chunk)
            answered.append(chunk)
            while len(released) < len(answered) and not connection.server.stopping.is_set():
                connection.pause(0.01)
        ack_all(connection)

    lines = numbered(1, 2000)
    with ScriptedServer([last_one_first, behaviours.no_ack]) as server:
        worker = Worker(tmp_path, forward_settings([server], max_in_flight=3), read_buffer_size=8192)
        worker.write(*lines)
        with worker:
            for count in (1, 2):
                eventually(lambda count=count: len(answered) == count)
                time.sleep(0.05)
                assert worker.position() == 0
                released.append(True)
            eventually(lambda: worker.position() >= size_of(server.chunks[0].lines()))
            assert worker.position() == size_of([line for one in server.chunks[:3] for line in one.lines()])
            released.append(True)
            eventually(lambda: worker.position() == size_of(lines))
            worker.stop()
        assert server.lines() == lines


# -- ids ----------------------------------------------------------------------------------------------


def test_ids_repeat_after_a_restart(tmp_path):
    """
    After SIGKILL the worker goes on at its position, and what it had sent before it sends under the same ids, where
    the chunks have the same boundaries (S07).
    """
    lines = numbered(1, 5000)

    def two_acks(connection):
        for _ in range(2):
            connection.ack(connection.next_chunk())
        behaviours.no_ack(connection)

    with ScriptedServer(two_acks) as server:
        worker = Worker(tmp_path, forward_settings([server], max_in_flight=3), read_buffer_size=16384)
        worker.write(*lines)
        with worker:
            server.wait_for(lambda: len(server.chunks) == 5)
            eventually(lambda: worker.position() > 0)
            worker.kill()
            server.behave(ack_all)
            worker.start()
            server.wait_for(lambda: len(set(server.lines())) == 5000)
            eventually(lambda: worker.position() == size_of(lines))
            worker.stop()

    ids = server.ids()
    assert ids[5:8] == ids[2:5], "the three chunks that were on their way"
    assert ids[5:] == list(dict.fromkeys(ids[2:])), "and nothing else twice"
    assert server.lines(acked=True) == lines


def test_ids_differ_between_files(tmp_path):
    """The same bytes at the same offset of another file are another chunk (S07)."""
    with ScriptedServer() as server, Worker(tmp_path, forward_settings([server])) as worker:
        worker.write(b"same")
        server.wait_for(lambda: len(server.chunks) == 1)
        worker.rotate("app.log.1")
        worker.write(b"same")
        server.wait_for(lambda: len(server.chunks) == 2)
        assert server.lines() == [b"same", b"same"]
        assert len(set(server.ids())) == 2
        worker.stop()
