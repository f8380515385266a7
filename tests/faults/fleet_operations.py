"""The operations of random runs of the daemon; those on one log, and on servers, are the worker's."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

from . import operations
from .configuration import Table
from .fleet import Fleet
from .log import Log
from .network import Line
from .operations import Kind

OF_A_LOG = {
    "write", "write half a line", "rename", "rename, writer late", "copytruncate", "several rotations",
    "delete and create", "replace",
}  # fmt: skip
OF_SERVERS = {
    "server down", "all servers down", "server up", "server bounced", "server hung", "connections reset", "failover",
}  # fmt: skip


MOST_WITHOUT_A_NAME = 5.0
"""Seconds of lines that may be waiting in a file that loses its name: if the worker dies then, nobody can have them."""


def _on_a_log(kind: Kind) -> Kind:
    """What is done to a stage's log is done to one of the fleet's."""

    def possible(fleet: Fleet) -> list[Log]:
        most = MOST_WITHOUT_A_NAME * fleet.rate if kind.name in ("delete and create", "replace") else math.inf
        logs = [log for log in fleet.logs if log.model.due - log.model.delivered <= most]
        return [log for log in logs if kind.is_possible(log)]

    return replace(
        kind,
        act=lambda fleet, rng: kind.act(rng.choice(possible(fleet)), rng),
        is_possible=lambda fleet: bool(possible(fleet)),
    )


# -- workers ------------------------------------------------------------------------------------------------


def _on_workers(most: int, act: Callable[[Fleet, Log], None]) -> Callable[[Fleet, random.Random], None]:
    """Do it to one worker, or to up to *most* of them."""

    def act_on_some(fleet: Fleet, rng: random.Random) -> None:
        running = [log for log in fleet.logs if log.worker.is_running]
        for log in rng.sample(running, min(len(running), rng.randint(1, most))):
            act(fleet, log)

    return act_on_some


def _is_any_running(fleet: Fleet) -> bool:
    return any(log.worker.is_running for log in fleet.logs)


# -- the master ---------------------------------------------------------------------------------------------


def _kill_and_start(fleet: Fleet, _rng: random.Random) -> None:
    fleet.kill_agent()
    fleet.agent.start()


def _kill_everything(fleet: Fleet, _rng: random.Random) -> None:
    fleet.kill_everything()
    fleet.agent.start()


def _restart(fleet: Fleet, rng: random.Random) -> None:
    fleet.stop_agent()
    fleet.run_for(rng.choice((0.0, 0.3)))
    fleet.agent.start()


def _can_be_told(fleet: Fleet) -> bool:
    return fleet.agent.is_ready and not fleet.agent.is_frozen


# -- the configuration --------------------------------------------------------------------------------------


def _compression(rng: random.Random) -> Table:
    return {"forward.compress": rng.choice(("none", "gzip"))}


def _limits(fleet: Fleet, rng: random.Random) -> Table:
    return {
        # What cannot carry the load, one small chunk at a time, would only fall behind for ever.
        "read_buffer_size": rng.choice((1 << 14, 1 << 17) if fleet.rate < 1000.0 else (1 << 17, 1 << 20)),
        "forward.max_in_flight": rng.choice((1, 4)),
    }


def change_all(fleet: Fleet, rng: random.Random) -> None:
    """
    Change each log in what decides how much memory its worker takes.

    A run that begins so has at its beginning what many changes would lead to: its memory can be compared with the end's.
    """
    for table in fleet.configuration.logs.values():
        table |= _compression(rng) | _limits(fleet, rng)
    fleet.configuration.write()


def change(fleet: Fleet, rng: random.Random) -> str:
    """Change the configuration in one of the ways that real ones change; returns what was done."""
    configuration, log = fleet.configuration, rng.choice(fleet.logs)
    table, index = configuration.logs[log.path], fleet.logs.index(log)
    what = rng.choice(("tag", "field", "compress", "limits", "remove", "put back", "servers", "nothing"))
    if what == "tag":
        table["tag"] = f"{index}.v{rng.randrange(1000)}"
    elif what == "field":
        table["field_name"] = rng.choice(("message", "line", "log"))
    elif what == "compress":
        rng.choice((table, configuration.logs[fleet.logs[0].path])).update(_compression(rng))
    elif what == "limits":
        table |= _limits(fleet, rng)
    elif what == "remove":
        configuration.removed.add(log.path)
    elif what == "put back":
        configuration.removed.clear()
    elif what == "servers":
        fleet.send_to(*rng.sample(fleet.servers, rng.randint(1, 2)))
    return what


def _reload(fleet: Fleet, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 3)):
        change(fleet, rng)
    fleet.reload(by_signal=rng.random() < 0.5)


def _hang_up(fleet: Fleet, rng: random.Random) -> None:
    """Several times within milliseconds."""
    for _ in range(rng.randint(1, 5)):
        fleet.agent.hang_up()


# -- what is around it --------------------------------------------------------------------------------------


def _on_a_line(act: Callable[[Line], None]) -> Callable[[Fleet, random.Random], None]:
    """Do it to the line to one server, now and then to all of them."""

    def act_on_some(fleet: Fleet, rng: random.Random) -> None:
        for line in fleet.lines if rng.random() < 0.2 else [rng.choice(fleet.lines)]:
            act(line)

    return act_on_some


def _has_network(fleet: Fleet) -> bool:
    return bool(fleet.lines)


def _mend_lines(fleet: Fleet, _rng: random.Random) -> None:
    for line in fleet.lines:
        line.mend()


def _jump(fleet: Fleet, rng: random.Random) -> None:
    """Set the clock: by seconds, hours or months, to the future or to the past, or right again."""
    fleet.clock.set(
        rng.choice((0.0, rng.uniform(-5.0, 5.0), *(rng.uniform(-n, n) for n in (7200.0, 3e5, 3e7))))
    )


def _rotate_own_log(fleet: Fleet, rng: random.Random) -> None:
    fleet.agent.read_log()
    fleet.agent.rotate_log(by_signal=rng.random() < 0.7)


def draw(fleet: Fleet, rng: random.Random) -> Kind:
    """Choose an operation that is possible now."""
    return operations.choose(possible(fleet), rng)


def possible(fleet: Fleet) -> list[Kind]:
    """Return what is possible now."""
    fleet.agent.read_log()
    return [kind for kind in KINDS if kind.is_possible(fleet)]


KINDS = (
    *(_on_a_log(kind) for kind in operations.KINDS if kind.name in OF_A_LOG),
    *(kind for kind in operations.KINDS if kind.name in OF_SERVERS),
    Kind("kill workers", 4, _on_workers(3, Fleet.kill_worker), _is_any_running),
    Kind("kill many workers", 1, _on_workers(20, Fleet.kill_worker), _is_any_running),
    Kind("TERM to workers", 2, _on_workers(2, Fleet.terminate_worker), _is_any_running),
    Kind("HUP to a worker", 2, _on_workers(1, lambda _fleet, log: log.worker.hang_up()), _is_any_running),
    Kind("freeze workers", 2, _on_workers(3, lambda _fleet, log: log.worker.freeze()), _is_any_running),
    Kind("thaw", 4, lambda fleet, _rng: fleet.agent.thaw(), lambda fleet: not all(fleet.states().values())),
    Kind("kill master and start", 3, _kill_and_start, lambda fleet: fleet.agent.is_running),
    Kind("kill everything and start", 1, _kill_everything, lambda fleet: fleet.agent.is_running),
    Kind("stop and start", 2, _restart, lambda fleet: fleet.agent.is_running),
    Kind("stop", 1, lambda fleet, _rng: fleet.stop_agent(), lambda fleet: fleet.agent.is_running),
    Kind("kill master", 1, lambda fleet, _rng: fleet.kill_agent(), lambda fleet: fleet.agent.is_running),
    Kind("start", 12, lambda fleet, _rng: fleet.agent.start(), lambda fleet: not fleet.agent.is_running),
    Kind("freeze master", 1, lambda fleet, _rng: fleet.agent.freeze(), _can_be_told),
    Kind("HUP to the master", 2, _hang_up, _can_be_told),
    Kind("reload with changes", 6, _reload, _can_be_told),
    Kind("own log rotated", 2, _rotate_own_log, _can_be_told),
    Kind("way to a server cut", 2, _on_a_line(Line.cut), _has_network),
    Kind("black hole", 2, _on_a_line(Line.swallow), _has_network),
    Kind("answers vanish", 1, _on_a_line(Line.deafen), _has_network),
    Kind("slow network", 1, _on_a_line(Line.slow), _has_network),
    Kind("network mended", 12, _mend_lines, lambda fleet: any(line.trouble for line in fleet.lines)),
    Kind(
        "state disk full",
        4,
        lambda fleet, _rng: fleet.disk.fill(),
        lambda fleet: fleet.disk is not None and not fleet.disk.is_full,
    ),
    Kind(
        "state disk freed",
        5,
        lambda fleet, _rng: fleet.disk.free(),
        lambda fleet: fleet.disk is not None and fleet.disk.is_full,
    ),
    Kind("clock jumps", 4, _jump, lambda fleet: fleet.clock is not None),
)
