"""Text that any terminal shows in the columns it was counted for, whatever is in it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentlite.core.display import cut, defuse, fit, width, wrap

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
HARMFUL = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Me"}


def columns_of(text):
    """A second opinion on the width: wide ones count two, combining marks none."""
    return sum(
        0 if unicodedata.category(char) == "Mn" else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("nginx.access", "nginx.access", id="plain"),
        pytest.param("\x1b[2J\x07", "\\x1b[2J\\x07", id="escape-sequence"),
        pytest.param("a\nb\rc\td\x7f", "a\\x0ab\\x0dc\\x09d\\x7f", id="controls"),
        pytest.param("\x9b31m", "\\x9b31m", id="8-bit-control"),
        pytest.param("log.\u202eexe", "log.\\u202eexe", id="right-to-left-override"),
        pytest.param("a\u200bb\ufeff", "a\\u200bb\\ufeff", id="invisible"),
        pytest.param("a\u2028b", "a\\u2028b", id="line-separator"),
        pytest.param("caf\udce9", "caf\\xe9", id="a-byte-that-is-not-utf8"),
        pytest.param("\ud83d", "\\ud83d", id="half-a-character"),
        pytest.param("\U000e0041", "\\U000e0041", id="beyond-16-bits"),
        pytest.param("日本語", "日本語", id="wide"),
        pytest.param("e\u0301e\u0301", "e\u0301e\u0301", id="combining"),
        pytest.param("\u0301a", "\\u0301a", id="a-mark-on-whatever-is-before"),
        pytest.param("a\u0301\u0302\u0303\u0304", "a\u0301\u0302\\u0303\\u0304", id="marks-piled-up"),
        pytest.param("\u2764\ufe0f", "\u2764\\ufe0f", id="selector-of-a-wider-form"),
    ],
)
def test_what_could_harm_is_shown_as_an_escape(text, shown):
    """Nothing moves the cursor, hides, or leaves its columns; what is harmless stays as it is."""
    assert defuse(text) == shown


def test_a_terminal_that_knows_ascii_only():
    """Where nothing else can be shown, everything else is an escape."""
    assert defuse("é日\U0001f600", ascii_only=True) == "\\xe9\\u65e5\\U0001f600"


@given(ANY_TEXT, st.booleans())
def test_anything_is_defused(text, ascii_only):
    """No harmful character is left, and defusing again changes nothing."""
    shown = defuse(text, ascii_only=ascii_only)

    assert not {unicodedata.category(char) for char in shown} & HARMFUL
    assert not ascii_only or shown.isascii()
    assert defuse(shown, ascii_only=ascii_only) == shown
    assert columns_of(shown) <= width(shown)


@given(ANY_TEXT, st.integers(2, 30), st.booleans(), st.booleans())
def test_a_cell_has_exactly_its_columns(text, columns, right, middle):
    """Whatever is in it, a cell is as wide as its column."""
    assert width(fit(defuse(text), columns, right=right, middle=middle)) == columns


@pytest.mark.parametrize(
    ("text", "columns", "end", "middle"),
    [
        pytest.param("abcdef", 6, "abcdef", "abcdef", id="fits"),
        pytest.param("abcdefg", 6, "abcde~", "abc~fg", id="cut"),
        pytest.param("日本語日本", 6, "日本~", "日~本", id="no-half-characters"),
        pytest.param(
            "ae\u0301abcdee\u0301", 5, "ae\u0301ab~", "ae\u0301~ee\u0301", id="marks-stay-with-letters"
        ),
    ],
)
def test_cutting(text, columns, end, middle):
    """What is too long is cut at its end or in its middle, between letters."""
    assert (cut(text, columns), cut(text, columns, middle=True)) == (end, middle)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("aa bb cc", ["  aa bb", "  cc"], id="between-words"),
        pytest.param("aa /very/long/path", ["  aa", "  /very/", "  long/p", "  ath"], id="long-word"),
        pytest.param("日本語日", ["  日本語", "  日"], id="wide"),
    ],
)
def test_wrapping(text, lines):
    """Lines break between words, and long words anywhere."""
    assert wrap(text, 8, "  ") == lines


@given(ANY_TEXT, st.integers(8, 40))
def test_wrapped_lines_fit_and_lose_nothing(text, columns):
    """No line is too wide, and but for spaces all of the text is there."""
    shown = defuse(text)
    lines = wrap(shown, columns, "    ")

    assert all(width(line) <= columns for line in lines)
    assert "".join(lines).replace(" ", "") == shown.replace(" ", "")
