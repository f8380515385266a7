"""The table of ``status``: what stands where, and that nothing leaves its columns."""

from __future__ import annotations

import random
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statuses import REFUSED, answer, connecting, restarting, worker

from fluentlite.core.display import width
from fluentlite.core.snapshot import read_snapshot
from fluentlite.core.status_table import SGR, Line, View, clipped, render
from fluentlite.core.trends import Trends

STATES = ["starting", "following", "catching_up", "waiting_for_file", "connecting", "stopping", "restarting"]


def lines_of(said, **view):
    return [line.text for line in render(read_snapshot(said), View(**view))]


def tags_of(lines):
    """The first word of each row of a log."""
    return [line.text.split()[0] for line in lines if line.is_log]


@pytest.mark.parametrize(
    "number", [10**400, -(10**400), 1e308, -1e308, float("nan"), float("inf"), True, "7", None, [], {}]
)
def test_numbers_that_nobody_counted(number):
    """A number beyond all that can be counted, and what is none, counts as not said; the table stands as ever."""
    names = ("lines", "lines_per_second", "lag_bytes", "cpu_percent", "rss_bytes", "uptime", "restarts")
    absurd = answer(worker("a", state="catching_up", **dict.fromkeys(names, number)))
    zero = answer(worker("a", state="catching_up", **dict.fromkeys(names, 0)))

    assert lines_of(absurd) == lines_of(zero)


def test_the_whole_of_it():
    """The unwell stand on top with what is wrong and what to do, each trouble told once; the head has the master's facts."""
    said = answer(
        worker("nginx.access"),
        connecting("mail", lag_bytes=12345),
        worker("kubernetes.production.ingress.access", state="catching_up", lag_bytes=3 << 30, cpu_percent=99.6,
               server="fluentd-aggregator-01.eu-west-1.example.com:24224", unacked_chunks=4, lines_per_second=812345),
        connecting("app"),
        restarting("crash"),
        worker("audit", state="waiting_for_file", last_error="/var/log/audit.log: no such file; waiting for it"),
    )  # fmt: skip

    assert lines_of(said, since="Fri 2026-11-20 03:12:45") == [
        "fluentlite 0.1.0, master 4711, up 3d 4h since Fri 2026-11-20 03:12:45,",
        "/etc/fluentlite/fluentlite.toml",
        "4 of 6 logs are NOT well.",
        "",
        "                                                              lines        un-                re-",
        "tag                  pid state       server             lines    /s  lag acked  CPU memory starts up",
        "crash                  - restarting  -                   1.2M   123    0     0    -      -      3  -",
        "    the last worker was killed by SIGSEGV; started again in 4 s.",
        "    Next: it starts again by itself and loses no line. If it keeps ending, fluentlite's own log",
        "    (log_file) says why.",
        "app                12345 connecting  -                   1.2M   123    0     0   1%    12M      0 2h",
        "mail               12345 connecting  -                   1.2M   123  12K     0   1%    12M      0 2h",
        "    10.0.0.5:24224: Connection refused; lines wait in the log until a server takes them.",
        "    Next: see that a Forward server runs there and that its port can be reached from here; it is",
        "    tried again by itself.",
        "audit              12345 no file     10.0.0.5            1.2M   123    0     0   1%    12M      0 2h",
        "    /var/log/audit.log: no such file; waiting for it.",
        "    Next: once it is there and readable, it is followed by itself. If the path is wrong, correct it",
        '    in the configuration and say "fluentlite reload".',
        "kubernete~s.access 12345 catching up fluentd-aggregato~  1.2M  812k 3.0G     4 100%    12M      0 2h",
        "nginx.access       12345 following   10.0.0.5            1.2M   123    0     0   1%    12M      0 2h",
    ]


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        pytest.param([], 'No log is followed. Add a [[log]] to the configuration, then say "fluentlite reload".', id="0"),
        pytest.param([worker()], "The log is well.", id="1"),
        pytest.param([connecting("a")], "The log is NOT well.", id="1-not"),
        pytest.param([worker("a"), worker("b")], "All 2 logs are well.", id="all"),
        pytest.param([worker("a"), connecting("b")], "1 of 2 logs is NOT well.", id="one-not"),
        pytest.param([connecting("a"), connecting("b")], "2 of 2 logs are NOT well.", id="none"),
    ],
)  # fmt: skip
def test_how_many_are_well(workers, expected):
    """The head counts the logs and says what to do when there is none."""
    assert expected in lines_of(answer(*workers))


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("columns", [40, 80, 90, 100, 250])
def test_every_state_fits(state, columns):
    """In no state is a line wider than 100 columns, or than the terminal if that has 80 or more."""
    said = answer(
        worker("a" * 60, state=state, pid=4194304, server="s" * 200, restarts=10**6, lag_bytes=2**62,
               unacked_chunks=1024, lines_per_second=9e9, lines=2**62, rss_bytes=2**42, uptime=1e9, cpu_percent=1600.0,
               last_error="/x" * 300),
        config="/c" * 200, version="1" * 200, reload_error="y" * 300,
    )  # fmt: skip
    lines = lines_of(said, width=columns, since="z" * 100, shows_progress=True)

    assert max(map(width, lines)) <= max(80, min(100, columns))
    assert any(word in "\n".join(lines) for word in (state, state.replace("_", " "), "no file"))


