"""
Random faults against the real worker for as long as one likes: ``python -m tests.soak --seconds 1800``.

A log is written at a steady rate while, every second or so, something happens to it, to the worker or to its
servers. Memory and disk stay bounded: what is complete is judged and forgotten.
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

from faults.operations import draw
from faults.scene import Report
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
        stage: With everything in it; its worker is started here.
        seed: Of the list of faults.
    """

    def __init__(self, stage: Stage, seed: int) -> None:
        self._stage, self._rng = stage, random.Random(seed)
        self._faults: Counter[str] = Counter()
        self._sizes: list[int] = []
        self._out_since: dict[str, float] = {}
        self._started = time.monotonic()

    def run(self, seconds: float) -> Report:
        """Do it for *seconds*, and say every minute how it goes."""
        stage = self._stage
        stage.start_agent()
        end, say_at = self._started + seconds, self._started + 60
        while (now := time.monotonic()) < end:
            kind = draw(stage, self._rng)
            self._faults[kind.name] += 1
            kind.act(stage, self._rng)
            stage.run_for(self._rng.uniform(0.2, 1.8))
            self._mend(time.monotonic())
            if size := stage.agent.resident_size():
                self._sizes.append(size)
            stage.model.forget(now - JUDGED_AFTER)
            stage.evidence.forget(now - EVIDENCE_KEPT)
            if now >= say_at:
                say_at += 60
                self._say(stage.report(), "not yet there")
        return stage.finish()

    def _mend(self, now: float) -> None:
        """End what has lasted too long, so that there is no more on its way than the model remembers."""
        agent = self._stage.agent
        states = {"worker": agent.is_running and not agent.is_frozen}
        states |= {server.name: server.is_up for server in self._stage.servers}
        for name, is_well in states.items():
            if is_well:
                self._out_since.pop(name, None)
            elif now - self._out_since.setdefault(name, now) > MOST_OUTAGE:
                agent.thaw()
                agent.start()
                for server in self._stage.servers:
                    server.up()

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
            f"memory of the worker: {sum(sizes[:tenth]) / tenth:.1f} MB at the start, "
            f"{sum(sizes[-tenth:]) / tenth:.1f} MB at the end, {max(sizes):.1f} MB at most"
        )
        for problem in report.problems:
            print(problem)


def main() -> int:
    """Run; 1 if a line was lost, torn, or doubled without an explanation, or if the worker said something odd."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--rate", type=float, default=5000.0, help="lines per second")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.rate:g} lines/s for {options.seconds:g} s", flush=True)
    with tempfile.TemporaryDirectory(prefix="fluentlite-soak-") as directory:
        stage = Stage(
            Path(directory),
            options=variant(options.seed),
            seed=options.seed,
            rate=options.rate,
            secondary=True,
            ack_delay=0.02,
        )
        with stage:
            soak = Soak(stage, options.seed)
            report = soak.run(options.seconds)
            soak.say_all(report)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
