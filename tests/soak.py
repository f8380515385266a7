"""
Random faults against the real daemon for as long as one likes: ``python -m tests.soak --seconds 3600``.

Twenty logs are written at 5,000 lines a second each while, every second, something happens to a log, to a worker, to the
master, to its configuration, to a server, to the network between them, to the disk of ``state_dir`` or to the clock. With
``--logs 1`` it is a single worker, with its log and its servers. Memory and disk stay bounded: what is complete is judged
and forgotten.

The network and the disk need root, and namespaces: the program puts itself into some of its own, so that nothing of it
is seen from outside, and nothing can be left behind.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).parent))

from faults import fleet_operations, network, operations
from faults.fleet import Fleet
from faults.scene import Report, Scene
from faults.settings import variant
from faults.stage import Stage
from faults.usage import CpuTime, Memory

MOST_OUTAGE = 10.0
"""Seconds after which whatever is down, stopped, frozen, full or out of reach is mended, whether chance wants it or not."""

JUDGED_AFTER = 60.0
"""Seconds after which complete generations are judged and forgotten: longer than anything can be on its way."""

STEP = 0.02
"""Seconds between two writes of a log: a line at a time would measure the writers."""

CATCHES_UP = 30.0
"""Seconds after which a writer that was kept from writing leaves lines out, which is said."""

PATIENCE = 6.0
"""Factor of the seconds after which a command or a start that has not ended is a fault: it is not alone on its machine."""

MEMORY_INTERVAL = 5.0
"""Seconds between two looks at the memory of all processes."""

INSIDE = "FLUENTLITE_SOAK_INSIDE"
"""Environment variable that tells that we are in namespaces of our own."""


class Soak:
    """
    Args:
        scene: With everything in it; its agent is started here.
        seed: Of the list of faults.
        faults: Where each fault is written down when it is made.
        only: Names of the faults that are made; none means all.
        figures: Where all that is printed is written, too.
    """

    def __init__(self, scene: Scene, seed: int, faults: Path, only: list[str], figures: Path | None) -> None:
        self._scene, self._rng, self._only, self._figures = scene, random.Random(seed), only, figures
        self._faults: Counter[str] = Counter()
        self._faults_path = faults
        self._memory = Memory(count=len(scene.logs) + isinstance(scene, Fleet))
        self._memory_due = 0.0
        self._agents, self._sinks = CpuTime(), CpuTime()
        self._out_since: dict[str, float] = {}
        self._started = self._ended = time.monotonic()
        scene.step, scene.patience = STEP, PATIENCE
        for log in scene.logs:
            log.most_at_once = CATCHES_UP
        if isinstance(scene, Fleet):
            fleet_operations.change_all(scene, self._rng)

    def run(self, seconds: float, every: float) -> Report:
        """Do it for *seconds*, with a fault *every* so many on average, and say every minute how it goes."""
        scene = self._scene
        scene.start_agent()
        self._started = time.monotonic()
        end, say_at, next_at = self._started + seconds, self._started + 60, self._started
        while (now := time.monotonic()) < end:
            if (kind := self._draw()) is not None:
                self._faults[kind.name] += 1
                self._note(kind.name)
                kind.act(scene, self._rng)
            # What takes long itself is followed at once by the next one.
            next_at = max(next_at + every * self._rng.uniform(0.2, 1.8), time.monotonic() + every * 0.1)
            scene.run_for(min(next_at, end) - time.monotonic())
            self._mend(time.monotonic())
            self._measure(time.monotonic())
            scene.forget(now - JUDGED_AFTER)
            if now >= say_at:
                say_at += 60
                self._say(scene.report(), "not yet there")
        self._ended = time.monotonic()
        report = scene.finish()
        if (
            isinstance(scene, Fleet)
            and scene.clock is not None
            and scene.clock.jumps > 5 * scene.clock.seen + 5
        ):
            report.problems.append("surprise: the clock jumped, and the daemon's times do not show it")
        return report

    def _draw(self) -> operations.Kind | None:
        """Choose a fault that is possible now: first one of each kind, then by their weights."""
        scene = self._scene
        kinds = fleet_operations.possible(scene) if isinstance(scene, Fleet) else operations.possible(scene)
        if self._only:
            kinds = [kind for kind in kinds if kind.name in self._only]
        new = [kind for kind in kinds if not self._faults[kind.name]]
        return operations.choose(new or kinds, self._rng) if kinds else None

    def _mend(self, now: float) -> None:
        """End what has lasted too long, so that there is no more on its way than the model remembers."""
        for name, is_well in self._scene.states().items():
            if is_well:
                self._out_since.pop(name, None)
            elif now - self._out_since.setdefault(name, now) > MOST_OUTAGE:
                self._scene.mend(writing=True)

    def _measure(self, now: float) -> None:
        self._ended = now
        self._agents.look(self._scene.agent.pids)
        self._sinks.look([server.pid for server in self._scene.servers if server.is_running])
        if now >= self._memory_due:
            self._memory_due = now + MEMORY_INTERVAL
            self._memory.look(self._scene.agent.pids)

    def _note(self, fault: str) -> None:
        """Write down what is made when, beside what the daemon says."""
        with open(self._faults_path, "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {time.monotonic():.3f} {fault}\n")

    # -- what is said -----------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Print it, and keep it."""
        print(text, flush=True)
        if self._figures is not None:
            with open(self._figures, "a", encoding="utf-8") as file:
                file.write(text + "\n")

    def _say(self, report: Report, missing: str) -> None:
        elapsed = self._ended - self._started
        text = str(report).replace(" lost,", f" {missing},")
        self.say(
            f"{elapsed:6.0f} s, {sum(self._faults.values())} faults: {text}; {self._load(report, elapsed)}"
        )

    def _load(self, report: Report, elapsed: float) -> str:
        """Say how fast it was, and what it took; the writers' own lateness is no secret."""
        left_out = sum(log.left_out for log in self._scene.logs)
        late = (
            f" ({left_out:.0f} more were due and are left out: this machine was too busy)"
            if left_out >= 1
            else ""
        )
        ours = sum(os.times()[:2])
        cores = [seconds / elapsed for seconds in (self._agents.seconds, self._sinks.seconds, ours)]
        return (
            f"{report.written / elapsed:.0f} lines/s{late}; cores: agent {cores[0]:.2f}, servers {cores[1]:.2f}, "
            f"writers and judge {cores[2]:.2f}; load {os.getloadavg()[0]:.1f}; {self._memory.say_now()}"
        )

    def say_all(self, report: Report, missing: str) -> None:
        """Print the verdict, or how far it went."""
        self._say(report, missing)
        self.say("faults: " + ", ".join(f"{name} {count}" for name, count in self._faults.most_common()))
        for text in self._memory.say():
            self.say(text)
        if len(self._memory.samples) > 1:
            self.say("memory is flat" if self._memory.is_flat() else "memory has grown")
        if (clock := getattr(self._scene, "clock", None)) is not None:
            self.say(f"clock: {clock.jumps} jumps, {clock.seen} of them seen in what the daemon wrote")
        for problem in report.problems:
            self.say(problem)


