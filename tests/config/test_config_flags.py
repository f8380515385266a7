"""The flags of ``fluentlite agent``."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentlite.config.flag_table import FLAGS, help_text, wants_help
from fluentlite.config.flags import agent_settings, default_state_dir
from fluentlite.config.model import ForwardSettings, LogSettings, MasterSettings, PingSettings, Server
from fluentlite.errors import ConfigError

OPERANDS = ["app", "/var/log/app.log", "a.example:5"]


def agent(*argv):
    """The options of a command line that names tag, file and server besides *argv*."""
    return agent_settings([*argv, *OPERANDS], {"HOME": "/home/u"})


def problems_of(argv):
    with pytest.raises(ConfigError) as caught:
        agent_settings(argv, {"HOME": "/home/u"})
    return list(caught.value.problems)


def reached(options, target):
    value = options
    for name in target.split("."):
        value = getattr(value, name)
    return value


def test_the_defaults_are_those_of_the_old_agent():
    """Without flags it does what fluent-agent-lite did, from the end of the file."""
    options = agent()

    assert options.log == LogSettings(
        tag="app",
        path="/var/log/app.log",
        forward=ForwardSettings(primary=(Server("a.example", 5),), reconnect_wait_max=3600.0),
    )
    assert options.master == MasterSettings(
        log_file="/tmp/fluent-agent.log", state_dir=default_state_dir({"HOME": "/home/u"})
    )
    assert (options.force_start, options.warnings) == (False, ())
    assert (options.log.tail.poll_interval, options.log.tail.read_from_head) == (1.0, False)
    assert (options.log.forward.keepalive_timeout, options.log.forward.reconnect_wait_incr_rate) == (
        1800.0,
        1.5,
    )


FLAG_CASES = [
    ("-f log", "log.tail.field_name", "log"),
    ("-b 65536", "log.tail.read_buffer_size", 65536),
    ("-n -5", "master.nice", -5),
    ("-t /usr/bin/tail", "log.tail.poll_interval", 1.0),
    ("-i 0.25", "log.tail.poll_interval", 0.25),
    ("-l /srv/own.log", "master.log_file", "/srv/own.log"),
    ("-P ping:host7:x", "log.ping", PingSettings(tag="ping", data="host7:x")),
    ("-P ping:host7 -S 30", "log.ping", PingSettings(tag="ping", data="host7", interval=30.0)),
    ("-S 30", "log.ping", None),
    ("-d drain", "log.drain_log_tag", "drain"),
    ("-k 10800", "log.forward.keepalive_timeout", 10800.0),
    ("-k 0", "log.forward.keepalive_timeout", 0.0),
    ("-w 60", "log.forward.reconnect_wait_max", 60.0),
    ("-r 2", "log.forward.reconnect_wait_incr_rate", 2.0),
    ("-j", "log.forward.format", "json"),
    ("-v", "master.log_level", "debug"),
    ("-F", "force_start", True),
    ("-vFj", "force_start", True),
    ("-k500", "log.forward.keepalive_timeout", 500.0),
    ("--read-from-head", "log.tail.read_from_head", True),
    ("--state-dir /srv/state", "master.state_dir", "/srv/state"),
    ("--no-ack", "log.forward.require_ack_response", False),
    ("-f a -f b", "log.tail.field_name", "b"),
]


@pytest.mark.parametrize(("argv", "target", "expected"), FLAG_CASES)
def test_each_flag_sets_what_it_set(argv, target, expected):
    """The letters of the old agent mean what they meant."""
    assert reached(agent(*argv.split()), target) == expected


def test_every_flag_is_tested():
    """No flag is left out of the tests here; -h, -p and -s have tests of their own."""
    tested = {word for argv, _, _ in FLAG_CASES for word in argv.split()}

    assert {flag.option for flag in FLAGS} - tested == {"-h", "-p", "-s"}


@pytest.mark.parametrize(
    ("argv", "target", "expected"),
    [
        ("-k 60", "keepalive_timeout", 120.0),
        ("-k -1", "keepalive_timeout", 120.0),
        ("-w 0.1", "reconnect_wait_max", 0.5),
        ("-r 0.9", "reconnect_wait_incr_rate", 1.0),
    ],
)
def test_what_is_below_its_minimum_is_raised_with_a_warning(argv, target, expected):
    """As the old agent did, so that no old command line stops working."""
    options = agent(*argv.split())

    assert getattr(options.log.forward, target) == expected
    [warning] = options.warnings
    assert warning.startswith(argv[:2])
    assert f"{expected:g} is used" in warning


def test_flags_and_operands_may_stand_in_any_order():
    """Flags are found before, between and after the operands, up to ``--``."""
    options = agent_settings(["app", "-F", "-", "a", "-f", "log", "--", "b"], {})

    assert (options.log.path, options.log.tail.field_name, options.force_start) == ("-", "log", True)
    assert (options.log.forward.primary, options.log.forward.secondary) == ((Server("a"),), (Server("b"),))


def test_lists_of_servers(tmp_path):
    """-p and -s name files of servers and take the place of the operands."""
    (tmp_path / "first").write_text("# primary\na:1\nb\n")
    (tmp_path / "second").write_text("c\n")
    argv = ["-p", str(tmp_path / "first"), "-s", str(tmp_path / "second"), "app", "-"]
    forward = agent_settings(argv, {}).log.forward

    assert (forward.primary, forward.secondary) == ((Server("a", 1), Server("b")), (Server("c"),))


def test_relative_paths_are_made_absolute(tmp_path, monkeypatch):
    """FILE, -l, -p and --state-dir start at the current directory (P22)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list").write_text("a\n")
    options = agent_settings(
        ["-l", "own.log", "-p", "list", "--state-dir", "state", "app", "x/../app.log"], {}
    )

    assert options.log.path == f"{tmp_path}/app.log"
    assert options.master.log_file == f"{tmp_path}/own.log"
    assert options.master.state_dir == f"{tmp_path}/state"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["-z", *OPERANDS], ["option -z not recognized", "--help"]),
        ([*OPERANDS, "-f"], ["option -f requires argument"]),
        (["--frm-head", *OPERANDS], ["--frm-head not recognized"]),
        ([], ["2 to 4 operands", "none"]),
        (["app"], ["2 to 4 operands", '["app"]']),
        ([*OPERANDS, "b", "c"], ["2 to 4 operands", "5"]),
        (["app", "/a"], ["no server is given", "-p"]),
        (["", "/a", "b"], ['TAG "" is empty']),
        (["a b", "/a", "b"], ['TAG "a b" has a blank']),
        (["app", "", "b"], ['FILE "" is empty']),
        (["app", "/var/log/*.log", "b"], ["wildcard"]),
        (["app", "/a", "b:x"], ['PRIMARY "b:x" is no server', 'port "x"']),
        (["app", "/a", "b", "[::1"], ['SECONDARY "[::1" is no server']),
        (["-b", "1k", *OPERANDS], ['-b "1k" is not a whole number', "64 to 67108864 bytes"]),
        (["-b", "0", *OPERANDS], ['-b "0" is out of range']),
        (["-i", "soon", *OPERANDS], ['-i "soon" is not a number']),
        (["-k", "nan", *OPERANDS], ['-k "nan" is out of range']),
        (["-n", "20", *OPERANDS], ['-n "20" is out of range', "-20 to 19"]),
        (["-P", "ping", *OPERANDS], ['-P "ping" has no ":"', "TAG:DATA"]),
        (["-P", "a b:", *OPERANDS], ["the tag has a blank"]),
        (["-d", "", *OPERANDS], ['-d "" is empty']),
        (["-f", "", *OPERANDS], ['-f "" is empty']),
        (["-f", "\udcff", *OPERANDS], ["cannot be written as UTF-8"]),
        (["-p", "/nowhere/list", "app", "/a"], ['-p "/nowhere/list" names', "does not exist"]),
        (["-p", "/dev/null", "app", "/a"], ["lists no server"]),
        (["-p", "/nowhere/list", *OPERANDS], ['PRIMARY "a.example:5" is given as well as -p']),
        (["-l", "/var/log/app.log", *OPERANDS], ["is the agent's own log", "-l"]),
        (["app", "/tmp/fluent-agent.log", "b"], ["is the agent's own log"]),
    ],
)
def test_what_is_wrong_with_a_command_line_is_said(argv, words):
    """Each problem names the flag or operand, what it is, and what to write instead (O01)."""
    problems = problems_of(argv)

    assert [word for word in words if word not in "\n".join(problems)] == [], problems
    assert all(problem.startswith("fluentlite agent: ") and problem.isprintable() for problem in problems)


