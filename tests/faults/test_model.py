"""The model and the harness can fail: each kind of fault, made on purpose, is found and named."""

from __future__ import annotations

import socket
import time
from dataclasses import replace

import msgpack
import pytest

from .journal import JournalReader, Record
from .lines import line, runs_of
from .log import Log
from .model import Model
from .receptions import Disturbance, Evidence
from .server import Server
from .settings import QUICK
from .stage import Stage

KILLED_AT = 100.0


class Journals:
    """A model, and sinks whose journals are written by hand; time stands still unless a test says otherwise."""

    def __init__(self, count=100):
        self.evidence = Evidence(max_in_flight=4)
        self.model = Model(self.evidence)
        self.model.begin((1, 1), "app.log")
        self.model.wrote(count)
        self._opened = set()

    def chunk(self, numbers, *, ident="", connection=1, at=50.0, acked=True):
        """A chunk with these lines arrives; its id tells its lines unless one is given."""
        lines = tuple(n if isinstance(n, bytes) else line(n) for n in numbers)
        key, ident = ("journal", connection), ident or str(hash(lines))
        records = [] if key in self._opened else [Record("O", at, key)]
        self._opened.add(key)
        records += [Record("C", at, key, ident, ("t", "message", "none"), tuple(runs_of(lines)))]
        records += [Record("A", at, key, ident)] if acked else []
        self.model.take(records)

    def end(self, connection=1, at=KILLED_AT):
        self.model.take([Record("E", at, ("journal", connection), reason="eof")])

    def worker_killed(self):
        self.evidence.note_restart(Disturbance("worker killed", KILLED_AT, KILLED_AT))
        self.end()

    def server_killed(self):
        self.evidence.disturbances.append(Disturbance("server killed", KILLED_AT, KILLED_AT))
        self.model.sink_died("journal", KILLED_AT)

    @property
    def doubled(self):
        """How many lines came twice, explained and not."""
        return self.model.doubled()[:2]


@pytest.fixture
def journals():
    return Journals()


# -- loss, order, form --------------------------------------------------------------------------------------


def test_all_is_well(journals):
    """Every line once and in order is what has to be."""
    journals.chunk(range(60))
    journals.chunk(range(60, 100))

    assert journals.model.is_complete
    assert (journals.model.lost(), journals.model.wrong, journals.doubled) == ([], [], (0, 0))


def test_a_lost_line(journals):
    """A line that never comes is missed by its number."""
    journals.chunk([n for n in range(100) if n not in (17, 18, 70)])

    assert not journals.model.is_complete
    assert journals.model.count_lost() == 3
    assert "missing 17-18, 70-70" in journals.model.lost()[0]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(line(5)[:20], id="begin"),
        pytest.param(line(5)[20:], id="end"),
        pytest.param(line(5)[:15] + line(6), id="glued"),
        pytest.param(line(5) + b"\0", id="longer"),
        pytest.param(line(5).replace(b" ", b"  ", 1), id="changed"),
        pytest.param(b"", id="empty"),
    ],
)
def test_a_torn_line(journals, data):
    """Whatever is not byte for byte a line that was written is torn."""
    journals.chunk([data])

    assert journals.model.torn == len(journals.model.wrong) == 1


def test_a_line_of_nobody(journals):
    """A line that has not been written cannot arrive."""
    journals.chunk([99, 100])

    assert "never written" in journals.model.wrong[0]


def test_order_within_a_generation(journals):
    """A line that comes after a later one of its generation is out of order."""
    journals.chunk(range(50, 100))
    journals.chunk(range(50))

    assert "line 0 came after line 99" in journals.model.wrong[0]


def test_no_order_between_generations(journals):
    """A newer generation may be read while late lines of an older one are awaited."""
    journals.model.begin((1, 2), "app.log")
    journals.model.wrote(50)
    journals.chunk(range(90))
    journals.chunk(range(100, 150))
    journals.chunk(range(90, 100))

    assert journals.model.is_complete and not journals.model.wrong


def test_ends_of_a_line_torn_by_a_rotation(journals):
    """The two ends in two files arrive as two lines; the whole line, which never was, is wrong."""
    journals.model.begin((1, 2), "app.log")
    journals.model.tore(line(100)[:20], line(100)[20:])
    journals.chunk([*range(100), line(100)[:20]])
    assert not journals.model.is_complete
    assert "missing" in journals.model.lost()[0]

    journals.chunk([line(100)[20:]])
    assert journals.model.is_complete and not journals.model.wrong

    journals.chunk([100])
    assert "never written" in journals.model.wrong[0]


