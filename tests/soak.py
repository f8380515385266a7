"""
Random faults against the real worker for as long as one likes: ``python -m tests.soak --seconds 1800``.

A log is written at a steady rate while, every second or so, something happens to it, to the worker or to its
servers. With ``--logs 20`` it is the whole daemon with so many logs, and things happen to its master, its workers
and its configuration too. Memory and disk stay bounded: what is complete is judged and forgotten.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from faults import fleet_operations, operations
from faults.fleet import Fleet
from faults.scene import Report, Scene
from faults.settings import variant
from faults.stage import Stage

MOST_OUTAGE = 10.0
"""Seconds after which whatever is down, stopped or frozen is mended, whether chance wants it or not."""

JUDGED_AFTER = 60.0
"""Seconds after which complete generations are judged and forgotten: longer than anything can be on its way."""

EVIDENCE_KEPT = 900.0
"""Seconds for which it is remembered what happened to whom."""


class Soak:
    """
    Args:
        scene: With everything in it; its agent is started here.
        seed: Of the list of faults.
    """

    def __init__(self, scene: Scene, seed: int) -> None:
        self._scene, self._rng = scene, random.Random(seed)
        self._draw = fleet_operations.draw if isinstance(scene, Fleet) else operations.draw
        self._faults: Counter[str] = Counter()
        self._sizes: list[int] = []
        self._out_since: dict[str, float] = {}
        self._started = time.monotonic()

    def run(self, seconds: float) -> Report:
        """Do it for *seconds*, and say every minute how it goes."""
        scene = self._scene
        scene.start_agent()
        end, say_at = self._started + seconds, self._started + 60
        while (now := time.monotonic()) < end:
            kind = self._draw(scene, self._rng)
            self._faults[kind.name] += 1
            kind.act(scene, self._rng)
            scene.run_for(self._rng.uniform(0.2, 1.8))
            self._mend(time.monotonic())
            if size := scene.agent.resident_size():
                self._sizes.append(size)
            scene.forget(now - JUDGED_AFTER, now - EVIDENCE_KEPT)
            if now >= say_at:
                say_at += 60
                self._say(scene.report(), "not yet there")
        return scene.finish()

    def _mend(self, now: float) -> None:
        """End what has lasted too long, so that there is no more on its way than the model remembers."""
        for name, is_well in self._scene.states().items():
            if is_well:
                self._out_since.pop(name, None)
            elif now - self._out_since.setdefault(name, now) > MOST_OUTAGE:
                self._scene.mend()

    def _say(self, report: Report, missing: str = "lost") -> None:
        elapsed = time.monotonic() - self._started
        text = str(report).replace(" lost,", f" {missing},")
        print(f"{elapsed:6.0f} s, {sum(self._faults.values())} faults: {text}", flush=True)

    def say_all(self, report: Report) -> None:
        """Print the verdict."""
        self._say(report)
        print("faults:", ", ".join(f"{name} {count}" for name, count in self._faults.most_common()))
        sizes = [size / 2**20 for size in self._sizes]
        tenth = max(1, len(sizes) // 10)
        print(
            f"memory of the agent: {sum(sizes[:tenth]) / tenth:.1f} MB at the start, "
            f"{sum(sizes[-tenth:]) / tenth:.1f} MB at the end, {max(sizes):.1f} MB at most"
        )
        for problem in report.problems:
            print(problem)


def make_scene(directory: Path, logs: int, rate: float, seed: int) -> Scene:
    """Set the scene for one worker, or for the daemon with several *logs* that share *rate*."""
    if logs > 1:
        return Fleet(
            directory, count=logs, seed=seed, rate=rate / logs, ack_delay=0.02,
            is_secondary=seed % 2 == 0, is_foreground=seed % 4 < 2,
        )  # fmt: skip
    options = variant(seed)
    return Stage(directory, options=options, seed=seed, rate=rate, secondary=True, ack_delay=0.02)


def main() -> int:
    """Run; 1 if a line was lost, torn, or doubled without an explanation, or if the agent said something odd."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--rate", type=float, default=5000.0, help="lines per second, of all logs together")
    parser.add_argument("--logs", type=int, default=1, help="more than one: the whole daemon")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    print(
        f"seed {options.seed}, {options.logs} logs, {options.rate:g} lines/s for {options.seconds:g} s",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="fluentlite-soak-") as directory:
        with make_scene(Path(directory), options.logs, options.rate, options.seed) as scene:
            soak = Soak(scene, options.seed)
            report = soak.run(options.seconds)
            soak.say_all(report)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
