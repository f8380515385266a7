"""What a worker says of itself while it works: its state, what is behind, and what is wrong."""

import signal
import time

import psutil
import pytest
from behaviours import close_after, no_ack
from clients import eventually
from disks import BadSpots
from scored import Scored
from sending import forward_settings
from servers import ScriptedServer, ack_all

from fluentlite.worker import score as score_module
from fluentlite.worker.checkpoint import Checkpoint

LINES = [b"line %04d\n" % number for number in range(1000)]


@pytest.fixture
def server():
    with ScriptedServer() as server:
        yield server
        assert not server.errors


def test_following(tmp_path, server):
    """A worker that has delivered all there is follows; its numbers are those of the log."""
    worker = Scored(tmp_path, forward_settings([server]))
    size = worker.append(*LINES)
    with worker:
        score = worker.wait_for(lambda score: score.lines == 1000)

        assert (score.state, score.server, score.last_error) == ("following", server.address, "")
        assert (score.bytes, score.position, score.lag_bytes) == (size, size, 0)
        assert score.chunks == len(server.chunks)
        assert (score.unacked_chunks, score.oldest_unacked, score.reconnects, score.resent_chunks) == (0, 0.0, 0, 0)  # fmt: skip
        assert worker.started_at < score.heartbeat <= time.monotonic()

        more = worker.append(b"one more\n")
        score = worker.wait_for(lambda score: score.lines == 1001)
        assert score.position == more


def test_waiting_for_file(tmp_path, server):
    """Without a file it waits for one, and says which; once it is there it follows."""
    with Scored(tmp_path, forward_settings([server]), poll_interval=0.05) as worker:
        score = worker.wait_for(lambda score: score.state == "waiting_for_file")
        assert str(worker.path) in score.last_error
        assert "no such file" in score.last_error

        worker.append(b"there it is\n")
        score = worker.wait_for(lambda score: score.lines == 1)
        assert (score.state, score.last_error) == ("following", "")


def test_a_file_that_cannot_be_read(tmp_path, server):
    """What lies at the path and is no log is waited for as well, with the reason (T37)."""
    (tmp_path / "app.log").mkdir()
    with Scored(tmp_path, forward_settings([server]), poll_interval=0.05) as worker:
        score = worker.wait_for(lambda score: score.state == "waiting_for_file")
        assert "cannot be opened" in score.last_error


def test_a_worker_on_a_dying_disk(tmp_path, monkeypatch):
    """The whole worker: its status says it, it idles meanwhile, follows a rotation, obeys TERM, and goes on later (T35, O03)."""
    lines = [b"line %06d\n" % number for number in range(1, 101)]
    with ScriptedServer() as server:
        worker = Scored(tmp_path, forward_settings([server]), poll_interval=0.05, rotate_wait=0.1)
        worker.append(*lines)
        inode, bad = worker.path.stat().st_ino, BadSpots(monkeypatch)
        bad.add(worker.path, 600)
        with worker:
            score = worker.wait_for(lambda score: score.lines == 50 and score.last_error)
            assert f"{worker.path} (inode {inode}): it cannot be read at offset 600" in score.last_error
            assert score.lag_bytes == 600
            worker.path.rename(tmp_path / "app.log.1")
            worker.append(b"newer\n")
            score = worker.wait_for(lambda score: score.lines == 51)
            begin, process = psutil.Process(worker.pid).cpu_times(), psutil.Process(worker.pid)
            for number in range(10):
                worker.append(b"and %d\n" % number)
                worker.wait_for(lambda score, number=number: score.lines == 52 + number)
            assert sum(process.cpu_times()[:2]) - sum(begin[:2]) < 0.5
            assert "it cannot be read at offset 600" in worker.score.last_error
            assert worker.score.position == 600
            worker.signal(signal.SIGTERM)
            status, seconds = worker.wait()
            assert (status, seconds < 5) == (0, True)
            worker.leave_alone()
            bad.mend()
            worker.start()
            eventually(lambda: len(server.lines()) >= 111)

        assert {line.rstrip() for line in lines} < set(server.lines())
        assert len(server.lines()) == 111, "and none twice"
        assert not server.errors