def test_what_is_excused(journals):
    """Only what has not arrived of a file that nobody can read any more is excused, and it is counted."""
    journals.chunk(range(40))
    journals.model.excuse(journals.model.generations[0])

    assert journals.model.is_complete and not journals.model.lost()
    assert journals.model.count_excused() == 60


# -- repetitions --------------------------------------------------------------------------------------------


def test_twice_without_a_reason(journals):
    """Acknowledged on a connection that lives, and again: no excuse."""
    journals.chunk(range(100))
    journals.chunk(range(10, 30), at=51.0)

    assert journals.doubled == (0, 20)


def test_twice_in_one_chunk(journals):
    """Not even a chunk that was on its way may hold a line twice."""
    journals.chunk([*range(10), 9], at=99.9, acked=False)
    journals.worker_killed()

    assert journals.doubled == (0, 1)


@pytest.mark.parametrize("end", ["worker_killed", "server_killed"])
def test_unacknowledged_when_something_died(journals, end):
    """A chunk that was on its way when the worker or the server was killed comes again, and that is right."""
    journals.chunk(range(100), at=99.9, acked=False, ident="same")
    getattr(journals, end)()
    journals.chunk(range(100), connection=2, at=101.0, ident="same")

    assert journals.doubled == (100, 0)


def test_more_than_could_be_on_its_way(journals):
    """Of six chunks the last four may come again; the others were acknowledged, or these would not have been sent."""
    for first in range(0, 60, 10):
        journals.chunk(range(first, first + 10), at=99.9, ident=str(first))
    journals.worker_killed()
    for first in range(0, 60, 10):
        journals.chunk(range(first, first + 10), connection=2, at=101.0, ident=str(first))

    assert journals.doubled == (40, 20)


def test_parts_go_all_at_once(journals):
    """As before, where these are parts of a chunk: none of them has waited for an ack; a minute later it is over."""
    journals.evidence.note_parts(99.8, 99.8)
    for first in range(0, 60, 10):
        journals.chunk(range(first, first + 10), at=99.9, ident=str(first))
    journals.worker_killed()
    for first in range(0, 60, 10):
        journals.chunk(range(first, first + 10), connection=2, at=101.0, ident=str(first))
    assert journals.doubled == (60, 0)

    late = Journals()
    late.evidence.note_parts(KILLED_AT - 60.0, KILLED_AT - 60.0)
    for connection, at in ((1, 99.9), (2, 101.0)):
        for first in range(0, 60, 10):
            late.chunk(range(first, first + 10), connection=connection, at=at, ident=str(first))
        if connection == 1:
            late.worker_killed()
    assert late.doubled == (40, 20)


def test_acknowledged_long_before_the_kill(journals):
    """Where the worker had time to see the ack, a kill is no reason to send the chunk again."""
    journals.chunk(range(100), at=KILLED_AT - 5.0, ident="same")
    journals.worker_killed()
    journals.chunk(range(100), connection=2, at=101.0, ident="same")

    assert journals.doubled == (0, 100)


def test_another_id_without_a_restart(journals):
    """The same worker sends the same bytes under the same id, or a server could not tell a repetition."""
    journals.chunk(range(100), at=99.9, acked=False, ident="one")
    journals.server_killed()
    journals.chunk(range(100), connection=2, at=101.0, ident="another")

    assert journals.doubled == (0, 100)


def test_other_chunks_after_a_restart(journals):
    """The next worker cuts its chunks anew."""
    journals.chunk(range(100), at=99.9, acked=False, ident="one")
    journals.worker_killed()
    journals.chunk(range(50), connection=2, at=101.0, ident="another")
    journals.chunk(range(50, 100), connection=2, at=101.0, ident="and another")

    assert journals.doubled == (100, 0)


def test_settled_twice(journals):
    """However often a chunk had to be sent: acknowledged and seen it can have been but once."""
    journals.chunk(range(10), at=99.9, acked=False, ident="same")
    journals.server_killed()
    journals.chunk(range(10), connection=2, at=103.0, ident="same")
    assert journals.doubled == (10, 0)

    journals.chunk(range(10), connection=3, at=104.0, ident="same")
    assert journals.doubled == (0, 10)


