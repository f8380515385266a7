"""What the variables of a configuration of fluent-agent-lite mean."""

import os
import socket
import time

import pytest

from fluentlite.config.legacy import read
from fluentlite.config.legacy_notes import run_dir_in
from fluentlite.config.legacy_table import NAMES
from fluentlite.config.load import read as read_any
from fluentlite.config.model import (
    ForwardSettings,
    LogSettings,
    MasterSettings,
    PingSettings,
    Server,
    TailSettings,
)
from fluentlite.errors import ConfigError

LEAST = 'PRIMARY_SERVER=a.example\nLOGS="app /var/log/app.log"\nFORCE_START=yes\n'


@pytest.fixture
def read_script(write):
    """Read a configuration from its text."""

    def read_script(text, environ=None):
        path = write("old.conf", text)
        os.chmod(path, 0o644)
        return read(path, {"PATH": os.environ["PATH"]} if environ is None else environ)

    return read_script


@pytest.fixture
def problems_of(read_script, tmp_path):
    """The problems of a configuration that has some, without its path."""

    def problems_of(text):
        with pytest.raises(ConfigError) as caught:
            read_script(text)
        assert all(problem.startswith(f"{tmp_path}/old.conf: ") for problem in caught.value.problems)
        return [problem.removeprefix(f"{tmp_path}/old.conf: ") for problem in caught.value.problems]

    return problems_of


@pytest.fixture
def warnings_of(read_script, tmp_path):
    """The warnings of a configuration, without its path."""

    def warnings_of(text):
        return [warning.removeprefix(f"{tmp_path}/old.conf: ") for warning in read_script(text).warnings]

    return warnings_of


def reached(settings, target):
    value = settings.logs[0] if not target.startswith("master.") else settings
    for name in target.split("."):
        value = getattr(value, name)
    return value


def test_the_defaults_are_those_of_the_old_agent(read_script, tmp_path):
    """What a script leaves open is as it was; acks are new, and our own files are where we have them."""
    reading = read_script(LEAST)

    assert reading.settings.master == MasterSettings()
    assert reading.settings.logs == (
        LogSettings(
            tag="app",
            path="/var/log/app.log",
            forward=ForwardSettings(
                primary=(Server("a.example"),),
                require_ack_response=True,
                reconnect_wait_max=3600.0,
                time_as_integer=True,
            ),
            tail=TailSettings(read_from_head=False),
        ),
    )
    assert (reading.files, reading.warnings) == ((f"{tmp_path}/old.conf",), ())
    assert reading.settings.path == f"{tmp_path}/old.conf"


VARIABLE_CASES = [
    ("TAG_PREFIX=raw", "tag", "raw.app"),
    ("TAG_PREFIX=", "tag", "app"),
    ("FIELD_NAME=log", "tail.field_name", "log"),
    ("SECONDARY_SERVER=b.example:1", "forward.secondary", (Server("b.example", 1),)),
    ("PRIMARY_SERVER=[::1]:5", "forward.primary", (Server("::1", 5),)),
    ("READ_BUFFER_SIZE=65536", "tail.read_buffer_size", 65536),
    ("READ_BUFFER_SIZE=0", "tail.read_buffer_size", 1048576),
    ("TAIL_INTERVAL=0.1", "tail.poll_interval", 0.1),
    ("TAIL_INTERVAL=0", "tail.poll_interval", 1.0),
    ("TAIL_PATH=/nowhere/tail", "tail.poll_interval", 1.0),
    ("PERL_PATH=/nowhere/perl", "tail.poll_interval", 1.0),
    ("PROCESS_NICE=-1", "master.nice", -1),
    ("LOG_PATH=/var/log/own.log", "master.log_file", "/var/log/own.log"),
    ("LOG_PATH=own.log", "master.log_file", "/own.log"),
    ("LOG_VERBOSE=yes", "master.log_level", "debug"),
    ("LOG_VERBOSE=1", "master.log_level", "debug"),
    ("LOG_VERBOSE=NO", "master.log_level", "debug"),
    ("LOG_VERBOSE=no", "master.log_level", "warning"),
    ("LOG_VERBOSE=0", "master.log_level", "warning"),
    ("LOG_VERBOSE=false", "master.log_level", "warning"),
    ("PING_TAG=ping; PING_DATA='host 7'", "ping", PingSettings(tag="ping", data="host 7", interval=60.0)),
    ("PING_TAG=ping; PING_DATA=h; PING_INTERVAL=5", "ping", PingSettings(tag="ping", data="h", interval=5.0)),
    (
        "PING_TAG=ping; PING_DATA=h; PING_INTERVAL=0",
        "ping",
        PingSettings(tag="ping", data="h", interval=60.0),
    ),
    ("PING_DATA=h; PING_INTERVAL=5", "ping", None),
    ("DRAIN_LOG_TAG=drain", "drain_log_tag", "drain"),
    ("KEEPALIVE_TIME=10800", "forward.keepalive_timeout", 10800.0),
    ("KEEPALIVE_TIME=0", "forward.keepalive_timeout", 0.0),
    ("KEEPALIVE_TIME=' 600 '", "forward.keepalive_timeout", 600.0),
    ("RECONNECT_WAIT_MAX=60", "forward.reconnect_wait_max", 60.0),
    ("RECONNECT_WAIT_INCR_RATE=2", "forward.reconnect_wait_incr_rate", 2.0),
    ("FLUENTLITE_STATE_DIR=/srv/state", "master.state_dir", "/srv/state"),
    ("FLUENTLITE_RUN_DIR=/srv/run", "master.run_dir", "/srv/run"),
    ("FLUENTLITE_USER=nobody", "master.user", "nobody"),
    ("FLUENTLITE_REQUIRE_ACK_RESPONSE=no", "forward.require_ack_response", False),
    ("FLUENTLITE_REQUIRE_ACK_RESPONSE=yes", "forward.require_ack_response", True),
]


