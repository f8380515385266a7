"""Who is well, who is not, and what to do."""

from __future__ import annotations

import math

import pytest
from statuses import MASTER_KEYS, REFUSED, WORKER_KEYS, answer, connecting, restarting, worker

from fluentlite.core.letter import lying
from fluentlite.core.snapshot import documented, read_snapshot
from fluentlite.core.trends import SHORTEST, WINDOW, Trends, progress
from fluentlite.core.wellness import (
    CONNECTING_LIMIT,
    FALLING_BEHIND,
    STARTING_LIMIT,
    UNACKED_LIMIT,
    Cause,
    Trend,
    trouble_of,
)
from fluentlite.errors import RemoteProtocolError

LETTERS = lying(2, "/var/lib/fluentlite/dead-letters", "/var/log/a.log")


def status_of(said):
    return read_snapshot(answer(said)).workers[0]


@pytest.mark.parametrize(
    ("said", "trend", "cause"),
    [
        pytest.param(worker(), Trend(), None, id="following"),
        pytest.param(worker(lines=0, chunks=0, reconnects=0), Trend(), None, id="following-a-quiet-log"),
        pytest.param(
            worker(last_error="x: cannot be read"), Trend(), Cause.ERROR, id="following-with-an-error"
        ),
        pytest.param(worker(last_error=" "), Trend(), None, id="an-empty-error"),
        pytest.param(worker(state="stopping"), Trend(), None, id="stopping"),
        pytest.param(worker(state="starting", uptime=1.0), Trend(), None, id="starting"),
        pytest.param(
            worker(state="starting", uptime=STARTING_LIMIT), Trend(), Cause.STARTING, id="starting-for-long"
        ),
        pytest.param(
            worker(state="starting", uptime=1.0, last_error="x: locked"),
            Trend(),
            Cause.STARTING,
            id="cannot-start",
        ),
        pytest.param(restarting("a"), Trend(), Cause.RESTARTING, id="restarting"),
        pytest.param(
            restarting("a", last_error=None), Trend(), Cause.RESTARTING, id="restarting-without-reason"
        ),
        pytest.param(connecting("a"), Trend(), Cause.CONNECTING, id="no-server"),
        pytest.param(
            connecting("a", last_error=None), Trend(), None, id="between-two-connections-as-one-look-sees-it"
        ),
        pytest.param(
            connecting("a", last_error=None),
            Trend(CONNECTING_LIMIT),
            Cause.CONNECTING,
            id="connecting-at-each-look",
        ),
        pytest.param(
            connecting("a", last_error=None, chunks=0, reconnects=0, uptime=CONNECTING_LIMIT),
            Trend(),
            Cause.CONNECTING,
            id="never-connected",
        ),
        pytest.param(
            connecting("a", last_error=None, chunks=0, reconnects=0, uptime=1.0),
            Trend(),
            None,
            id="just-started",
        ),
        pytest.param(
            connecting("a", last_error="/var/log/a.log: no such file"),
            Trend(),
            Cause.WAITING_FOR_FILE,
            id="neither-file-nor-server-and-it-speaks-of-the-file",
        ),
        pytest.param(
            connecting("a", state="waiting_for_file"),
            Trend(),
            Cause.CONNECTING,
            id="neither-file-nor-server-and-it-speaks-of-the-server",
        ),
        pytest.param(
            worker("a", state="waiting_for_file", last_error="/var/log/a.log: no such file"),
            Trend(),
            Cause.WAITING_FOR_FILE,
            id="no-file-says-the-worker",
        ),
        pytest.param(worker(state="waiting_for_file"), Trend(), Cause.WAITING_FOR_FILE, id="no-file"),
        pytest.param(
            worker(oldest_unacked_seconds=UNACKED_LIMIT - 1), Trend(), None, id="waiting-for-an-ack"
        ),
        pytest.param(worker(oldest_unacked_seconds=UNACKED_LIMIT), Trend(), Cause.UNACKED, id="a-late-ack"),
        pytest.param(worker(state="catching_up", lag_bytes=1 << 40), Trend(), None, id="catching-up"),
        pytest.param(
            worker(state="catching_up"), Trend(lag_change=-FALLING_BEHIND), None, id="catching-up-and-gaining"
        ),
        pytest.param(
            worker(state="catching_up"),
            Trend(lag_change=FALLING_BEHIND),
            Cause.FALLING_BEHIND,
            id="falling-behind",
        ),
        pytest.param(worker(), Trend(lag_change=FALLING_BEHIND), None, id="a-burst-while-following"),
        pytest.param(worker(last_error=LETTERS), Trend(), Cause.DEAD_LETTERS, id="dead-letters"),
        pytest.param(
            worker(last_error=LETTERS, oldest_unacked_seconds=UNACKED_LIMIT),
            Trend(),
            Cause.UNACKED,
            id="letters-and-a-late-ack",
        ),
        pytest.param(
            connecting("a", last_error=LETTERS),
            Trend(CONNECTING_LIMIT),
            Cause.CONNECTING,
            id="letters-and-no-server",
        ),
        pytest.param(
            worker(state="waiting_for_file", last_error=LETTERS),
            Trend(),
            Cause.WAITING_FOR_FILE,
            id="letters-and-no-file",
        ),
    ],
)
def test_who_is_not_well(said, trend, cause):
    """Silence is well, a lasting trouble is not, and one look never takes a moment for a lasting trouble (O03)."""
    trouble = trouble_of(status_of(said), trend)

    assert (trouble and trouble.cause) == cause