def test_all_problems_of_a_command_line_come_at_once():
    """Nobody mends a command line one error per attempt."""
    problems = problems_of(["-b", "x", "-k", "y", "-P", "z", "a b", "/*", "c:d"])

    marks = ("-b", "-k", "-P", "TAG", "FILE", "PRIMARY")
    assert [mark for mark, problem in zip(marks, problems, strict=True) if f": {mark} " not in problem] == []


@pytest.mark.parametrize("argv", [["-h"], ["--help"], ["app", "-vh", "x"], ["--hel"]])
def test_help_is_asked_for_by_either_name(argv):
    """-h and --help, wherever they stand and whatever else is missing."""
    assert wants_help(argv)


@pytest.mark.parametrize("argv", [[], OPERANDS, ["-f", "-h", *OPERANDS], ["--", "-h"], ["-z"]])
def test_help_is_not_guessed(argv):
    """An argument that looks like -h is not -h."""
    assert not wants_help(argv)


def test_the_help_explains_every_flag_with_its_default():
    """Each flag has a line of its own; the lines fit a terminal."""
    text = help_text()

    assert [flag.option for flag in FLAGS if f"\n  {flag.option} " not in text] == []
    assert "(default: 3600)" in text
    assert "(default: /tmp/fluent-agent.log)" in text
    assert max(map(len, text.splitlines())) <= 100