def test_long_after_it_was_forgotten():
    """Numbers that were judged and dropped are not forgotten so far that they could come again."""
    journals = Journals(count=200_000)
    journals.chunk(range(200_000))
    generation = journals.model.generations[0]
    journals.model.begin((1, 2), "app.log")
    generation.name, generation.complete_since = "", 1.0
    journals.model.forget(2.0)
    assert len(journals.model.generations) == 1

    journals.chunk([7], at=51.0)
    assert journals.doubled == (0, 1)


# -- silence ------------------------------------------------------------------------------------------------


def test_silence_is_what_could_have_been_otherwise(journals):
    """Seconds without a line count while lines wait, but not while nobody could have delivered one."""
    began = time.monotonic()
    journals.model.note_silence(began + 2.0)
    assert journals.model.longest_silence == pytest.approx(2.0, abs=1.0)
    journals.model.hush(began + 30.0)
    journals.model.note_silence(began + 35.0)
    assert journals.model.longest_silence == pytest.approx(5.0, abs=1.0)
    journals.chunk(range(50), at=began + 45.0)
    assert journals.model.longest_silence == pytest.approx(15.0, abs=1.0)
    journals.chunk(range(50, 100), at=began + 45.5)
    journals.model.note_silence(began + 100.0)  # there was nothing to say any more
    assert journals.model.longest_silence == pytest.approx(15.0, abs=1.0)


def test_a_writer_that_falls_behind(tmp_path):
    """What a writer that was kept from writing leaves out is counted; nobody is told that it was written."""
    log = Log(tmp_path / "app.log", 0, 4, 0)
    began = time.monotonic()
    log.tick(began + 10.0, 100.0)
    log.writer.close()

    assert log.model.due == (tmp_path / "app.log").read_bytes().count(b"\n") == 20
    assert log.left_out == pytest.approx(980.0, abs=10.0)


# -- the harness --------------------------------------------------------------------------------------------


def test_what_was_acknowledged_is_in_the_journal(tmp_path):
    """The sink journals first: what it acknowledged outlives its SIGKILL, what it left unfinished is not read."""
    server = Server(tmp_path, "a", Evidence(4).note)
    server.up()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        entries = msgpack.packb([1, {"message": "one"}]) + msgpack.packb([1, {"message": "two"}])
        client.sendall(msgpack.packb(["t", entries, {"chunk": "id"}]))
        assert msgpack.unpackb(client.recv(100)) == {"ack": "id"}
    journal = server.down()
    with open(f"{journal}.0", "ab") as file:
        file.write(b"C 1.0 1 other t message none 2 23\n-1 1 6f6e65\n-1")
    records = JournalReader(journal).read()
    server.close()

    chunks = [(record.runs, record.shape) for record in records if record.kind == "C"]
    assert chunks == [(((-1, 1, b"one"), (-1, 1, b"two")), ("t", "message", "none"))]


def test_a_worker_that_loses_lines(tmp_path):
    """Without acks a server takes with it what it had not read: the harness tells which lines (S01)."""
    options = replace(QUICK, forward=QUICK.forward | {"require_ack_response": False})
    with Stage(tmp_path, options=options) as stage:
        stage.start_agent()
        stage.run_for(0.3)
        stage.servers[0].hang()
        stage.run_for(0.5)
        stage.kill_server(stage.servers[0])
        report = stage.finish(most_silence=2.0)

    assert report.count_lost > 100
    assert any(problem.startswith("app.log: lost: generation 0") for problem in report.problems)


def test_a_writer_that_is_late_for_its_reopening(tmp_path):
    """However long the machine was busy: a writer whose time to reopen has come writes no more to the old file."""
    log = Log(tmp_path / "app.log", 0, 4, 0)
    log.writer.write(3)
    log.writer.write_half()
    log.writer.rename_late("numbers", -1.0, create=False)
    log.writer.write(2)
    log.writer.close()

    old, new = log.model.generations
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.log", "app.log.100001"]
    assert (tmp_path / "app.log").read_bytes().count(b"\n") == 3  # the rest of the half line, and two
    assert (old.end - old.first, new.end - new.first) == (3, 2)
    assert len(old.fragments) == len(new.fragments) == 1