@pytest.mark.parametrize("cause", list(Cause))
def test_every_trouble_says_what_is_wrong_and_what_to_do(cause):
    """A worker that says nothing of its trouble gets whole sentences all the same."""
    said, trend = {
        Cause.RESTARTING: (restarting("a", last_error=None), Trend()),
        Cause.STARTING: (worker("a", state="starting", uptime=45.0), Trend()),
        Cause.CONNECTING: (connecting("a", last_error=None), Trend(80.0)),
        Cause.UNACKED: (worker("a", oldest_unacked_seconds=47.0), Trend()),
        Cause.ERROR: (worker("a", last_error="/var/log/a.log: it cannot be read"), Trend()),
        Cause.WAITING_FOR_FILE: (worker("a", state="waiting_for_file"), Trend()),
        Cause.DEAD_LETTERS: (worker("a", last_error=LETTERS), Trend()),
        Cause.FALLING_BEHIND: (
            worker("a", state="catching_up", lag_bytes=3 << 30),
            Trend(None, 5e6, 3 << 30),
        ),
    }[cause]
    wrong, expected_object = (
        trouble_of(status_of(said), trend).wrong,
        {
            Cause.CONNECTING: "no server has accepted a connection for 1m 20s",
            Cause.UNACKED: "10.0.0.5:24224 has not acknowledged a chunk for 47s",
        }.get(cause, "/var/log/a.log: "),
    )

    assert wrong.startswith(expected_object)
    assert wrong.endswith(".")
    assert trouble_of(status_of(said), trend).next_step.endswith(".")


def test_the_worker_s_own_words_come_first():
    """What the worker or the master reports is told as it is, as a sentence."""
    assert trouble_of(status_of(connecting("a"))).wrong == REFUSED + "."


def test_an_answer_of_another_version_is_read_as_far_as_it_goes():
    """Missing keys, null and values of other types become defaults; what is unknown is left out."""
    said = {"tag": "t", "pid": "12", "lines": True, "lag_bytes": math.nan, "server": None, "colour": "blue"}
    (read,) = read_snapshot({"master": {"reload_error": ["a", "b"]}, "workers": [said]}).workers

    assert (read.tag, read.pid, read.lines, read.lag_bytes, read.server) == ("t", 0, 0, 0, "")
    assert (
        read_snapshot({"master": {"reload_error": ["a", "b"]}, "workers": []}).master.reload_error == "a\nb"
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param({"ok": False, "problems": ["no such command"]}, "no such command", id="refused"),
        pytest.param({"master": {}, "workers": [1]}, "another version", id="no-workers"),
        pytest.param({}, "another version", id="nothing"),
    ],
)
def test_what_is_no_status(said, expected):
    """An answer that is no status is an error that says why, for the table and for JSON."""
    for read in (read_snapshot, documented):
        with pytest.raises(RemoteProtocolError, match=expected):
            read(said)