@pytest.mark.parametrize(("text", "target", "expected"), VARIABLE_CASES)
def test_each_variable_sets_what_it_set(read_script, text, target, expected):
    """The words of the old agent mean what they meant."""
    assert reached(read_script(LEAST + text).settings, target) == expected


def test_every_variable_is_tested():
    """None is left out here; the lists of servers and LOGS have tests of their own."""
    tested = {name for text, _, _ in VARIABLE_CASES for name in NAMES if f"{name}=" in text}

    assert set(NAMES) - tested == {"PRIMARY_SERVERS_LIST", "SECONDARY_SERVERS_LIST", "LOGS", "FORCE_START"}


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("KEEPALIVE_TIME=5", "forward.keepalive_timeout", 120.0),
        ("KEEPALIVE_TIME=-1", "forward.keepalive_timeout", 120.0),
        ("RECONNECT_WAIT_MAX=0", "forward.reconnect_wait_max", 0.5),
        ("RECONNECT_WAIT_INCR_RATE=0.9", "forward.reconnect_wait_incr_rate", 1.0),
    ],
)
def test_what_is_too_small_is_raised_with_a_warning(read_script, tmp_path, text, target, expected):
    """As the old agent did it, where a TOML file is refused."""
    reading = read_script(LEAST + text)
    name, _, value = text.partition("=")

    assert reached(reading.settings, target) == expected
    assert reading.warnings == (
        f'{tmp_path}/old.conf: line 4: {name}="{value}" is below the minimum; {expected:g} is used.',
    )


LOGS_CASES = [
    pytest.param("a /a\nb /b", ["a", "b"], id="two"),
    pytest.param("\n\na /a\n\n   \n\t\nb /b\n\n", ["a", "b"], id="blank-lines"),
    pytest.param("# x /x\na /a\n  # y /y\n#\nb /b", ["a", "b"], id="comments"),
    pytest.param("a\t/a\nb  \t  /b\t ", ["a", "b"], id="tabs-and-blanks"),
    pytest.param("   a /a\n\tb /b", ["a", "b"], id="indented"),
    pytest.param("a /a\r\n\r\nb /b\r\n", ["a", "b"], id="carriage-returns"),
    pytest.param("a /a # the first\nb /b", ["a", "b"], id="comment-after-a-path"),
    pytest.param("a //a/../a\nb /./b", ["a", "b"], id="paths-are-made-simple"),
]


@pytest.mark.parametrize(("text", "tags"), LOGS_CASES)
def test_every_log_is_found_between_blank_lines_and_comments(read_script, text, tags):
    """Each line with a tag and a path is one log, in order; nothing is left out and nothing made up (C01)."""
    reading = read_script(f"{LEAST}LOGS='{text}'")

    assert [log.tag for log in reading.settings.logs] == tags
    assert [log.path.replace("//", "/") for log in reading.settings.logs] == [f"/{tag}" for tag in tags]
    assert reading.warnings == ()


