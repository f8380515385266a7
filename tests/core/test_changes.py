"""What a reload does with each log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentlite.core.changes import Changes, compare

some_logs = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param({}, {}, Changes(), id="nothing"),
        pytest.param({}, {"b": 1, "a": 1}, Changes(started=("b", "a")), id="started-in-their-order"),
        pytest.param({"b": 1, "a": 1}, {}, Changes(stopped=("b", "a")), id="stopped"),
        pytest.param({"a": 1}, {"a": 2}, Changes(replaced=("a",)), id="replaced"),
        pytest.param({"a": 1, "b": 1}, {"b": 1, "a": 1}, Changes(kept=("b", "a")), id="order-is-no-change"),
        pytest.param(
            {"a": 1, "b": 1, "c": 1},
            {"d": 1, "c": 1, "b": 2},
            Changes(started=("d",), stopped=("a",), replaced=("b",), kept=("c",)),
            id="all-at-once",
        ),
    ],
)
def test_each_log_has_one_fate(old, new, expected):
    """New ones start, missing ones stop, changed ones are replaced, all others stay."""
    assert compare(old, new) == expected


@given(old=some_logs, new=some_logs)
def test_applying_the_changes_gives_the_new_configuration(old, new):
    """Whoever does what the changes say runs exactly the new configuration (P11)."""
    changes = compare(old, new)
    running = {key: value for key, value in old.items() if key not in changes.stopped}
    for key in changes.started:
        assert key not in running
        running[key] = new[key]
    for key in changes.replaced:
        assert running[key] != new[key]
        running[key] = new[key]

    assert running == new
    assert sum(changes.counts().values()) == len(old.keys() | new.keys())


def test_counts_have_the_words_of_the_answer():
    """The counts of a comparison can be sent as they are."""
    assert compare({"a": 1, "b": 1}, {"a": 2, "c": 1, "d": 1}).counts() == {
        "started": 2, "stopped": 1, "replaced": 1, "kept": 0,
    }  # fmt: skip