def test_a_narrow_terminal_leaves_out_what_matters_least():
    """At 80 columns tag and server keep their room, and the columns that go are those that say least."""
    said = answer(worker("kubernetes.production", server="aggregator.example.com:24224", pid=4194304))
    (row,) = [line.text for line in render(read_snapshot(said), View(width=80)) if line.is_log]

    assert row.startswith("kubernete~oduction ")
    assert " aggregator.examp~ " in row
    assert lines_of(said, width=80)[4].split() == [
        "tag",
        "pid",
        "state",
        "server",
        "lines",
        "/s",
        "lag",
        "starts",
        "up",
    ]


HOSTILE = st.text(
    st.characters(exclude_categories=()) | st.sampled_from("\x1b\n\r\u202e\u0301日"), max_size=60
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(HOSTILE, min_size=6, max_size=6),
    st.sampled_from(STATES),
    st.sampled_from([80, 100]),
    st.booleans(),
)
def test_hostile_texts_do_no_harm(texts, state, columns, ascii_only):
    """Whatever stands in tag, path, server, error and configuration: no control reaches the terminal, no line is too wide."""
    tag, path, server, error, config, reload_error = texts
    said = answer(
        worker(tag, path=path, server=server, state=state, last_error=error),
        config=config,
        reload_error=reload_error,
    )
    for line in lines_of(said, width=columns, ascii_only=ascii_only, shows_progress=True):
        assert width(line) <= columns
        assert not {unicodedata.category(char) for char in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert not ascii_only or line.isascii()


def test_the_worst_first_then_by_tag():
    """Rows are ordered by how bad it is, then by tag, whatever the master's order."""
    workers = [
        worker("b"), worker("a"), worker("f", state="waiting_for_file"), worker("e", last_error="e: broken"),
        worker("u", oldest_unacked_seconds=99.0), connecting("c"), worker("s", state="starting", uptime=99.0),
        restarting("r"),
    ]  # fmt: skip
    random.Random(1).shuffle(workers)

    assert "".join(tags_of(render(read_snapshot(answer(*workers)), View()))) == "rscuefab"


def test_those_with_one_trouble_stand_together():
    """A thousand logs without a server are a thousand rows and one explanation, not a thousand."""
    other = REFUSED.replace("0.5", "0.6")
    workers = [connecting(f"t{n:03}", last_error=other if n % 2 else REFUSED) for n in range(1000)]
    lines = render(read_snapshot(answer(*workers)), View())

    assert tags_of(lines) == [f"t{n:03}" for n in (*range(0, 1000, 2), *range(1, 1000, 2))]
    assert [line.text for line in lines if "refused" in line.text] == [f"    {REFUSED}.", f"    {other}."]
    assert len([line for line in lines if "Next:" in line.text]) == 1


def test_logs_without_a_path_are_not_mixed_up():
    """Also where a master of another version tells no path, a row is red only for its own trouble."""
    said = answer(worker("a", path=None), connecting("b", path=None))

    assert [line.tone for line in render(read_snapshot(said), View()) if line.is_log] == ["unwell", ""]


def test_a_failed_reload_is_told_on_top():
    """The problems of the last reload stand above everything, the first few of many, with what to do."""
    said = answer(worker(), reload_error="\n".join(f"f.toml: problem {n}" for n in range(7)))
    lines = lines_of(said)
    at = lines.index("The last reload FAILED; the configuration from before it stays in use:")

    assert at < lines.index("The log is well.")
    assert lines[at + 1 : at + 8] == [
        *(f"    f.toml: problem {n}" for n in range(5)),
        "    ... and 2 more problems",
        '    Next: correct this, try it with "fluentlite check", then say "fluentlite reload".',
    ]


def test_progress_stands_below_those_that_catch_up():
    """Only when asked for, and only there, a bar follows the row."""
    said = answer(worker("a"), worker("b", state="catching_up", lag_bytes=1 << 30))
    trends = Trends()
    trends.note(read_snapshot(said), 0.0)
    lines = lines_of(said, shows_progress=True, trend_of=trends.of)

    assert lines[-2].startswith("b ")
    assert lines[-1] == f"    [{'-' * 24}]   0%  1.0G to go, the time is being measured"
    assert not any("to go" in line for line in lines_of(said, trend_of=trends.of))


def test_falling_behind_is_seen_by_looking_again():
    """A log whose lag grows while it catches up turns unwell at the second look."""
    trends, snapshots = Trends(), []
    for seconds, lag in ((0.0, 1 << 30), (10.0, 2 << 30)):
        snapshots.append(read_snapshot(answer(worker("a", state="catching_up", lag_bytes=lag))))
        trends.note(snapshots[-1], seconds)
    text = "\n".join(line.text for line in render(snapshots[-1], View(trend_of=trends.of)))

    assert "The log is NOT well." in text
    assert "it grows faster than it is sent, by 102M a second, and 2.0G of it wait" in text


def test_colours_leave_the_text_alone():
    """A line is painted as a whole, with a tone that exists; without one it is bare."""
    lines = render(read_snapshot(answer(worker("a"), connecting("b"), restarting("c"))), View())

    assert {line.tone for line in lines} <= SGR.keys() | {""}
    for line in lines:
        painted = line.painted()
        assert painted == (f"\x1b[{SGR[line.tone]}m{line.text}\x1b[0m" if line.tone else line.text)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(4, ["a", "b", "c", "d"], id="all-fit"),
        pytest.param(
            3, ["a", "b", "... and 2 more logs; make the window higher, or leave out --watch"], id="clipped"
        ),
        pytest.param(
            2, ["a", "... and 3 more logs; make the window higher, or leave out --watch"], id="two-rows"
        ),
        pytest.param(1, ["... and 3 more logs; make the window higher, or leave out --watch"], id="one-row"),
    ],
)
def test_a_low_screen_says_what_it_does_not_show(rows, expected):
    """What does not fit is counted in the last line."""
    lines = [Line("a"), *(Line(text, is_log=True) for text in "bcd")]

    assert [line.text for line in clipped(lines, rows, 100)] == expected


def test_a_low_screen_that_hides_no_log():
    """Where only explanations are hidden, no log is counted."""
    assert clipped([Line("a"), Line("b"), Line("c")], 2, 100)[-1].text.startswith("... and more; ")
