"""How long a quiet log is left alone."""

import pytest

from fluentlite.core.patience import LONGEST, Patience


def waits(patience, count):
    return [patience.next_wait(is_quiet=True) for _ in range(count)]


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (1.0, [1.0, 2.0, 4.0, 8.0, 8.0]),
        (0.1, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 8.0]),
        (5.0, [5.0, 8.0, 8.0]),
        (60.0, [60.0, 60.0]),
    ],
)
def test_it_grows(interval, expected):
    """While nothing happens each wait is twice the one before, up to ``LONGEST``; a longer interval stays (T52)."""
    assert waits(Patience(interval), len(expected)) == pytest.approx(expected)


def test_it_ends_at_once():
    """Whatever happens, the next look is one interval away, and it grows from there again (T52)."""
    patience = Patience(1.0)
    waits(patience, 10)

    assert patience.end() == 1.0
    assert patience.next_wait(is_quiet=False) == 1.0
    assert waits(patience, 3) == [1.0, 2.0, 4.0]
    assert LONGEST == 8.0