def make_scene(directory: Path, options: argparse.Namespace) -> Scene:
    """Set the scene for one worker, or for the daemon with several logs."""
    seed = options.seed
    if options.logs > 1:
        return Fleet(
            directory, count=options.logs, seed=seed, rate=options.rate, ack_delay=0.02,
            is_secondary=seed % 2 == 0, is_foreground=seed % 4 < 2,
            has_network=options.network, has_disk=options.disk, has_clock=options.clock,
        )  # fmt: skip
    return Stage(
        directory, options=variant(seed), seed=seed, rate=options.rate, secondary=True, ack_delay=0.02
    )


def enter_namespaces(options: argparse.Namespace) -> None:
    """Go on in a network and a mount namespace of our own, if the network or the disk need that; there is the way back."""
    if os.environ.get(INSIDE):
        network.set_up()
        # Who writes the logs and who takes the lines would be elsewhere: they do not wait for their turn here.
        os.nice(-10)
        return
    if options.logs == 1 or not (options.network or options.disk):
        return
    if os.geteuid() != 0:
        _give_up("servers in network namespaces and a disk for state_dir", "root")
    for program, package in (
        ("unshare", "util-linux"),
        ("nsenter", "util-linux"),
        ("ip", "iproute2"),
        ("tc", "iproute2"),
    ):
        if shutil.which(program) is None:
            _give_up(f"{program}", f"the package {package}")
    if subprocess.run(["unshare", "--net", "--mount", "true"], check=False).returncode:
        _give_up("namespaces", "CAP_SYS_ADMIN, which this root has not")
    command = [sys.executable, "-m", "tests.soak", *sys.argv[1:], "--seed", str(options.seed)]
    os.execvpe("unshare", ["unshare", "--net", "--mount", "--", *command], os.environ | {INSIDE: "1"})


def _give_up(what: str, need: str) -> NoReturn:
    sys.exit(f"soak: {what} need {need}; --no-network --no-disk leave the faults of network and disk out")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--rate", type=float, default=5000.0, help="lines per second of each log")
    parser.add_argument("--logs", type=int, default=20, help="1: a single worker, not the daemon")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two faults, on average")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument(
        "--only", action="append", default=[], metavar="FAULT", help="faults of this name; may be given again"
    )
    parser.add_argument("--figures", type=Path, help="a file for all that is printed")
    parser.add_argument(
        "--keep", type=Path, default=Path("build/soak"), help="where logs go if something is wrong"
    )
    for what in ("network", "disk", "clock"):
        parser.add_argument(f"--no-{what}", dest=what, action="store_false", help=f"no faults of the {what}")
    return parser.parse_args()


def _keep(directory: Path, target: Path, seed: int) -> Path:
    """Copy what the daemon said to where it outlives the run."""
    target = target / str(seed)
    target.mkdir(parents=True, exist_ok=True)
    for path in directory.glob("agent*"):
        shutil.copy(path, target)
    return target


def main() -> int:
    """Run; 1 if a line was lost, torn, or doubled without an explanation, or if the agent said something odd."""
    options = parse()
    enter_namespaces(options)
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda signum, _frame: sys.exit(128 + signum))  # so that everything is put away
    with tempfile.TemporaryDirectory(prefix="fluentlite-soak-") as name:
        directory = Path(name)
        with make_scene(directory, options) as scene:
            soak = Soak(scene, options.seed, directory / "agent.faults", options.only, options.figures)
            soak.say(
                f"seed {options.seed}, {options.logs} logs at {options.rate:g} lines/s each for {options.seconds:g} s"
            )
            report = None
            try:
                report = soak.run(options.seconds, options.every)
            finally:
                is_over = report is not None
                soak.say_all(report or scene.report(), "lost" if is_over else "not yet there")
                if not is_over or report.problems:
                    soak.say(f"what the daemon said is in {_keep(directory, options.keep, options.seed)}")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
