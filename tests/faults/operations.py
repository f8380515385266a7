"""The operations of random runs: each is a line of text that can be read, and replayed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from .log import LATE_REOPEN
from .stage import Stage
from .writer import Naming

NAMINGS: tuple[Naming, ...] = ("shift", "numbers", "dates")

Act = Callable[[Stage, random.Random], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """
    One kind of operation.

    Attributes:
        weight: How often it is chosen, against the others.
        act: Does it.
        is_possible: Where it may be done: elsewhere nobody could keep the lines, or it means nothing.
        is_rotation: Names of symbolic links' targets tell nothing, so these wait until the worker has seen all.
    """

    name: str
    weight: int
    act: Act
    is_possible: Callable[[Stage], bool] = lambda _stage: True
    is_rotation: bool = False


def draw(stage: Stage, rng: random.Random) -> Kind:
    """Choose an operation that is possible now."""
    return choose(possible(stage), rng)


def possible(stage: Stage) -> list[Kind]:
    """Return what is possible now."""
    return [kind for kind in KINDS if _is_possible(kind, stage)]


def choose(kinds: list[Kind], rng: random.Random) -> Kind:
    """Choose one of *kinds* by their weights."""
    return rng.choices(kinds, [kind.weight for kind in kinds])[0]


def perform(
    stage: Stage,
    count: int,
    seed: int,
    done: Callable[[str], None],
    draw: Callable[[Stage, random.Random], Kind] = draw,
) -> Counter[str]:
    """Do *count* random operations, let some time pass after each; *done* is told each one's name before it is done."""
    rng, counts = random.Random(seed), Counter[str]()
    for _ in range(count):
        kind, pause = draw(stage, rng), rng.choice((0.0, 0.02, 0.1, 0.3, 0.8))
        done(f"{kind.name}, then {pause:g} s")
        counts[kind.name] += 1
        kind.act(stage, rng)
        stage.run_for(pause)
    return counts


def _is_possible(kind: Kind, stage: Stage) -> bool:
    if kind.is_rotation and stage.is_link and not stage.has_seen_all():
        return False
    return kind.is_possible(stage)


# -- writing ------------------------------------------------------------------------------------------------


def _write(stage: Stage, rng: random.Random) -> None:
    stage.writer.write(rng.choice((1, 10, 1000, 10_000)))


def _write_half(stage: Stage, _rng: random.Random) -> None:
    stage.writer.write_half()


# -- rotation -----------------------------------------------------------------------------------------------


def _end_line(stage: Stage, rng: random.Random) -> None:
    """Most programs end their line before they go on in another file; some do not."""
    if rng.random() < 0.8:
        stage.writer.write(rng.choice((0, 1, 50)))


def _rename(stage: Stage, rng: random.Random) -> None:
    _end_line(stage, rng)
    stage.writer.rename(rng.choice(NAMINGS))


def _rename_late(stage: Stage, rng: random.Random) -> None:
    stage.writer.rename_late(rng.choice(NAMINGS), rng.uniform(0, LATE_REOPEN), create=rng.random() < 0.5)


def _copytruncate(stage: Stage, rng: random.Random) -> None:
    _end_line(stage, rng)
    stage.writer.copytruncate(rng.choice(NAMINGS))


def _several(stage: Stage, rng: random.Random) -> None:
    """Rotations between two looks of the worker."""
    for _ in range(rng.randint(2, 4)):
        rng.choice((_rename, _rename, _copytruncate))(stage, rng)
        stage.writer.write(rng.choice((0, 1, 300)))


def _delete(stage: Stage, rng: random.Random) -> None:
    _end_line(stage, rng)
    stage.writer.delete()


def _replace(stage: Stage, rng: random.Random) -> None:
    _end_line(stage, rng)
    stage.writer.replace(rng.choice((0, 1, 500)))


def _switch(stage: Stage, rng: random.Random) -> None:
    _end_line(stage, rng)
    stage.writer.switch()


# -- the worker ---------------------------------------------------------------------------------------------


def _stop(stage: Stage, _rng: random.Random) -> None:
    stage.stop_agent()


def _restart(stage: Stage, _rng: random.Random) -> None:
    stage.stop_agent()
    stage.agent.start()


def _kill(stage: Stage, _rng: random.Random) -> None:
    stage.kill_agent()


