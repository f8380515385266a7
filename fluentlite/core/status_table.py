"""The table of ``fluentlite status``: what the master says, as lines that fit a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from fluentlite.core import human
from fluentlite.core.display import cut, defuse, fit, width, wrap
from fluentlite.core.snapshot import MasterStatus, Snapshot, WorkerStatus
from fluentlite.core.trends import progress
from fluentlite.core.wellness import UNKNOWN, Trend, Trouble, trouble_of

WIDEST, NARROWEST = 100, 80
"""Columns. A wider terminal is not used up: the eye loses the row. A narrower one breaks the lines itself."""

LONGEST_ERROR = 1000
"""Characters of an error that are shown."""

MOST_PROBLEMS = 5
"""Problems of a reload that are shown."""

_DEFAULT_PORT = ":24224"
_INDENT = "    "
_STATES = {"catching_up": "catching up", "waiting_for_file": "no file"}

SGR = {"title": "1", "head": "2", "unwell": "31", "busy": "33", "alarm": "1;31", "ok": "32"}
"""How each tone looks, as a parameter of the escape sequence that selects it; others look plain."""

Troubles = Mapping[WorkerStatus, Trouble | None]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of at most the width asked for. *is_log* tells the row of a log from everything else."""

    text: str
    tone: str = ""
    is_log: bool = False

    def painted(self) -> str:
        """With colour."""
        return f"\x1b[{SGR[self.tone]}m{self.text}\x1b[0m" if self.tone in SGR else self.text


@dataclass(frozen=True, slots=True)
class View:
    """
    How to show it.

    Attributes:
        width: Columns of the terminal.
        since: When the master was started, as text.
        ascii_only: The terminal shows nothing else.
        trend_of: What earlier looks have shown of a worker.
        shows_progress: A bar below each worker that is catching up.
    """

    width: int = WIDEST
    since: str = ""
    ascii_only: bool = False
    trend_of: Callable[[WorkerStatus], Trend] = lambda _worker: UNKNOWN
    shows_progress: bool = False

    @property
    def columns(self) -> int:
        return max(NARROWEST, min(WIDEST, self.width))

    def safe(self, text: str) -> str:
        """*text* without anything that could harm the terminal."""
        return defuse(text, ascii_only=self.ascii_only)

    def wrapped(self, text: str, tone: str = "", indent: str = "") -> list[Line]:
        """*text*, harmless, in as many lines as it needs."""
        return [Line(line, tone) for line in wrap(self.safe(text), self.columns, indent)]


def render(snapshot: Snapshot, view: View) -> list[Line]:
    """The whole answer: a head, and the table with the unwell on top, each followed by what is wrong and what to do."""
    troubles = {worker: trouble_of(worker, view.trend_of(worker)) for worker in snapshot.workers}
    unwell_count = sum(troubles[worker] is not None for worker in snapshot.workers)
    lines = [*_head(snapshot.master, view), *_summary(len(snapshot.workers), unwell_count, view)]
    if snapshot.workers:
        lines += [Line(""), *_table(snapshot.workers, troubles, view)]
    return lines


def unwell(snapshot: Snapshot) -> int:
    """How many workers are not well."""
    return sum(trouble_of(worker) is not None for worker in snapshot.workers)


# -- the head -----------------------------------------------------------------------------------------------


def _head(master: MasterStatus, view: View) -> list[Line]:
    since = f" since {view.since}" if view.since else ""
    text = f"fluentlite {master.version}, master {master.pid}, up {human.duration(master.uptime)}{since}, {master.config}"
    return [*view.wrapped(text, "title"), *_reload_error(master, view)]


def _reload_error(master: MasterStatus, view: View) -> list[Line]:
    problems = [line for line in master.reload_error.splitlines() if line.strip()]
    if not problems:
        return []
    more = len(problems) - MOST_PROBLEMS
    texts = [problem[:LONGEST_ERROR] for problem in problems[:MOST_PROBLEMS]]
    texts += [f"... and {human.plural(more, 'more problem')}"] if more > 0 else []
    texts += ['Next: correct this, try it with "fluentlite check", then say "fluentlite reload".']
    return [
        *view.wrapped("The last reload FAILED; the configuration from before it stays in use:", "alarm"),
        *(line for text in texts for line in view.wrapped(text, "", _INDENT)),
    ]


def _summary(count: int, unwell_count: int, view: View) -> list[Line]:
    if not count:
        return view.wrapped(
            'No log is followed. Add a [[log]] to the configuration, then say "fluentlite reload".', "alarm"
        )
    if not unwell_count:
        return view.wrapped("The log is well." if count == 1 else f"All {count} logs are well.", "ok")
    if count == 1:
        return view.wrapped("The log is NOT well.", "alarm")
    verb = "is" if unwell_count == 1 else "are"
    return view.wrapped(f"{unwell_count} of {count} logs {verb} NOT well.", "alarm")


# -- the table ----------------------------------------------------------------------------------------------


def _table(workers: Sequence[WorkerStatus], troubles: Troubles, view: View) -> Iterator[Line]:
    ordered = _ordered(workers, troubles)
    rows = [[column.cell(worker, view) for column in COLUMNS] for worker in ordered]
    layout = _Layout(rows, view.columns)
    yield from layout.header()
    told: set[str] = set()
    for trouble, group in groupby(zip(ordered, rows, strict=True), lambda item: troubles[item[0]]):
        for worker, row in group:
            tone = "unwell" if trouble else "busy" if worker.state == "catching_up" else ""
            yield Line(layout.line(row), tone, is_log=True)
            if view.shows_progress and worker.state == "catching_up":
                yield from view.wrapped(progress(worker, view.trend_of(worker)), "", _INDENT)
        if trouble:
            yield from view.wrapped(trouble.wrong[:LONGEST_ERROR], "", _INDENT)
            # Said once: the others of its kind follow right below.
            if trouble.next_step not in told:
                yield from view.wrapped(f"Next: {trouble.next_step}", "", _INDENT)
            told.add(trouble.next_step)


