"""How much is measured, by default and for a quick look."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    Sizes are in bytes and of whole files; each round runs every subject once.

    Attributes:
        catch_up: Average line size -> size of the file.
        paces: Average line size -> lines per second of a writer that keeps a pace.
        paced_seconds: How long it writes.
        hurried: Size of what a writer appends as fast as it goes.
        rest: Seconds of idleness until memory should have been given back.
        idle_rest: Seconds of idleness until a log that nothing happens to is looked at as seldom as can be.
        busy_size: Size of each of the logs that many workers catch up with.
    """

    rounds: int = 7
    live_rounds: int = 3
    catch_up: dict[int, int]
    paces: dict[int, int]
    paced_seconds: float = 3.0
    hurried: int = 256 * MIB
    format_size: int = 64 * MIB
    format_rounds: int = 3
    backlog: int = 2048 * MIB
    rest: float = 7.0
    quiet_lines: int = 500
    idle_workers: int = 100
    idle_rest: float = 20.0
    idle_seconds: float = 60.0
    many_workers: int = 1000
    busy_workers: int = 10
    busy_size: int = 64 * MIB
    busy_rounds: int = 3


FULL = Plan(
    catch_up={50: 256 * MIB, 200: 512 * MIB, 2000: 1024 * MIB},
    paces={50: 200_000, 200: 100_000, 2000: 20_000},
)

QUICK = Plan(
    rounds=2,
    live_rounds=1,
    catch_up={50: 2 * MIB, 200: 4 * MIB, 2000: 8 * MIB},
    paces={50: 200_000, 200: 100_000, 2000: 20_000},
    paced_seconds=0.2,
    hurried=4 * MIB,
    format_size=MIB,
    format_rounds=1,
    backlog=16 * MIB,
    rest=0.1,
    quiet_lines=30,
    idle_workers=3,
    idle_rest=0.1,
    idle_seconds=0.5,
    many_workers=5,
    busy_workers=2,
    busy_size=MIB,
    busy_rounds=1,
)
"""Too small for figures that mean anything: it shows that the benchmark works."""