# The module is imported before the change of user, who may not be allowed to read it.
NOT_ROOT = """
import os
from fluentlite.config.flags import default_state_dir
os.setuid(65534)
print(default_state_dir({environ!r}))
"""


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_STATE_HOME": "/x", "HOME": "/home/u"}, "/x/fluentlite"),
        ({"XDG_STATE_HOME": "x", "HOME": "/home/u"}, "/home/u/.local/state/fluentlite"),
        ({"HOME": "/home/u"}, "/home/u/.local/state/fluentlite"),
    ],
)
def test_positions_of_an_ordinary_user_are_kept_in_the_home_directory(environ, expected):
    """Only root keeps them in /var/lib; the XDG specification names the user's place."""
    if os.geteuid() == 0:
        assert default_state_dir(environ) == "/var/lib/fluentlite"
        code = NOT_ROOT.format(environ=environ)
        # The modules are imported before the change of user, who may not be allowed to read them.
        code = "import fluentlite.config.flags\n" + code
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
        )
        assert done.stdout.strip() == expected
    else:
        assert default_state_dir(environ) == expected


@given(
    st.lists(
        st.one_of(st.sampled_from([flag.option for flag in FLAGS] + ["a", "-", "5"]), st.text(max_size=5))
    )
)
def test_any_command_line_is_read_or_refused(argv):
    """Whatever the words, ConfigError is the only exception."""
    try:
        assert agent_settings(argv, {"HOME": "/home/u"}).log.tag
    except ConfigError as exc:
        assert exc.problems
