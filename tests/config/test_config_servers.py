"""Servers as text."""

import re

import pytest

from fluentlite.config.model import Server
from fluentlite.config.servers import parse_server, parse_server_list


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.example", Server("a.example", 24224)),
        ("a.example:1", Server("a.example", 1)),
        ("under_score:65535", Server("under_score", 65535)),
        ("192.0.2.1:5", Server("192.0.2.1", 5)),
        ("[2001:db8::1]:5", Server("2001:db8::1", 5)),
        ("[2001:db8::1]", Server("2001:db8::1")),
        ("2001:db8::1", Server("2001:db8::1")),
        ("fe80::1%eth0", Server("fe80::1%eth0")),
        ("bücher.example:7", Server("bücher.example", 7)),
    ],
)
def test_servers_are_read(text, expected):
    """A host, a host and a port, an address of either family; port 24224 unless given."""
    assert expected == parse_server(text)
    assert expected == parse_server(str(expected)), "what it prints is read again"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no host"),
        (":24224", "no host"),
        ("a:", 'port ""'),
        ("a:0", 'port "0"'),
        ("a:65536", 'port "65536"'),
        ("a:٣", "port"),
        ("a:+5", 'port "+5"'),
        ("[::1]x", "not an IPv6 address"),
        ("[::1]:", 'port ""'),
        ("[localhost]:5", '"localhost" is not an IPv6 address'),
        ("1:2:3", '"1:2:3" is not an IPv6 address'),
        ("192.0.2.300", "not an IPv4 address"),
        ("a b", "not the name of a host"),
        ("http://a.example", "port"),
        ("a.example/x", "not the name of a host"),
        ("user@a.example", "not the name of a host"),
        ("a..example", "not the name of a host"),
        ("a" * 64, "not the name of a host"),
        ("a\0b", "not the name of a host"),
        ("a." * 200, "longer than 253 characters"),
        ("ä." * 100_000, "longer than 253 characters"),
        ("fe80::1%[th", "no name of an interface"),
        ("fe80::1%\x1b[2J", "no name of an interface"),
        ("fe80::1%", "no name of an interface"),
        ("x:" * 1000, "not an IPv6 address"),
        ("a:" + "9" * 1000, "not a number from 1 to 65535"),
    ],
)
def test_what_is_no_server_is_refused(text, words):
    """Whatever the resolver would choke on is refused, with the part that is wrong."""
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        parse_server(text)
    assert len(str(caught.value)) < 350


def test_a_list_names_each_bad_line():
    """All bad lines of a list are reported, and the good ones read."""
    servers, reasons = parse_server_list("a\n\n# b:x\nc:x\nd:0 # e\nf:1\n")

    assert [Server("a"), Server("f", 1)] == servers
    assert [reason[:8] for reason in reasons] == ["line 4: ", "line 5: "]