def test_a_deleted_file_with_lines_left_is_no_reason_to_wait(tmp_path):
    """While something is left of a deleted file, the worker is not waiting for a file (T33)."""
    with ScriptedServer(no_ack) as server:
        worker = Scored(tmp_path, forward_settings([server], max_in_flight=1), read_buffer_size=4096, poll_interval=0.05)  # fmt: skip
        size = worker.append(*LINES)
        with worker:
            worker.wait_for(lambda score: score.unacked_chunks)
            worker.path.unlink()
            score = worker.wait_for(lambda score: "no such file" in score.last_error)

            assert (score.state, score.lag_bytes) == ("catching_up", size)


def test_connecting(tmp_path):
    """Without a server it is connecting: nothing is delivered, all of it is behind, and the server is named."""
    with ScriptedServer(listening=False) as server:
        worker = Scored(tmp_path, forward_settings([server]), poll_interval=0.05)
        size = worker.append(*LINES)
        with worker:
            score = worker.wait_for(lambda score: score.last_error)
            assert (score.state, score.server, score.lines, score.position) == ("connecting", "", 0, 0)
            assert score.lag_bytes == size
            assert score.last_error.startswith(server.address)

            size = worker.append(b"more\n")
            worker.wait_for(lambda score: score.lag_bytes == size)
            server.restart()
            score = worker.wait_for(lambda score: score.lines == 1001)
            assert (score.state, score.lag_bytes, score.last_error) == ("following", 0, "")


def test_an_idle_log_does_not_hold_an_old_grudge(tmp_path):
    """A server that is back is no trouble any more, though no line has proved it yet."""
    with ScriptedServer(listening=False) as server, Scored(tmp_path, forward_settings([server])) as worker:
        worker.append(b"")
        worker.wait_for(lambda score: server.address in score.last_error)

        server.restart()
        score = worker.wait_for(lambda score: score.state == "following")
        assert (score.server, score.last_error) == (server.address, "")


def test_catching_up(tmp_path):
    """More behind than one chunk is catching up; what is on its way is counted, with its age."""
    with ScriptedServer(no_ack) as server:
        worker = Scored(tmp_path, forward_settings([server], max_in_flight=2), read_buffer_size=4096)
        size = worker.append(*LINES)
        with worker:
            score = worker.wait_for(lambda score: score.unacked_chunks == 2)

            assert (score.state, score.lag_bytes, score.lines, score.position) == ("catching_up", size, 0, 0)
            assert worker.started_at < score.oldest_unacked <= score.heartbeat
            assert score.last_error == ""


def test_a_partial_line_is_nothing_behind(tmp_path, server):
    """A line without its end can not be delivered: it is no lag, and the position is before it."""
    worker = Scored(tmp_path, forward_settings([server]))
    size = worker.append(*LINES)
    worker.append(b"not yet a line" * 1000)
    with worker:
        score = worker.wait_for(lambda score: score.lines == 1000)
        assert (score.state, score.position, score.lag_bytes) == ("following", size, 0)


def test_generations_count_together(tmp_path):
    """What is behind is behind in all generations; the position is the oldest one's (T03)."""
    with ScriptedServer([no_ack]) as server:
        worker = Scored(tmp_path, forward_settings([server], max_in_flight=1), poll_interval=0.05)
        worker.append(*LINES)
        with worker:
            worker.wait_for(lambda score: score.unacked_chunks == 1)
            worker.path.rename(tmp_path / "app.log.1")
            worker.append(*LINES[:10])
            score = worker.wait_for(lambda score: score.lag_bytes == 10 * 1010)
            assert (score.state, score.position) == ("following", 0)


def test_resent_and_reconnected(tmp_path):
    """Connections after the first are counted, and so are chunks that are sent again."""
    with ScriptedServer([close_after(1), ack_all]) as server:
        with Scored(tmp_path, forward_settings([server])) as worker:
            worker.append(b"one\n")
            worker.wait_for(lambda score: score.lines == 1)
            worker.append(b"two\n")
            score = worker.wait_for(lambda score: score.lines == 2)
            assert (score.reconnects, score.resent_chunks, score.chunks) == (1, 1, 2)


def test_stopping(tmp_path):
    """Told to stop while a server owes it acks, it is stopping, and still alive."""
    with ScriptedServer(no_ack) as server:
        worker = Scored(tmp_path, forward_settings([server]), stop_timeout=30.0)
        worker.append(b"one\n")
        with worker:
            worker.wait_for(lambda score: score.unacked_chunks == 1)
            worker.signal(signal.SIGTERM)
            score = worker.wait_for(lambda score: score.state == "stopping")
            assert score.unacked_chunks == 1