def test_thousands_of_logs_in_thousands_of_lines(read_script, tmp_path):
    """The line of each log is found at once: 3,000 of them in a script of 30,000 lines are read in seconds."""
    logs = "".join(f"app.a{number} {tmp_path}/a{number}.log\n" for number in range(3000))
    began = time.process_time()
    reading = read_script("# a line\n" * 27_000 + f"PRIMARY_SERVER=a\nFORCE_START=yes\nLOGS='{logs}'\n")

    assert len(reading.settings.logs) == 3000
    assert time.process_time() - began < 10.0


def test_logs_can_come_from_another_file(read_script, write):
    """By a command, as the sample of the old agent shows."""
    path = write("logs", "a /a\n\n# x\nb /b\n")

    assert [log.tag for log in read_script(f"{LEAST}LOGS=$(cat {path})").settings.logs] == ["a", "b"]


def test_a_path_with_blanks_is_warned_of(read_script, warnings_of):
    """The old agent took its first word, and so do we, but we say so."""
    text = LEAST + 'LOGS="a /my log\nb /b"'
    [warning] = warnings_of(text)

    assert [log.path for log in read_script(text).settings.logs] == ["/my", "/b"]
    assert warning.startswith(
        'line 4: the line "a /my log" of LOGS has more than a tag and a path; as before, /my is'
    )


def test_a_path_need_not_be_utf_8(read_script):
    """File names are bytes."""
    [log] = read_script(LEAST + "LOGS=$(printf 'a /\\377')").settings.logs

    assert os.fsencode(log.path) == b"/\xff"


def test_a_missing_log_is_waited_for_with_a_warning(warnings_of, write):
    """The old agent refused to start unless FORCE_START was set; one log never keeps the others back here (C02)."""
    there = write("there.log", "")
    logs = f'LOGS="a {there}\nb /gone/1\nc /gone/2\nd /gone/3\ne /gone/4"\n'
    [warning] = warnings_of(f"{LEAST}{logs}FORCE_START=")

    assert warning.startswith("not there yet: /gone/1, /gone/2, /gone/3 and 1 more. fluentlite waits")
    for value in ("yes", "1", "true", "anything"):
        assert warnings_of(f"{LEAST}{logs}FORCE_START={value}") == []
    for value in ("no", "0", "false"):
        assert len(warnings_of(f"{LEAST}{logs}FORCE_START={value}")) == 1


def test_lists_of_servers_are_read_each_time(read_script, write):
    """Servers, one per line, blank lines passed over; the next reading sees the next list."""
    primary, secondary = write("p", "a.example:1\n\nb.example\n"), write("s", "c.example\n")
    text = f"{LEAST}PRIMARY_SERVER=\nPRIMARY_SERVERS_LIST={primary}\nSECONDARY_SERVERS_LIST={secondary}\n"
    [log] = read_script(text).settings.logs
    write("p", "d.example\n")
    [later] = read_script(text).settings.logs

    assert log.forward.primary == (Server("a.example", 1), Server("b.example"))
    assert log.forward.secondary == (Server("c.example"),)
    assert later.forward.primary == (Server("d.example"),)


def test_the_script_may_write_the_list_that_it_names(read_script, tmp_path):
    """As real ones do."""
    path = f"{tmp_path}/list"
    [log] = read_script(
        f"cat <<EOF >{path}\na.example\nEOF\n{LEAST}PRIMARY_SERVER=\nPRIMARY_SERVERS_LIST={path}"
    ).settings.logs

    assert log.forward.primary == (Server("a.example"),)


def test_one_server_comes_before_the_list(read_script, warnings_of):
    """As in the old init script; the list is not even read."""
    text = LEAST + "PRIMARY_SERVERS_LIST=/gone"

    assert read_script(text).settings.logs[0].forward.primary == (Server("a.example"),)
    assert warnings_of(text) == [
        'line 4: PRIMARY_SERVERS_LIST="/gone" is not used, because PRIMARY_SERVER is set.'
    ]


