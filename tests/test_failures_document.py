"""docs/FAILURES.md says what is true of the tests."""

from failures_document import docstrings, listed, names, naming


def test_every_row_has_tests_or_a_reason():
    """All 124 rows are there, and none is empty."""
    rows = listed()

    assert len(rows) == 124
    assert [row for row, (tests, reason) in rows.items() if not tests and len(reason) < 20] == []


def test_the_listed_tests_exist_and_name_their_rows():
    """A test that is listed for a row is in its file and says so itself."""
    listings = [(row, file, name) for row, (tests, _reason) in listed().items() for file, name in tests]

    assert [entry for entry in listings if not names(docstrings(entry[1]).get(entry[2], ""), entry[0])] == []


def test_every_test_that_names_a_row_is_listed_there():
    """Nobody looks in vain; ``python tests/failures_document.py`` lists what is missing."""
    missing = [
        (row, test) for row, (tests, _reason) in listed().items() for test in naming(row) if test not in tests
    ]

    assert missing == []
