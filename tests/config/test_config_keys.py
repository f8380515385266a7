"""Every key: its default, what it sets, where it may stand."""

import dataclasses

import pytest

from fluentlite.config import schema
from fluentlite.config.model import (
    ForwardSettings,
    LogSettings,
    MasterSettings,
    PingSettings,
    SecuritySettings,
    Server,
    TailSettings,
    TlsSettings,
)

# What a key sets, a value in TOML that is not the default, and what the settings then hold.
VALUES = [
    ("master.state_dir", '"/srv/state"', "/srv/state"),
    ("master.run_dir", '"/srv/run"', "/srv/run"),
    ("master.log_file", '"/srv/own.log"', "/srv/own.log"),
    ("master.log_file", '"-"', "-"),
    ("master.log_level", '"debug"', "debug"),
    ("master.user", '"fluentlite"', "fluentlite"),
    ("master.nice", "-5", -5),
    ("master.stop_timeout", "3", 3.0),
    ("master.memory_limit", "100000000", 100000000),
    ("forward.primary", '["a.example", "b.example:5"]', (Server("a.example"), Server("b.example", 5))),
    ("forward.secondary", '["::1", "[::2]:6"]', (Server("::1"), Server("::2", 6))),
    ("forward.require_ack_response", "false", False),
    ("forward.ack_response_timeout", "7", 7.0),
    ("forward.connect_timeout", "7.5", 7.5),
    ("forward.send_timeout", "0.25", 0.25),
    ("forward.keepalive_timeout", "0", 0.0),
    ("forward.reconnect_wait_max", "3600", 3600.0),
    ("forward.reconnect_wait_incr_rate", "2", 2.0),
    ("forward.failback_interval", "15", 15.0),
    ("forward.max_in_flight", "1", 1),
    ("forward.format", '"json"', "json"),
    ("forward.compress", '"gzip"', "gzip"),
    ("forward.time_as_integer", "true", True),
    ("forward.security.shared_key", '"sesame"', "sesame"),
    ("forward.security.self_hostname", '"me.example"', "me.example"),
    ("forward.security.username", '"ali"', "ali"),
    ("forward.security.password", '"baba"', "baba"),
    ("forward.tls.ca_file", '"/srv/ca.pem"', "/srv/ca.pem"),
    ("forward.tls.cert_file", '"/srv/cert.pem"', "/srv/cert.pem"),
    ("forward.tls.key_file", '"/srv/key.pem"', "/srv/key.pem"),
    ("forward.tls.verify", "false", False),
    ("forward.tls.server_name", '"logs.example"', "logs.example"),
    ("tail.field_name", '"log"', "log"),
    ("tail.read_from_head", "true", True),
    ("tail.read_buffer_size", "65536", 65536),
    ("tail.max_line_size", "4096", 4096),
    ("tail.long_lines", '"skip"', "skip"),
    ("tail.rotate_wait", "0", 0.0),
    ("tail.poll_interval", "0.5", 0.5),
    ("ping.tag", '"ping.other"', "ping.other"),
    ("ping.data", '"host7"', "host7"),
    ("ping.interval", "30", 30.0),
]

# Tables that are there only when written need these to be complete.
COMPANIONS = {
    "forward.security.shared_key": '"k"',
    "forward.security.username": '"u"',
    "forward.security.password": '"p"',
    "forward.tls.cert_file": '"/c"',
    "forward.tls.key_file": '"/k"',
    "ping.tag": '"t"',
    "ping.data": '"d"',
}


def with_companions(target, literal):
    """All ``key = value`` of the table of *target*, by key."""
    table, _, name = target.rpartition(".")
    pairs = {
        key.rpartition(".")[2]: text for key, text in COMPANIONS.items() if key.rpartition(".")[0] == table
    }
    return table, pairs | {name: literal}


def reached(settings, target):
    """What *settings* hold for *target*, in its first log unless it is the master's."""
    value = settings if target.startswith("master.") else settings.logs[0]
    for name in target.split("."):
        value = getattr(value, name)
    return value


@pytest.mark.parametrize(("target", "literal", "expected"), VALUES)
def test_each_key_sets_its_setting_for_all_logs(load_text, target, literal, expected):
    """A key in its own table holds for every log that does not say otherwise."""
    table, pairs = with_companions(target, literal)
    lines = "\n".join(f"{name} = {text}" for name, text in pairs.items())
    primary = "" if target == "forward.primary" else 'forward.primary = ["192.0.2.1"]'
    text = f'[{table}]\n{lines}\n[[log]]\ntag = "app"\npath = "/var/log/app.log"\n{primary}\n'

    assert expected == reached(load_text(text), target)


@pytest.mark.parametrize(
    ("target", "literal", "expected"), [row for row in VALUES if "master." not in row[0]]
)
def test_each_key_can_be_overridden_in_a_log(load_text, least, target, literal, expected):
    """A [[log]] takes [tail] keys directly, [forward] keys as forward.KEY, [ping] keys as ping.KEY."""
    table, pairs = with_companions(target, literal)
    prefix = "" if table == "tail" else f"{table}."
    lines = "\n".join(f"{prefix}{name} = {text}" for name, text in pairs.items())
    settings = load_text(f'{least}{lines}\n[[log]]\ntag = "other"\npath = "/var/log/other.log"\n')

    assert expected == reached(settings, target)
    plain = LogSettings(
        tag="other", path="/var/log/other.log", forward=ForwardSettings(primary=(Server("192.0.2.1"),))
    )
    assert plain == settings.logs[1], "an override is for its own log only"


def test_the_table_of_values_knows_every_key():
    """No key is left out of the tests above."""
    others = {"tag", "path", "tail.tag_prefix", "drain_log.tag"}  # tested below

    assert set(schema.KEYS) == {target for target, _, _ in VALUES} | others