def test_starting(tmp_path, server):
    """While another process holds the checkpoint it is starting, and shows that it lives (P02)."""
    worker = Scored(tmp_path, forward_settings([server]))
    held = Checkpoint(str(worker.state_dir), str(worker.path))
    worker.append(b"one\n")
    with worker:
        beat = worker.wait_for(lambda score: score.heartbeat).heartbeat
        score = worker.wait_for(lambda score: score.heartbeat > beat)
        assert score.state == "starting"

        held.close()
        worker.wait_for(lambda score: score.state == "following")


def test_what_keeps_it_from_starting(tmp_path, server):
    """A worker that cannot work ends with status 1 and leaves the reason in its slot (T49)."""
    worker = Scored(tmp_path, forward_settings([server]))
    worker.state_dir.write_text("no directory")
    with worker:
        status, _ = worker.wait()

        assert status == 1
        assert str(worker.state_dir) in worker.score.last_error


def test_a_checkpoint_that_cannot_be_written(tmp_path, server):
    """A position that no start would find is an error that the worker says, while it delivers on (T49)."""
    worker = Scored(tmp_path, forward_settings([server]))
    worker.append(b"one\n")
    with worker:
        worker.wait_for(lambda score: score.lines == 1)
        worker.state_dir.rename(tmp_path / "aside")
        worker.state_dir.write_text("no directory")
        worker.append(b"two\n")
        score = worker.wait_for(lambda score: score.last_error)

        assert str(worker.state_dir) in score.last_error
        assert (score.state, score.lines) == ("following", 2)


def test_killed_at_any_moment(tmp_path, server):
    """What a killed worker has said stays whole, and says no more lines than the server has (P24)."""
    worker = Scored(tmp_path, forward_settings([server]), read_buffer_size=4096)
    worker.append(*LINES)
    for round_ in range(5):
        with worker:
            worker.wait_for(lambda score, round_=round_: score.lines > 100 * round_ or score.state == "following")  # fmt: skip
            worker.signal(signal.SIGKILL)
            worker.wait()
            score = worker.score
            assert score.position > 0
            assert score.lines <= len(server.lines())
        worker.slot.clear()


def test_a_heartbeat_without_any_cause(tmp_path, server, monkeypatch):
    """A worker that nothing happens to turns, whatever its poll_interval is (P14)."""
    monkeypatch.setattr(score_module, "TURN_INTERVAL", 0.1)
    worker = Scored(tmp_path, forward_settings([server]), poll_interval=3600.0)
    worker.append(b"one\n")
    with worker:
        beats = {worker.wait_for(lambda score: score.lines == 1).heartbeat}
        eventually(lambda: beats.add(worker.score.heartbeat) or len(beats) == 10)


def test_the_master_is_gone(tmp_path, server):
    """When the lifeline ends, the worker ends: all that it has read is delivered and remembered (P01, P02)."""
    worker = Scored(tmp_path, forward_settings([server]))
    size = worker.append(*LINES)
    with worker:
        worker.wait_for(lambda score: score.lines == 1000)
        worker.leave_alone()
        status, seconds = worker.wait()

        assert status == 0
        assert seconds < 1.5
        checkpoint = Checkpoint(str(worker.state_dir), str(worker.path))
        assert [point.offset for point in checkpoint.state.points] == [size]
        checkpoint.close()


def test_the_master_is_gone_and_no_acks_come(tmp_path):
    """It waits two seconds for acks and no longer, whatever stop_timeout is, also if told to stop before (P01)."""
    with ScriptedServer(no_ack) as server:
        worker = Scored(tmp_path, forward_settings([server]), stop_timeout=60.0)
        worker.append(*LINES)
        with worker:
            worker.wait_for(lambda score: score.unacked_chunks)
            worker.signal(signal.SIGTERM)
            worker.wait_for(lambda score: score.state == "stopping")
            worker.leave_alone()
            status, seconds = worker.wait()

        assert status == 0
        assert 1.5 < seconds < 5


def test_the_master_is_gone_while_it_waits_for_the_lock(tmp_path, server):
    """A worker without a master does not wait for a checkpoint (P02)."""
    worker = Scored(tmp_path, forward_settings([server]))
    held = Checkpoint(str(worker.state_dir), str(worker.path))
    with worker:
        worker.wait_for(lambda score: score.heartbeat)
        worker.leave_alone()
        status, seconds = worker.wait()

    held.close()
    assert status == 0
    assert seconds < 5