def test_a_secondary_of_the_other_form_is_used_with_a_warning(read_script, warnings_of, write):
    """The old init script overlooked it, which nobody can have meant."""
    listed = write("list", "c.example\n")
    mixed = {
        f"PRIMARY_SERVERS_LIST={listed}\nPRIMARY_SERVER=\nSECONDARY_SERVER=b.example": Server("b.example"),
        f"SECONDARY_SERVERS_LIST={listed}": Server("c.example"),
    }
    for text, server in mixed.items():
        assert read_script(LEAST + text).settings.logs[0].forward.secondary == (server,)
        [warning] = warnings_of(LEAST + text)
        assert "fluent-agent-lite overlooked it" in warning


PROBLEMS = [
    pytest.param(
        "KEEPALIVE_TIME=soon", 'line 4: KEEPALIVE_TIME="soon" is not a number. Write 0, or', id="number"
    ),
    pytest.param("KEEPALIVE_TIME=nan", 'line 4: KEEPALIVE_TIME="nan" is out of range.', id="nan"),
    pytest.param("PROCESS_NICE=20", 'line 4: PROCESS_NICE="20" is out of range. Write a whole', id="range"),
    pytest.param("READ_BUFFER_SIZE=1M", 'line 4: READ_BUFFER_SIZE="1M" is not a whole number.', id="whole"),
    pytest.param(
        "PRIMARY_SERVER=a:b", 'line 4: PRIMARY_SERVER="a:b" is no server: the port "b"', id="server"
    ),
    pytest.param("PRIMARY_SERVER=", "neither PRIMARY_SERVER nor PRIMARY_SERVERS_LIST is set", id="no-server"),
    pytest.param(
        "PRIMARY_SERVER=\nPRIMARY_SERVERS_LIST=/gone",
        'line 5: PRIMARY_SERVERS_LIST="/gone" names /gone, which does not exist. Create it',
        id="no-list",
    ),
    pytest.param("PING_TAG=ping", 'line 4: PING_TAG="ping" needs PING_DATA. Add a line', id="ping"),
    pytest.param(
        "TAG_PREFIX='a b'", 'line 4: TAG_PREFIX="a b" has a blank or control character', id="prefix"
    ),
    pytest.param("FIELD_NAME=$(printf '\\377')", "cannot be written as UTF-8", id="utf-8"),
    pytest.param(
        "LOGS=",
        'line 4: LOGS has no log, so nothing would be followed. Let it have a line "TAG',
        id="no-logs",
    ),
    pytest.param("LOGS='# a /a'", "line 4: LOGS has no log", id="only-comments"),
    pytest.param(
        "LOGS='a /a\nb'", 'line 5: the line "b" of LOGS has no path after the tag. Write', id="no-path"
    ),
    pytest.param("LOGS='a -'", 'line 4: the path "-" in LOGS is standard input, which only', id="stdin"),
    pytest.param("LOGS='a /a/*.log'", 'line 4: the path "/a/*.log" in LOGS has a wildcard', id="wildcard"),
    pytest.param(
        "LOGS='a /a\nb /b\nc /./a'", 'line 6: the lines "a /a" and "c /a" of LOGS name one file', id="twice"
    ),
    pytest.param("LOG_PATH=/var/log/app.log", "names the log of fluentlite itself", id="own-log"),
]


@pytest.mark.parametrize(("text", "expected"), PROBLEMS)
def test_a_problem_names_line_variable_value_and_remedy(problems_of, text, expected):
    """Whoever reads it knows where to go and what to write there (C03, O01)."""
    [problem] = problems_of(LEAST + text)

    assert expected in problem


def test_a_computed_run_dir_is_refused(problems_of, read_script):
    """stop and status find it in the text, where they need neither run the script nor be allowed to."""
    [problem] = problems_of(LEAST + "X=/srv\nFLUENTLITE_RUN_DIR=$X/run")

    assert problem.startswith(
        'line 5: FLUENTLITE_RUN_DIR="/srv/run" is computed, but `fluentlite stop` and `status`'
    )
    for line in (
        "FLUENTLITE_RUN_DIR='/srv/run' # x",
        "  export FLUENTLITE_RUN_DIR=/srv//run",
        "FLUENTLITE_RUN_DIR=srv/run",
    ):
        assert read_script(f"{LEAST}{line}\n").settings.master.run_dir == "/srv/run"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#FLUENTLITE_RUN_DIR=/srv",
        "FLUENTLITE_RUN_DIR=",
        "FLUENTLITE_RUN_DIR='a\nb'",
        "XFLUENTLITE_RUN_DIR=/srv",
    ],
)
def test_without_a_run_dir_it_is_the_default(text):
    """Whatever else stands there."""
    assert run_dir_in(text) == MasterSettings().run_dir


