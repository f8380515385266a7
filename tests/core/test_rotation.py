"""Which files beside a log are generations of it, and which of them nobody has read."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentlite.core.rotation import (
    COMPRESSED_SUFFIXES,
    FileFacts,
    Identity,
    Sibling,
    age_order,
    compressed_of,
    is_rotated_name,
    missed_generations,
)

ROTATED = [
    ("app.log", "app.log.1"),
    ("app.log", "app.log.10"),
    ("app.log", "app.log.0"),
    ("app.log", "app.log-20260131"),
    ("app.log", "app.log-20260131-1700000000"),
    ("app.log", "app.log.2026-01-31"),
    ("app.log", "app.log.2026-01-31T10:00:00"),
    ("app.log", "app.log.2026-01-31T10:00:00+0200"),
    ("app.log", "app.log-20260131T100000Z"),
    ("app.log", "app.log_20260131"),
    ("app.log", "app.log.old"),
    ("app.log", "app.log.prev"),
    ("app.log", "app.log.previous"),
    ("app.log", "app-20260131.log"),
    ("app.log", "app.1.log"),
    ("app.log", "app_2026-01-31.log"),
    ("syslog", "syslog.1"),
    ("access_log", "access_log-20260131"),
    ("a+b(c).log", "a+b(c).log.1"),
    (".hidden", ".hidden.1"),
]

NOT_ROTATED = [
    ("app.log", "app.log"),
    ("app.log", "app-error.log"),
    ("app.log", "app.log.error"),
    ("app.log", "app.log.1.gz"),
    ("app.log", "app.log-20260131.zst"),
    ("app.log", "app.log1"),
    ("app.log", "app2.log"),
    ("app.log", "myapp.log.1"),
    ("app.log", "app.logs.1"),
    ("app.log", "app.log."),
    ("app.log", "app.log.1\n"),
    ("app.log", "app.log.1.Z"),
    ("app.log", "app.log-20260131T100000.Z"),
    ("app.log", "app.log.swp"),
    ("app.log", "app.log~"),
    ("app.log", "app.1.txt"),
    ("app.log", "appxlog.1"),
    (".log", "-1.log"),
]

FACTS = {
    name: FileFacts(Identity(1, inode), size=100, mtime_ns=mtime, ctime_ns=ctime)
    for inode, (name, mtime, ctime) in enumerate([("a.3", 10, 50), ("a.2", 20, 51), ("a.1", 30, 52)])
}
SIBLINGS = [Sibling(name, facts) for name, facts in FACTS.items()]


def names(siblings):
    return [sibling.name for sibling in siblings]


def missed(**changes):
    known = {"known": set(), "finished": {}, "since_ns": 0} | changes
    return names(missed_generations(SIBLINGS, **known))


@pytest.mark.parametrize(("base", "name"), ROTATED)
def test_rotated_names(base, name):
    """What common rotations make of a log's name is recognised (T04)."""
    assert is_rotated_name(base, name)


@pytest.mark.parametrize(("base", "name"), NOT_ROTATED)
def test_other_names(base, name):
    """Another log, a compressed file or an editor's file is no generation (T04, T06)."""
    assert not is_rotated_name(base, name)


@pytest.mark.parametrize("suffix", COMPRESSED_SUFFIXES)
@pytest.mark.parametrize(("base", "name"), ROTATED)
def test_compressed_names(base, name, suffix):
    """A compressed generation is known as one, and is not read as lines (T06)."""
    assert compressed_of(base, name + suffix)
    assert not is_rotated_name(base, name + suffix)
    assert not compressed_of(base, name)
    assert not compressed_of("other" + base, name + suffix)


def test_compressed_under_the_log_s_own_name():
    """``app.log.gz`` is not known to be a generation of ``app.log``."""
    assert not compressed_of("app.log", "app.log.gz")


@pytest.mark.parametrize("order", list(itertools.permutations(SIBLINGS)))
def test_oldest_first(order):
    """Generations are read in the order in which they were written (T01, T06)."""
    assert names(age_order(order)) == ["a.3", "a.2", "a.1"]


def test_written_in_the_same_instant():
    """Of two with the same last write the one that was renamed first is older."""
    first, second = (Sibling(n, FileFacts(Identity(1, i), 1, 5, ctime_ns=c)) for i, (n, c) in enumerate([("a.2", 8), ("a.1", 9)]))  # fmt: skip

    assert names(age_order([second, first])) == names(age_order([first, second])) == ["a.2", "a.1"]


def test_all_are_missed():
    """Whatever nobody knows is to be read, oldest first (T04)."""
    assert missed() == ["a.3", "a.2", "a.1"]


def test_what_is_followed_is_not_missed():
    """A file that is being followed is not read a second time (T42)."""
    assert missed(known={FACTS["a.2"].identity}) == ["a.3", "a.1"]


def test_what_is_older_is_not_missed():
    """What was last written before the newest known generation was there before it; in the same instant it may not have been."""
    assert missed(since_ns=20) == ["a.2", "a.1"]
    assert missed(since_ns=21) == ["a.1"]


def test_what_is_finished_is_not_missed():
    """A generation that was delivered is not read again (T06)."""
    assert missed(finished={FACTS["a.2"].identity: (100, 20)}) == ["a.3", "a.1"]


@pytest.mark.parametrize("then", [(99, 20), (100, 19), (101, 20)])
def test_a_finished_one_has_changed(then):
    """A finished generation with another size or a later write has something to read: late lines, or its inode is used again (T01, T12)."""
    assert missed(finished={FACTS["a.2"].identity: then}) == ["a.3", "a.2", "a.1"]


facts = st.builds(
    FileFacts,
    st.builds(Identity, st.integers(1, 2), st.integers(1, 9)),
    st.integers(0, 3),
    st.integers(0, 5),
    st.integers(0, 5),
)


@given(
    st.lists(facts, unique_by=lambda fact: fact.identity),
    st.sets(facts.map(lambda fact: fact.identity)),
    st.lists(facts),
    st.integers(0, 6),
)
def test_any_directory(found, known, finished, since_ns):
    """A file is missed exactly if it is unknown, not finished as it is, and not older; and time never goes back."""
    rotated = [Sibling(f"a.{i}", fact) for i, fact in enumerate(found)]
    done = {fact.identity: (fact.size, fact.mtime_ns) for fact in finished}
    result = missed_generations(rotated, known=known, finished=done, since_ns=since_ns)

    for sibling in rotated:
        fact = sibling.facts
        is_done = done.get(fact.identity) == (fact.size, fact.mtime_ns)
        assert (sibling in result) == (
            fact.identity not in known and not is_done and fact.mtime_ns >= since_ns
        )
    assert [s.facts.mtime_ns for s in result] == sorted(s.facts.mtime_ns for s in result)


def test_an_identity_reads_as_device_and_inode():
    """Messages and chunk ids name a file as ``device:inode``."""
    assert str(Identity(64769, 7)) == "64769:7"
