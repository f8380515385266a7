"""
Read docs/FAILURES.md and the rows that tests name; ``python tests/failures_document.py`` writes the tests into it.

Titles and reasons are written by hand, the tests of each row are gathered from their docstrings.
"""

import ast
import functools
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\| ([TSPCO]\d\d) \| (.+?) \| (.+) \|$", re.MULTILINE)
TESTS = re.compile(r"(tests/[\w/]+\.py): ((?:`\w+`(?:, )?)+)")


def listed():
    """The document's rows: id -> (tests as (file, name), the rest of the cell)."""
    rows = {}
    for row, _title, cell in ROW.findall((ROOT / "docs/FAILURES.md").read_text()):
        tests = [
            (file, name) for file, names in TESTS.findall(cell) for name in re.findall(r"`(\w+)`", names)
        ]
        rows[row] = tests, TESTS.sub("", cell).replace("<br>", "").strip()
    return rows


@functools.cache
def docstrings(file):
    """The tests of *file*: name -> docstring."""
    tree = ast.parse((ROOT / file).read_text())
    return {
        node.name: ast.get_docstring(node) or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    }


def names(docstring, row):
    """Whether *docstring* names *row*, by itself or within a range such as T01-T05."""
    ranges = re.findall(r"\b([TSPCO])(\d\d)(?:\s*(?:-|to|–)\s*\1(\d\d))?", docstring)
    return any(kind == row[0] and int(low) <= int(row[1:]) <= int(high or low) for kind, low, high in ranges)


def naming(row):
    """The tests that name *row*, as (file, name), in the order of files."""
    found = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if "node_modules" not in path.parts:
            file = path.relative_to(ROOT).as_posix()
            found += [
                (file, name)
                for name, docstring in docstrings(file).items()
                if name.startswith("test_") and names(docstring, row)
            ]
    return found


def cell(row, reason):
    """What stands in the last column."""
    by_file = {}
    for file, name in naming(row):
        by_file.setdefault(file, []).append(f"`{name}`")
    tests = [f"{file}: {', '.join(dict.fromkeys(found))}" for file, found in by_file.items()]
    return "<br>".join([*tests, *([reason] if reason else [])])


def main():
    """Write the tests of each row into the document."""
    rows = listed()
    document = ROOT / "docs/FAILURES.md"
    text = ROW.sub(lambda m: f"| {m[1]} | {m[2]} | {cell(m[1], rows[m[1]][1])} |", document.read_text())
    document.write_text(text)


if __name__ == "__main__":
    main()
