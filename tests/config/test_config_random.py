"""Whatever the bytes, a configuration is read or refused."""

import pathlib
import tempfile

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluentlite.config import schema
from fluentlite.config.legacy import settings_of
from fluentlite.config.legacy_script import understand
from fluentlite.config.legacy_table import NAMES as NAMES_OF_VARIABLES
from fluentlite.config.model import Settings
from fluentlite.config.problems import Problems
from fluentlite.config.shell import Sourced
from fluentlite.config.toml import load
from fluentlite.core.display import defuse
from fluentlite.errors import ConfigError

NAMES = sorted(
    {
        *(name for keys in schema.HEADERS.values() for name in keys),
        *("master", "forward", "security", "tls", "tail", "ping", "drain_log", "log", "include"),
    }
)
# About what belongs there, and what the parsers of values might trip over.
TEXTS = st.one_of(
    st.sampled_from(
        ["a", "/a/b", "-", "", "json", "gzip", "a:1", "[::1]:2", "${A}", "${A", "${B:-x}", "*", "~"]
    ),
    st.text(max_size=12),
)
SCALARS = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(2**80), 2**80),
    st.integers(-5, 200),
    st.floats(),
    st.datetimes(),
    st.times(),
    st.dates(),
)
KEYS = st.one_of(st.sampled_from(NAMES), st.sampled_from(NAMES), st.text(max_size=6))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=12,
)
LOGS = st.fixed_dictionaries({"tag": TEXTS, "path": TEXTS}, optional={"forward": VALUES, "ping": VALUES})
TABLES = st.dictionaries(KEYS, VALUES, max_size=6) | st.fixed_dictionaries(
    {"forward": st.just({"primary": ["a"]}) | VALUES, "log": st.lists(LOGS, min_size=1, max_size=3)},
    optional={"master": VALUES, "tail": VALUES, "ping": VALUES, "include": VALUES},
)


def text_of(value):
    """*value* as TOML writes it within a line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(char):08x}" for char in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(text_of, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{text_of(key)} = {text_of(item)}" for key, item in value.items()) + "}"
    return value.isoformat() if hasattr(value, "isoformat") else repr(value)


SECRET = "SeSaMe-OpEn"


def check(content):
    """*content* gives settings, or problems that can be printed."""
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory, "main.toml")
        path.write_bytes(content)
        try:
            assert isinstance(load(str(path), {"A": "alpha"}), Settings)
        except ConfigError as exc:
            assert exc.problems
            assert all(defuse(problem) == problem for problem in exc.problems)
            assert not any(SECRET in problem for problem in exc.problems)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TABLES)
def test_any_tables_are_read_or_refused(tables):
    """Whatever TOML can say, ConfigError is the only exception."""
    check("\n".join(f"{text_of(key)} = {text_of(value)}" for key, value in tables.items()).encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text("[]{}=\"'#.,\n ae_-0+", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(content):
    """Whatever the bytes of a file, ConfigError is the only exception."""
    check(content)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=3)), max_size=4))
def test_any_damage_to_a_configuration_is_read_or_refused(damages):
    """A good file with some bytes overwritten gives settings or problems, and no problem tells a secret."""
    content = bytearray(
        b'include = ["*.x"]\n[master]\nnice = 5\n[forward]\nprimary = ["a:1", "[::1]:2"]\nformat = "json"\n'
        b'[forward.security]\nshared_key = "%(secret)b"\nusername = "u"\npassword = "%(secret)b"\n'
        b'[tail]\nrotate_wait = 1e1\n[ping]\ntag = "p"\ndata = "d"\n'
        b'[[log]]\ntag = "t"\npath = "/a"\nforward.tls.verify = false\n' % {b"secret": SECRET.encode()}
    )
    for position, damage in damages:
        start = position % len(content)
        content[start : start + len(damage)] = damage
    check(bytes(content))


LINES = st.text("ab/. =#'\"$\n\t:0-9eE+", max_size=20) | st.text(max_size=12)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES_OF_VARIABLES), LINES), st.text(max_size=60))
def test_any_variables_are_read_or_refused(variables, script):
    """Whatever an old script sets, and whatever its text is: settings, or problems that can be printed."""
    problems = Problems()
    found = understand(
        "/etc/old.conf", script, Sourced(dict.fromkeys(NAMES_OF_VARIABLES, "") | variables, ()), problems
    )
    try:
        problems.raise_all()
        assert isinstance(settings_of(found), Settings)
    except ConfigError as exc:
        assert all(defuse(problem) == problem for problem in exc.problems)
    assert all(warning.isprintable() for warning in found.warnings)
