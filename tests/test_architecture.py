"""What the parts may know of each other: the arrows of the design, held by reading the source, not by trust."""

from __future__ import annotations

import ast
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest

import fluentlite

PACKAGE = Path(fluentlite.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): ast.parse(path.read_bytes())
    for path in sorted(PACKAGE.rglob("*.py"))
}
CORE = sorted(name for name in MODULES if name.startswith("fluentlite.core."))
ZONES = {"fluentlite.core", "fluentlite.config", "fluentlite.worker", "fluentlite.master"}

PURE = {
    "__future__", "base64", "binascii", "bisect", "codecs", "collections", "collections.abc", "contextlib",
    "dataclasses", "enum", "functools", "gzip", "hashlib", "hmac", "io.BytesIO", "itertools", "json", "math", "operator",
    "random", "re", "string", "struct", "types", "typing", "unicodedata", "zlib",
}  # fmt: skip
"""What the core may import of the standard library: nothing here looks at a file, a socket or a clock."""

WALL_CLOCK = {"time", "time_ns", "localtime", "gmtime", "ctime", "asctime", "strftime", "now", "utcnow", "today"}  # fmt: skip


def imports_of(name):
    """Every module that *name* imports, also inside functions and by ``__import__`` or importlib."""
    found = set()
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively; say which module it is"
            # Of io, which can open files, only BytesIO is pure.
            found |= {f"io.{alias.name}" for alias in node.names} if node.module == "io" else {node.module}
            found |= {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
        elif isinstance(node, ast.Name) and node.id == "__import__":
            found.add("importlib")
    return found


def zone_of(name):
    """The package that a module of ours belongs to; what lies beside them (cli, signals) is its own."""
    return ".".join(name.split(".")[:2])


def reachable_from(name):
    """Every module of ours that runs when *name* is imported, also those that others import for it."""
    found, left = set(), [name]
    while left:
        for module in imports_of(left.pop()) & MODULES.keys() - found:
            found.add(module)
            left.append(module)
    return found


def last_name(node):
    """The name that stands directly before the dot in ``time.time`` or ``datetime.datetime.now``."""
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def lines_of(tree):
    """The last line that any statement reaches."""
    return max((node.end_lineno for node in ast.walk(tree) if hasattr(node, "end_lineno")), default=0)


def test_something_is_looked_at():
    """The modules are found: a test that looks at nothing holds nothing."""
    assert {"fluentlite.core.lines", "fluentlite.worker.tail", "fluentlite.cli"} <= MODULES.keys()
    assert "os" in imports_of("fluentlite.worker.tail")
    assert "fluentlite.core.forward" in imports_of("fluentlite.worker.tail")
    assert "fluentlite.core.retry" in reachable_from("fluentlite.master.member"), "over another module"
    assert "setproctitle" in imports_of("fluentlite.agent"), "an import inside a function"


@pytest.mark.parametrize("name", CORE)
def test_the_core_imports_only_what_is_pure(name):
    """What decides gets time and bytes as arguments: no os, socket, select, time, signal, logging, threading."""
    ours = {module for module in imports_of(name) if module.split(".")[0] == "fluentlite"}
    foreign = imports_of(name) - ours

    assert {zone_of(module) for module in ours} <= {"fluentlite.core", "fluentlite.errors"}
    assert foreign <= PURE | {"msgpack", "isal"}


@pytest.mark.parametrize("name", CORE)
def test_the_core_opens_nothing(name):
    """Nor does it by a builtin."""
    called = {node.id for node in ast.walk(MODULES[name]) if isinstance(node, ast.Name)}

    assert not called & {"open", "print", "input", "exec", "eval", "__import__"}


@pytest.mark.parametrize(("zone", "never"), [("fluentlite.worker", "fluentlite.master"), ("fluentlite.master", "fluentlite.worker"), ("fluentlite.config", "fluentlite.worker"), ("fluentlite.config", "fluentlite.master")])  # fmt: skip
def test_zones_that_never_meet(zone, never):
    """Worker and master never import each other, and the configuration knows neither."""
    meeting = {
        (name, module)
        for name in MODULES
        for module in imports_of(name)
        if zone_of(name) == zone and zone_of(module) == never
    }

    assert not meeting


@pytest.mark.parametrize("zone", ["fluentlite.worker", "fluentlite.master"])
def test_those_who_act_know_only_what_both_share(zone):
    """Master and worker use the core, the settings and what lies beside them, never a command or a file's reader."""
    shared = {
        "fluentlite.config.model", "fluentlite.errors", "fluentlite.logfile", "fluentlite.loop", "fluentlite.report",
        "fluentlite.saying", "fluentlite.scoreboard", "fluentlite.signals", "fluentlite.tls.context",
        "fluentlite.tls.transport", "fluentlite.transport", "fluentlite.trust",
    }  # fmt: skip
    known = {
        module
        for name in MODULES
        if zone_of(name) == zone
        for module in imports_of(name)
        if module.startswith("fluentlite.") and zone_of(module) not in (zone, "fluentlite.core")
    }

    assert known <= shared


@pytest.mark.parametrize(("zone", "never"), [("fluentlite.master", "fluentlite.worker"), ("fluentlite.worker", "fluentlite.master")])  # fmt: skip
def test_nor_do_they_meet_through_others(zone, never):
    """What both share imports neither of them, so one never brings the other along."""
    meeting = {
        (name, module)
        for name in MODULES
        if zone_of(name) == zone
        for module in reachable_from(name)
        if zone_of(module) == never
    }

    assert not meeting


def test_the_master_has_one_thread():
    """Nothing that the master imports of ours starts threads: a fork beside them can stop for ever (P05, P06)."""
    masters = {name for name in MODULES if zone_of(name) == "fluentlite.master"}
    all_of_it = masters.union(*map(reachable_from, masters))
    threads = {"threading", "_thread", "concurrent.futures", "multiprocessing", "asyncio"}

    assert not {(name, module) for name in all_of_it for module in imports_of(name) & threads}


def test_whoever_imports_is_known():
    """Every module of ours that is imported exists, so that no arrow points past these tests."""
    imported = {module for name in MODULES for module in imports_of(name) if module.startswith("fluentlite.")}
    packages = {name.removesuffix(".__init__") for name in MODULES}

    assert imported <= MODULES.keys() | packages


@pytest.mark.parametrize("name", sorted(MODULES))
def test_modules_are_small(name):
    """No module has 300 lines."""
    assert lines_of(MODULES[name]) < 300


def test_waits_do_not_use_the_wall_clock():
    """Only event times, names of broken files, times of files, our log's lines and the start in ``status`` use the wall clock (T44)."""
    uses = {
        (name, node.attr)
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in WALL_CLOCK
        and last_name(node.value) in ("time", "datetime", "date", "dt", "_time")
        and name.startswith(
            (
                "fluentlite.worker",
                "fluentlite.master",
                "fluentlite.signals",
                "fluentlite.scoreboard",
                "fluentlite.daemon",
                "fluentlite.agent",
                "fluentlite.logfile",
            )
        )
    }

    assert uses == {
        ("fluentlite.worker.checkpoint", "time_ns"),
        ("fluentlite.logfile", "localtime"),
        ("fluentlite.worker.main", "time_ns"),
        ("fluentlite.worker.missed", "time_ns"),  # compared with the times of files
        ("fluentlite.master.report", "now"),
    }


def test_time_is_imported_whole():
    """``from time import time`` would hide the wall clock from the test above (T44)."""
    assert not [
        name
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "datetime")
    ]


def test_only_known_packages_are_needed():
    """What is imported is the standard library, ourselves, and what the metadata names; what is optional, in one place."""
    optional = {"isal": ["fluentlite.core.squeeze"]}
    for module, users in optional.items():
        assert [name for name in MODULES if module in imports_of(name)] == users
    top = {module.split(".")[0] for name in MODULES for module in imports_of(name)} - optional.keys()
    named = [line for line in metadata.requires("fluentlite") or [] if "extra ==" not in line]
    packages = {re.match(r"[\w-]+", line).group().replace("-", "_") for line in named}

    assert top - sys.stdlib_module_names - {"fluentlite"} <= packages
