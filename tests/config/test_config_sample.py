"""etc/fluentlite.toml never drifts from the code."""

import pathlib
import re
import tomllib

import pytest

from fluentlite.config import schema
from fluentlite.config.toml import load
from fluentlite.errors import NotConfiguredError

SAMPLE = pathlib.Path(__file__).parents[2] / "etc" / "fluentlite.toml"

_HEADER = re.compile(r"#?(\[\[?[a-z_.]+\]\]?)$")
_KEY = re.compile(r"#?([a-z_]+) = (.+)$")


def lines():
    return SAMPLE.read_text(encoding="utf-8").splitlines()


def keys():
    """(header, key, value) of each key line, in order; the header of the top level is empty."""
    header = ""
    for line in lines():
        if found := _HEADER.match(line):
            header = found[1]
        elif found := _KEY.match(line):
            yield header, found[1], tomllib.loads(f"value = {found[2]}")["value"]


def uncommented(*without):
    """The text with every key and table in effect, but for the keys *without*."""
    text = []
    for line in lines():
        key = _KEY.match(line)
        if key and key[1] in without:
            continue
        text.append(line.removeprefix("#") if key or _HEADER.match(line) else line)
    return "\n".join(text)


def test_it_has_every_key_once_under_its_header():
    """A new key cannot be forgotten, nor an old one kept."""
    expected = [("", "include")] + [
        (header, name) for header, known in schema.HEADERS.items() for name in known
    ]

    assert sorted((header, name) for header, name, _ in keys()) == sorted(expected)


@pytest.mark.parametrize(("header", "name", "value"), list(keys()))
def test_every_key_shows_its_default_or_says_that_it_is_an_example(tmp_path, header, name, value):
    """What a commented key shows is valid, and the default where there is one."""
    key = schema.HEADERS.get(header, schema.FILE.keys)[name]

    if key.default is schema.REQUIRED or key.default is None:
        comment = comment_above(header, name)
        assert "xample" in comment or "No default" in comment
    else:
        assert key.kind.read(value, str(tmp_path)) == key.default


@pytest.mark.parametrize(("header", "name", "_value"), list(keys()))
def test_every_key_is_explained(header, name, _value):
    """A sentence stands above each key, and it names the unit of each duration."""
    comment = comment_above(header, name)

    assert comment.startswith("# ")
    assert comment.endswith(".")
    key = schema.HEADERS.get(header, schema.FILE.keys)[name]
    unit = getattr(key.kind, "unit", "")
    assert unit.rstrip("s") in comment.lower()


def comment_above(header, name):
    """The comment above a key, or above the keys that it stands together with."""
    text = SAMPLE.read_text(encoding="utf-8")
    section = text[re.search(rf"^#?{re.escape(header)}$", text, re.MULTILINE).start() if header else 0 :]
    block = next(block for block in section.split("\n\n") if re.search(rf"^#{name} = ", block, re.MULTILINE))
    return "\n".join(line for line in block.splitlines() if line.startswith("# "))


def test_as_it_is_delivered_it_lacks_only_a_log():
    """Whoever starts with it is told what to add; it is not wrong, but says nothing yet."""
    with pytest.raises(NotConfiguredError) as caught:
        load(str(SAMPLE), {})

    [problem] = caught.value.problems
    assert "there is no [[log]]" in problem


def test_with_everything_in_effect_it_loads(tmp_path):
    """All tables and keys together are a configuration."""
    path = tmp_path / "main.toml"
    files = ("primary_file", "secondary_file", "shared_key_file", "password_file")
    path.write_text(uncommented(*files), encoding="utf-8")
    [log] = load(str(path), {}).logs

    assert log.tag == "nginx.access"
    assert log.forward.tls and log.forward.security and log.ping and log.drain_log_tag


def test_with_files_in_their_place_it_loads(tmp_path):
    """The files take the place of lists and secrets."""
    path = tmp_path / "main.toml"
    text = uncommented("primary", "secondary", "shared_key", "username", "password", "password_file")
    path.write_text(text, encoding="utf-8")
    for name, content in {"primary.list": "a\n", "secondary.list": "b\n", "shared.key": "k\n"}.items():
        (tmp_path / name).write_text(content)
    [log] = load(str(path), {}).logs

    assert [server.host for server in (*log.forward.primary, *log.forward.secondary)] == ["a", "b"]
    assert log.forward.security.shared_key == "k"


def test_a_server_and_a_log_are_enough(tmp_path):
    """What its first lines promise."""
    text = SAMPLE.read_text(encoding="utf-8").replace("#primary = ", "primary = ")
    start = text.index("#[[log]]")
    text = text[:start] + re.sub(r"^#(?! )", "", text[start:], flags=re.MULTILINE)
    path = tmp_path / "main.toml"
    path.write_text(text, encoding="utf-8")

    assert len(load(str(path), {}).logs) == 1


def test_its_lines_fit_an_editor():
    """No line is longer than those of the code."""
    assert max(map(len, lines())) <= 120
