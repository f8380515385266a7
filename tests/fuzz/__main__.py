"""
Look for inputs that a reader cannot take: ``python -m tests.fuzz --target ack --seconds 60``.

With atheris (``pip install atheris``; it needs no more) the search is led by coverage; without it, known inputs are
changed at random. What is found is left in ``tests/fuzz/found``: mend the reader, give the input a name that says what
it shows, and move it to ``tests/fuzz/corpus/TARGET``, where ``test_corpus`` replays it for ever.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import random
import subprocess
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).parent
FOUND = HERE / "found"

PATIENCE = 10
"""Seconds that one input may take; a reader that needs more is as bad as one that fails."""

NAMES = ("ack", "ack_json", "handshake", "ping", "receiver", "checkpoint", "toml", "legacy", "servers", "request", "answer")  # fmt: skip
"""Those of ``targets.TARGETS``, which may be imported only once atheris is ready to instrument it."""


def with_atheris(name: str, seconds: int) -> None:
    """Never returns: the fuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["fluentlite", "json", "tomllib", "shlex"]):
        from tests.fuzz.targets import TARGETS

    target, scratch = TARGETS[name], FOUND / f"{name}-grown"
    scratch.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds:
        (scratch / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    corpus = HERE / "corpus" / name
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={target.longest}",
        f"-timeout={PATIENCE}",
        f"-artifact_prefix={FOUND}/{name}-",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
    ]
    atheris.Setup(
        [sys.argv[0], *options, str(scratch), *([str(corpus)] if corpus.is_dir() else [])], target.run
    )
    atheris.Fuzz()


def at_random(name: str, seconds: int) -> None:
    """Change what is known to be read, here and there."""
    from tests.fuzz.targets import TARGETS

    target, rng, count = TARGETS[name], random.Random(), 0
    known = [*target.seeds, *(path.read_bytes() for path in sorted((HERE / "corpus" / name).glob("*")))]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data, count = _changed(rng, known)[: target.longest], count + 1
        try:
            target.run(data)
        except Exception:  # noqa: BLE001 - whatever it is, it is a finding
            FOUND.mkdir(exist_ok=True)
            path = FOUND / f"{name}-{hashlib.sha1(data).hexdigest()[:12]}"
            path.write_bytes(data)
            traceback.print_exc()
            print(f"{name}: the input is kept as {path}")
            sys.exit(1)
    print(f"{name}: {count} inputs, nothing found")


def _changed(rng: random.Random, known: list[bytes]) -> bytes:
    data = bytearray(rng.choice(known))
    for _ in range(rng.randrange(1, 5)):
        at, size = rng.randrange(len(data) + 1), rng.randrange(9)
        piece = rng.choice(
            [b"", rng.randbytes(size), data[at : at + size] * rng.randrange(9), rng.choice(known)]
        )
        data[at : at + rng.randrange(size + 1)] = piece
    return bytes(data)


def main() -> int:
    """Fuzz each target in a process of its own, one after another; 1 if anything was found."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__.split("\n\n")[0].strip()
    )
    parser.add_argument("--target", choices=NAMES, action="append", help="may be repeated (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: %(default)s)")
    parser.add_argument(
        "--without-atheris", action="store_true", help="change inputs at random even if it is there"
    )
    options = parser.parse_args()
    is_led = importlib.util.find_spec("atheris") is not None and not options.without_atheris
    if len(options.target or ()) == 1:
        run = with_atheris if is_led else at_random
        run(options.target[0], options.seconds)
        return 0
    failed = []
    for name in options.target or NAMES:
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", "tests.fuzz", "--target", name, "--seconds", str(options.seconds)]
        failed += [name] * bool(subprocess.call(command + ["--without-atheris"] * options.without_atheris))
    print(f"found something: {', '.join(failed)}" if failed else "nothing found")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