def _ordered(workers: Sequence[WorkerStatus], troubles: Troubles) -> list[WorkerStatus]:
    """The worst first, then by tag; those with the same trouble stay together, so that it is told once."""
    by_tag = sorted(workers, key=lambda worker: (worker.tag, worker.path))
    first_of: dict[Trouble, int] = {}
    for place, worker in enumerate(by_tag):
        trouble = troubles[worker]
        if trouble is not None:
            first_of.setdefault(trouble, place)

    def order(worker: WorkerStatus) -> tuple[float, int]:
        trouble = troubles[worker]
        return (trouble.cause, first_of[trouble]) if trouble else (math.inf, 0)

    return sorted(by_tag, key=order)


@dataclass(frozen=True, slots=True)
class _Column:
    """*head* has two lines, so that a narrow number may have a clear name."""

    head: tuple[str, str]
    show: Callable[[WorkerStatus], str]
    is_text: bool = False

    def cell(self, worker: WorkerStatus, view: View) -> str:
        text = self.show(worker)
        return (view.safe(text) if self.is_text else text) or "-"


def _server(worker: WorkerStatus) -> str:
    return worker.server.removesuffix(_DEFAULT_PORT)


def _state(worker: WorkerStatus) -> str:
    return _STATES.get(worker.state, worker.state)


def _of_process(show: Callable[[WorkerStatus], str]) -> Callable[[WorkerStatus], str]:
    """Nothing, while there is no process."""
    return lambda worker: show(worker) if worker.pid else ""


COLUMNS = (
    _Column(("", "tag"), lambda worker: worker.tag, is_text=True),
    _Column(("", "pid"), _of_process(lambda worker: str(worker.pid))),
    _Column(("", "state"), _state, is_text=True),
    _Column(("", "server"), _server, is_text=True),
    _Column(("", "lines"), lambda worker: human.count(worker.lines)),
    _Column(("lines", "/s"), lambda worker: human.rate(worker.lines_per_second)),
    _Column(("", "lag"), lambda worker: human.size(worker.lag_bytes)),
    _Column(("un-", "acked"), lambda worker: human.count(worker.unacked_chunks)),
    _Column(("", "CPU"), _of_process(lambda worker: human.percent(worker.cpu_percent))),
    _Column(("", "memory"), _of_process(lambda worker: human.size(worker.rss_bytes))),
    _Column(("re-", "starts"), lambda worker: human.count(worker.restarts)),
    _Column(("", "up"), _of_process(lambda worker: human.age(worker.uptime))),
)
_NAMES = [column.head[1] for column in COLUMNS]
_TAG, _SERVER = _NAMES.index("tag"), _NAMES.index("server")

_LEFT_OUT_FIRST = [_NAMES.index(name) for name in ("memory", "CPU", "acked", "starts", "pid")]
"""Columns that a terminal of less than ``WIDEST`` columns may not show."""

_LEAST_TEXT = 32
"""Columns that tag and server shall have together before others are left out for them."""


class _Layout:
    """Which columns there are, and how wide: as wide as they need, and tag and server share what is left."""

    def __init__(self, rows: Sequence[Sequence[str]], columns: int) -> None:
        self._widths = [
            max(width(text) for text in (*column.head, *(row[place] for row in rows)))
            for place, column in enumerate(COLUMNS)
        ]
        self._shown = list(range(len(COLUMNS)))
        wanted = min(_LEAST_TEXT, self._widths[_TAG] + self._widths[_SERVER])
        for place in _LEFT_OUT_FIRST if columns < WIDEST else ():
            if self._left(columns) < wanted:
                self._shown.remove(place)
        self._share(self._left(columns))

    def header(self) -> list[Line]:
        return [
            Line(self.line([column.head[level] for column in COLUMNS]).rstrip(), "head") for level in (0, 1)
        ]

    def line(self, row: Sequence[str]) -> str:
        return " ".join(
            fit(row[place], self._widths[place], right=not COLUMNS[place].is_text, middle=place == _TAG)
            for place in self._shown
        ).rstrip()

    def _left(self, columns: int) -> int:
        """What tag and server can have."""
        others = [self._widths[place] for place in self._shown if place not in (_TAG, _SERVER)]
        return columns - sum(others) - (len(self._shown) - 1)

    def _share(self, left: int) -> None:
        """The shorter of the two gets what it needs, up to half; the other one the rest, up to what it needs."""
        tag, server = self._widths[_TAG], self._widths[_SERVER]
        if tag + server > left:
            half = left // 2
            if server <= half:
                tag = left - server
            elif tag <= half:
                server = left - tag
            else:
                tag, server = left - half, half
        self._widths[_TAG], self._widths[_SERVER] = tag, server


def clipped(lines: Sequence[Line], rows: int, columns: int) -> Sequence[Line]:
    """As many of *lines* as a screen of *rows* can show; the last one says how many logs it does not."""
    if len(lines) <= rows:
        return lines
    shown, hidden = lines[: rows - 1], lines[rows - 1 :]
    count = sum(line.is_log for line in hidden)
    what = human.plural(count, "more log") if count else "more"
    more = f"... and {what}; make the window higher, or leave out --watch"
    return [*shown, Line(cut(more, columns), "head")]