def test_the_documented_keys():
    """JSON has exactly the documented keys in their order; null stays null, and what is missing is null."""
    said = answer({**worker(), "colour": "blue"}, colour="red")
    del said["workers"][0]["lines"]
    shown = documented(said)

    assert list(shown) == ["master", "workers"]
    assert list(shown["master"]) == MASTER_KEYS
    assert list(shown["workers"][0]) == WORKER_KEYS
    assert shown["workers"][0]["lines"] is None
    assert shown["workers"][0] == {key: said["workers"][0].get(key) for key in WORKER_KEYS}


# -- several looks ------------------------------------------------------------------------------------------


def looks(*said, every=1.0):
    """Show *said* one after the other; returns the trends and the last one."""
    trends = Trends()
    for number, one in enumerate(said):
        trends.note(read_snapshot(answer(one)), 100.0 + number * every)
    return trends.of(status_of(said[-1]))


def catching_up(lag):
    return worker(state="catching_up", lag_bytes=lag)


def test_a_change_is_known_after_some_time():
    """One look says nothing of a change, and the newest seconds count, not those before the window."""
    assert looks(catching_up(5000)).lag_change is None
    assert looks(catching_up(5000), catching_up(4000), every=SHORTEST / 2).lag_change is None
    assert looks(catching_up(5000), catching_up(4000), every=SHORTEST).lag_change == -1000 / SHORTEST
    assert looks(catching_up(10**9), *[catching_up(5000)] * 3, every=WINDOW / 2).lag_change == 0


def test_a_new_state_begins_anew():
    """The time in a state, and the lag that counts as all of the work, are those since the last change of state."""
    seen = looks(catching_up(9000), worker(), catching_up(5000), catching_up(4000), catching_up(4500))

    assert (seen.in_state, seen.most_lag) == (2.0, 5000)


def test_who_is_gone_is_forgotten():
    """A log that has left and comes back is a new one."""
    trends = Trends()
    for number, said in enumerate([answer(catching_up(5000)), answer(), answer(catching_up(10))]):
        trends.note(read_snapshot(said), float(number))

    assert trends.of(status_of(catching_up(10))) == Trend(0.0, None, 10)
    assert trends.of(status_of(worker("other"))) == Trend()


@pytest.mark.parametrize(
    ("lag", "trend", "text"),
    [
        pytest.param(
            3 << 30, Trend(0, None, 3 << 30), f"[{'-' * 24}]   0%  3.0G to go, the time is being measured", id="begin"
        ),
        pytest.param(
            1 << 30, Trend(9, -(1 << 24), 4 << 30), f"[{'#' * 18}{'-' * 6}]  75%  1.0G to go, about 1m 4s", id="gaining"
        ),
        pytest.param(
            3 << 20, Trend(9, 0.5, 4 << 20), f"[{'#' * 6}{'-' * 18}]  25%  3.0M to go, and it does not get less",
            id="standing-still",
        ),
        pytest.param(
            3 << 20, Trend(9, 2e6, 3 << 20), f"[{'-' * 24}]   0%  3.0M to go, and 1.9M more every second", id="losing"
        ),
        pytest.param(
            1, Trend(9, -1.0, 1 << 40), f"[{'#' * 23}-]  99%  1B to go, about 1s", id="not-done-before-it-is-done"
        ),
        pytest.param(0, Trend(9, -1.0, 1 << 40), f"[{'#' * 24}] 100%  0 to go, about 0s", id="done"),
        pytest.param(0, Trend(), f"[{'-' * 24}]   0%  0 to go, the time is being measured", id="nothing-known"),
    ],
)  # fmt: skip
def test_progress(lag, trend, text):
    """The bar shows how much of the most that was waiting is delivered, and the time comes from the speed of late."""
    assert progress(status_of(catching_up(lag)), trend) == text