def test_all_problems_are_told_in_one_go_from_top_to_bottom(problems_of):
    """Nobody has to come back for the next one."""
    text = "RECONNECT_WAIT_MAX=x\nPROCESS_NICE=y\nLOGS='a'\nexport READ_BUFFER_SIZE=-3\nPRIMARY_SERVER=:1\n"

    assert [problem.partition(":")[0] for problem in problems_of(text)] == [
        f"line {n}" for n in (1, 2, 3, 4, 5)
    ]


def test_the_line_of_what_is_computed_is_that_of_its_variable(problems_of, write):
    """A value that stands nowhere in the script comes from the last line that set it."""
    path = write("logs", "a /a\nb\n")
    text = f"# KEEPALIVE_TIME=x\nKEEPALIVE_TIME=1\nX=y; KEEPALIVE_TIME=$X\n{LEAST}LOGS=$(cat {path})\n"

    assert [problem.partition(":")[0] for problem in problems_of(text)] == ["line 3", "line 7"]


def test_what_is_no_script_is_refused(problems_of, write):
    """NUL bytes, and sizes that no configuration has, are told before anything is run."""
    [nul] = problems_of("A=1\nB=\0\n")
    [big] = problems_of("#" * 1_100_000)

    assert nul.startswith("line 2 has a NUL byte, so it is no shell script.")
    assert big.startswith("it is larger than 1 MiB")


def test_what_bash_says_reaches_the_user(warnings_of):
    """A misspelt command is no error for bash, but its message must not be lost."""
    assert warnings_of(LEAST + "hostnam\n") == ["bash said: line 4: hostnam: command not found"]


def test_a_file_that_does_not_end_in_toml_is_a_script(write):
    """Whoever has the old configuration names it and starts."""
    for name in ("old.conf", "fluent-agent-lite", "old.toml.bak"):
        path = write(name, LEAST)
        os.chmod(path, 0o644)
        assert [log.tag for log in read_any(path, {}).settings.logs] == ["app"]


def test_a_real_one(write, tmp_path):
    """Host name, list of servers, logs with variables, tests for files: what users have grown over the years."""
    path = write(
        "fluent-agent-lite.conf",
        f"""\
# made by the host's setup, do not edit
base={tmp_path}
host=$(hostname)
role=web
mkdir -p "$base/etc"
cat <<"EOF" > "$base/etc/primary.list"
collector1.example:24224
collector2.example:24225
EOF
TAG_PREFIX=raw
LOGS=$(cat <<EOF
$role.access.$host $base/log/access_log

# $role.ssl.$host  $base/log/ssl_log
$role.error.$host  $base/log/error_log
EOF
)
if [ -d "$base/app" ]; then
    for name in $base/app/*.log; do
        LOGS="$LOGS
app.$(basename $name .log).$host $name"
    done
fi
PRIMARY_SERVERS_LIST=$base/etc/primary.list
LOG_PATH=$base/log/agent.log
LOG_VERBOSE=yes
KEEPALIVE_TIME=10800
FORCE_START=1
PING_TAG=ping PING_DATA=`hostname`
[ -f /opt/perl/bin/perl ] && PERL_PATH=/opt/perl/bin/perl
""",
    )
    os.chmod(path, 0o644)
    for name in ("one", "two"):
        write(f"app/{name}.log", "")
    host = socket.gethostname()
    reading = read(path, os.environ)

    assert reading.settings.master == MasterSettings(log_file=f"{tmp_path}/log/agent.log", log_level="debug")
    assert {log.tag: log.path for log in reading.settings.logs} == {
        f"raw.web.access.{host}": f"{tmp_path}/log/access_log",
        f"raw.web.error.{host}": f"{tmp_path}/log/error_log",
        f"raw.app.one.{host}": f"{tmp_path}/app/one.log",
        f"raw.app.two.{host}": f"{tmp_path}/app/two.log",
    }
    for log in reading.settings.logs:
        assert log.forward.primary == (Server("collector1.example"), Server("collector2.example", 24225))
        assert log.forward.keepalive_timeout == 10800.0
        assert log.ping == PingSettings(tag="ping", data=host)
    assert reading.warnings == ()