def test_every_setting_has_a_key():
    """Whatever the settings hold can be configured."""
    tables = {
        "master": MasterSettings,
        "forward": ForwardSettings,
        "forward.security": SecuritySettings,
        "forward.tls": TlsSettings,
        "tail": TailSettings,
        "ping": PingSettings,
    }
    fields = {f"{table}.{field.name}" for table, kind in tables.items() for field in dataclasses.fields(kind)}

    assert fields - {"forward.security", "forward.tls"} <= set(schema.KEYS)


def test_the_defaults_are_those_of_the_settings(load_text, least):
    """What is not written has the default of the dataclasses."""
    settings = load_text(least)

    assert MasterSettings() == settings.master
    assert (
        LogSettings(
            tag="app", path="/var/log/app.log", forward=ForwardSettings(primary=(Server("192.0.2.1"),))
        ),
    ) == settings.logs


def test_the_settings_know_their_file(load_text, least, tmp_path):
    """Settings name the file that they came from."""
    assert str(tmp_path / "main.toml") == load_text(least).path


def test_self_hostname_is_this_host_unless_written(load_text, least):
    """[forward.security] needs only its shared_key."""
    security = (
        load_text(least + 'forward.security.shared_key = "k"', {"HOSTNAME": "web7"}).logs[0].forward.security
    )

    assert SecuritySettings(shared_key="k", self_hostname="web7") == security


@pytest.mark.parametrize(
    ("shared", "own", "expected"),
    [
        ('tag_prefix = "raw"', "", "raw.app"),
        ('tag_prefix = ""', "", "app"),
        ('tag_prefix = "raw"', 'tag_prefix = "cooked.twice"', "cooked.twice.app"),
        ('tag_prefix = "raw"', 'tag_prefix = ""', "app"),
    ],
)
def test_the_prefix_stands_before_the_tags_of_logs_only(load_text, least, shared, own, expected):
    """tag_prefix is joined with "." in front of a log's tag, never of the tags of ping and drain_log."""
    extra = '[ping]\ntag = "ping"\ndata = "d"\n[drain_log]\ntag = "drain"\n'
    log = load_text(f"[tail]\n{shared}\n{extra}{least}{own}").logs[0]

    assert (expected, "ping", "drain") == (log.tag, log.ping.tag, log.drain_log_tag)


def test_drain_log_of_all_and_of_one_log(load_text, least):
    """[drain_log] holds for all logs; drain_log.tag in a [[log]] for that one."""
    other = '[[log]]\ntag = "other"\npath = "/var/log/other.log"\ndrain_log.tag = "own"\n'
    settings = load_text(f'[drain_log]\ntag = "drain"\n{least}{other}')

    assert [log.drain_log_tag for log in settings.logs] == ["drain", "own"]


@pytest.mark.parametrize("name", ["ping", "drain_log", "forward.security", "forward.tls"])
def test_false_switches_an_optional_table_off_for_one_log(load_text, least, name):
    """A [[log]] can do without a table that the others use."""
    tables = (
        '[ping]\ntag = "p"\ndata = "d"\n[drain_log]\ntag = "drain"\n'
        '[forward.security]\nshared_key = "k"\n[forward.tls]\nverify = false\n'
    )
    log = load_text(f"{tables}{least}{name} = false\n").logs[0]

    found = {
        "ping": log.ping,
        "drain_log": log.drain_log_tag,
        "forward.security": log.forward.security,
        "forward.tls": log.forward.tls,
    }
    assert [name] == [table for table, settings in found.items() if settings is None]


def test_one_key_of_an_optional_table_overridden(load_text, least):
    """An override within [ping] keeps the other keys of [ping]."""
    log = load_text(f'[ping]\ntag = "ping"\ndata = "d"\n{least}ping.interval = 5\n').logs[0]

    assert PingSettings(tag="ping", data="d", interval=5.0) == log.ping


def test_relative_paths_start_at_the_file_that_has_them(load_text, write, tmp_path):
    """A relative path is made absolute against the directory of its configuration file."""
    write("conf.d/more.toml", '[[log]]\ntag = "b"\npath = "b.log"\n[master]\nstate_dir = "../state"\n')
    settings = load_text(
        'include = ["conf.d/more.toml"]\n[forward]\nprimary = ["a"]\ntls.ca_file = "ca.pem"\n'
        '[[log]]\ntag = "a"\npath = "./logs/../a.log"\n'
    )

    assert [str(tmp_path / "a.log"), str(tmp_path / "conf.d" / "b.log")] == [
        log.path for log in settings.logs
    ]
    assert str(tmp_path / "state") == settings.master.state_dir
    assert str(tmp_path / "ca.pem") == settings.logs[0].forward.tls.ca_file


def test_lists_of_servers_are_read_from_files(load_text, write):
    """primary_file and secondary_file name files: a server per line, blank lines and comments skipped."""
    write("servers/first", "# the first\n\na.example:1\r\n  b.example # with a remark\n[::1]:3\n")
    write("servers/second", "\ufeffc.example\n")
    text = '[forward]\nprimary_file = "servers/first"\nsecondary_file = "servers/second"\n'
    forward = load_text(text + '[[log]]\ntag = "a"\npath = "/a"\n').logs[0].forward

    assert (Server("a.example", 1), Server("b.example"), Server("::1", 3)) == forward.primary
    assert (Server("c.example"),) == forward.secondary


def test_a_log_with_its_own_list_does_not_use_the_shared_one(load_text, write, least):
    """forward.primary_file in a [[log]] takes the place of a shared primary, and the reverse."""
    write("list", "own.example\n")
    log = load_text(f'{least}forward.primary_file = "list"\n').logs[0]

    assert (Server("own.example"),) == log.forward.primary
