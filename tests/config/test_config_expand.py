"""``${NAME}`` in strings."""

import socket

import pytest

from fluentlite.config.expand import ExpandError, expand, is_reference

ENVIRON = {"A": "alpha", "EMPTY": "", "DOLLAR": "${A}", "HOSTNAME": "web7"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("plain", "plain", id="nothing-to-do"),
        pytest.param("${A}", "alpha", id="whole"),
        pytest.param("<${A}.${A}>", "<alpha.alpha>", id="inside-twice"),
        pytest.param("${EMPTY}", "", id="empty-is-a-value"),
        pytest.param("${EMPTY:-d}", "d", id="default-when-empty"),
        pytest.param("${NOPE:-d}", "d", id="default-when-unset"),
        pytest.param("${NOPE:-}", "", id="empty-default"),
        pytest.param("${NOPE:-a:-b c}", "a:-b c", id="default-with-its-sign"),
        pytest.param("${A:-d}", "alpha", id="default-not-needed"),
        pytest.param("${HOSTNAME}", "web7", id="hostname-of-the-environment"),
        pytest.param("${DOLLAR}", "${A}", id="values-are-not-looked-at-again"),
        pytest.param("$${A}", "${A}", id="escaped"),
        pytest.param("$A $ $$ a}", "$A $ $$ a}", id="other-dollars-and-braces"),
    ],
)
def test_references_are_replaced(text, expected):
    """Each ${NAME} becomes its value, as in a shell; other text stays."""
    assert expected == expand(text, ENVIRON)


def test_hostname_always_exists():
    """${HOSTNAME} is this host's name also where the environment has none."""
    assert socket.gethostname() == expand("${HOSTNAME}", {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${NOPE}", ["${NOPE}", "has no NOPE", "${NOPE:-default}"]),
        ("a ${A", ['"${" without "}"', "$${"]),
        ("${}", ["no name of a variable"]),
        ("${A-d}", ["no name of a variable"]),
        ("${1}", ["no name of a variable"]),
    ],
)
def test_what_cannot_be_replaced_is_named(text, words):
    """An unknown or misshapen reference is an error that says how to write it."""
    with pytest.raises(ExpandError) as caught:
        expand(text, ENVIRON)

    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [("${A}", True), ("${A:-s3cret}", False), ("x${A}", False), ("$${A}", False), ("s3cret", False)],
)
def test_only_a_bare_reference_holds_no_value(text, expected):
    """A secret that is one ${NAME} is not in the file."""
    assert expected == is_reference(text)


def test_strings_everywhere_are_expanded(load_text, write, tmp_path):
    """Tags, paths, servers, lists of includes and secrets can use the environment."""
    write("conf.d/x.toml", '[[log]]\ntag = "${TAG}"\npath = "${DIR:-/d}/x.log"\n')
    environ = {"TAG": "t", "SERVER": "s.example", "KEY": "k", "CONF": "conf.d"}
    text = 'include = ["${CONF}/*.toml"]\n[forward]\nprimary = ["${SERVER}:5"]\n[forward.security]\nshared_key="${KEY}"\n'
    log = load_text(text, environ).logs[0]

    assert (log.tag, log.path, log.forward.security.shared_key) == ("t", "/d/x.log", "k")
    assert str(log.forward.primary[0]) == "s.example:5"
