"""docs/MIGRATION.md never drifts from the code."""

import pathlib
import re

from fluentlite.config import schema
from fluentlite.config.flag_table import FLAGS
from fluentlite.config.legacy_table import NAMES, SERVERS, VARIABLES
from fluentlite.config.shell import PATIENCE

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "MIGRATION.md"


def rows():
    """The table's rows: flag, variable, key, remark; code without its backticks."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    start = lines.index("| flag | variable | key | remark |") + 2
    for line in lines[start:]:
        if not line.startswith("|"):
            return
        yield [cell.strip().strip("`") for cell in line.strip("|").split("|")]


def test_every_variable_is_in_the_table_once():
    """Whoever has one finds it."""
    assert sorted(variable for _, variable, _, _ in rows() if variable) == sorted(NAMES)


def test_every_flag_is_in_the_table():
    """Also those that are new."""
    shown = {flag for flag, _, _, _ in rows() if flag.startswith("-")}

    assert shown == {flag.option for flag in FLAGS if flag.target != "help"}


def test_each_variable_has_its_key():
    """The one that import writes."""
    keys = {variable.name: variable.key for variable in VARIABLES} | SERVERS
    shown = {variable: key for _, variable, key, _ in rows()}

    assert {name: shown[name] for name in keys} == keys


def test_each_flag_has_its_key():
    """The one that it sets."""
    for flag, _, key, _ in rows():
        for known in FLAGS:
            if known.option == flag and known.target in schema.KEYS:
                assert key in (known.target, f"{known.target}_file")


def test_numbers_are_those_of_the_code():
    """The script's time, and its servers' default."""
    text = DOCUMENT.read_text(encoding="utf-8")

    assert f"It has {PATIENCE:g} seconds." in text
    assert re.search(r"not set 3600, in TOML 60 ", text)