def _kill_and_start(stage: Stage, _rng: random.Random) -> None:
    stage.kill_agent()
    stage.agent.start()


def _start(stage: Stage, _rng: random.Random) -> None:
    stage.agent.start()


def _overlap(stage: Stage, rng: random.Random) -> None:
    """The next worker is started before the one that runs is told to stop, or killed."""
    stage.agent.start_successor()
    stage.run_for(rng.uniform(0, 0.5))
    (stage.kill_agent if rng.random() < 0.3 else stage.stop_agent)()


def _hang_up(stage: Stage, _rng: random.Random) -> None:
    stage.agent.hang_up()


def _freeze(stage: Stage, _rng: random.Random) -> None:
    stage.agent.freeze()


def _thaw(stage: Stage, _rng: random.Random) -> None:
    stage.agent.thaw()


# -- the servers --------------------------------------------------------------------------------------------


def _down(stage: Stage, rng: random.Random) -> None:
    stage.kill_server(rng.choice([server for server in stage.servers if server.is_running]))


def _all_down(stage: Stage, _rng: random.Random) -> None:
    for server in stage.servers:
        stage.kill_server(server)


def _up(stage: Stage, rng: random.Random) -> None:
    rng.choice([server for server in stage.servers if not server.is_up]).up()


def _bounce(stage: Stage, rng: random.Random) -> None:
    server = rng.choice(stage.servers)
    stage.kill_server(server)
    server.up()


def _hang(stage: Stage, rng: random.Random) -> None:
    rng.choice([server for server in stage.servers if server.is_up]).hang()


def _reset(stage: Stage, rng: random.Random) -> None:
    rng.choice([server for server in stage.servers if server.is_up]).reset()


def _fail_over(stage: Stage, _rng: random.Random) -> None:
    """The primary is gone, the secondary is there."""
    stage.servers[1].up()
    stage.kill_server(stage.servers[0])


def _is_running(stage: Stage) -> bool:
    return stage.agent.is_running


def _is_stopped(stage: Stage) -> bool:
    return not stage.agent.is_running


def _is_any_up(stage: Stage) -> bool:
    return any(server.is_up for server in stage.servers)


def _is_any_alive(stage: Stage) -> bool:
    return any(server.is_running for server in stage.servers)


def _is_any_out(stage: Stage) -> bool:
    return not all(server.is_up for server in stage.servers)


KINDS = (
    Kind("write", 6, _write),
    Kind("write half a line", 3, _write_half),
    Kind("rename", 5, _rename, is_rotation=True),
    Kind("rename, writer late", 4, _rename_late, is_rotation=True),
    Kind("copytruncate", 4, _copytruncate, is_rotation=True),
    Kind("several rotations", 3, _several, lambda stage: not stage.is_link),
    Kind("delete and create", 2, _delete, lambda stage: stage.holds_log(), is_rotation=True),
    Kind("replace", 2, _replace, lambda stage: stage.holds_log(), is_rotation=True),
    Kind("switch the link", 8, _switch, lambda stage: stage.is_link, is_rotation=True),
    Kind("stop", 2, _stop, _is_running),
    Kind("stop and start", 2, _restart, _is_running),
    Kind("kill", 2, _kill, _is_running),
    Kind("kill and start", 3, _kill_and_start, _is_running),
    Kind("overlapping restart", 2, _overlap, _is_running),
    Kind(
        "hang up", 2, _hang_up, lambda stage: stage.has_seen_all()
    ),  # before, it would end an interpreter that is starting
    Kind("start", 12, _start, _is_stopped),
    Kind("freeze", 2, _freeze, lambda stage: stage.agent.is_running and not stage.agent.is_frozen),
    Kind("thaw", 12, _thaw, lambda stage: stage.agent.is_frozen),
    Kind("server down", 2, _down, _is_any_alive),
    Kind("all servers down", 1, _all_down, _is_any_alive),
    Kind("server up", 12, _up, _is_any_out),
    Kind("server bounced", 3, _bounce, _is_any_alive),
    Kind("server hung", 2, _hang, _is_any_up),
    Kind("connections reset", 3, _reset, _is_any_up),
    Kind("failover", 2, _fail_over, lambda stage: len(stage.servers) > 1),
)
