"""``fluentlite import``: the TOML that it prints gives the settings of the script, and says what differs."""

import dataclasses
import io
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluentlite.config import legacy, toml
from fluentlite.config.importing import run_import
from fluentlite.config.legacy_logs import Entry
from fluentlite.config.legacy_script import Understood, understand
from fluentlite.config.legacy_table import NAMES
from fluentlite.config.problems import Problems
from fluentlite.config.shell import Sourced
from fluentlite.config.to_toml import render
from fluentlite.errors import ConfigError

HOST = "host7"
LEAST = 'PRIMARY_SERVER=a.example\nLOGS="app /var/log/app.log"\nFORCE_START=yes\n'


@pytest.fixture
def imported(write):
    """The TOML that a script becomes."""

    def imported(text):
        path = write("old.conf", text)
        os.chmod(path, 0o644)
        return render(legacy.run(path, os.environ), HOST)

    return imported


def toml_settings(text, path):
    """The settings that a TOML file of this text gives, but for the name of the file."""
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory, "new.toml")
        file.write_bytes(text.encode())
        return dataclasses.replace(toml.read(str(file), {"HOSTNAME": HOST}).settings, path=path)


CHARACTERS = "ab.-_/{}$\"'\\#~é"
NAMES_OF_THINGS = st.text(CHARACTERS, min_size=1, max_size=8) | st.sampled_from(
    ["raw", "${HOME}", "$${x", "$$${HOSTNAME}", HOST, "#", "'''", '"', "\\u0041", "no", "0", "true"]
)
WORDS = NAMES_OF_THINGS | st.sampled_from(["a b", "a\x7f", "\x80", "a\tb", "a\nb", "\udcff"])
PATHS = NAMES_OF_THINGS.map("/srv/{}".format) | st.sampled_from(
    ["srv", "/srv/\x7f", "/srv/\udcff", "//srv/x"]
)
LOGS = st.lists(st.tuples(NAMES_OF_THINGS, PATHS), min_size=1, max_size=3, unique_by=lambda log: log[1]).map(
    lambda logs: "\n".join(f"{tag} {path}" for tag, path in logs)
)
SERVERS = st.sampled_from(["a", "a.example:5", "[::1]:7", "::1", "192.0.2.1", "é.example"])
SWITCHES = st.sampled_from(["", "no", "0", "false", "1", "yes", "\udcff"])
KINDS = {
    "LOGS": LOGS,
    **dict.fromkeys(("TAG_PREFIX", "DRAIN_LOG_TAG", "PING_TAG", "FLUENTLITE_USER"), NAMES_OF_THINGS),
    **dict.fromkeys(("FIELD_NAME", "PING_DATA"), WORDS),
    **dict.fromkeys(("PRIMARY_SERVER", "SECONDARY_SERVER"), SERVERS | st.just("")),
    **dict.fromkeys(("PRIMARY_SERVERS_LIST", "SECONDARY_SERVERS_LIST"), st.sampled_from(["", "LIST"])),
    **dict.fromkeys(("LOG_VERBOSE", "FORCE_START", "FLUENTLITE_REQUIRE_ACK_RESPONSE"), SWITCHES),
    **dict.fromkeys(("LOG_PATH", "FLUENTLITE_STATE_DIR", "PERL_PATH", "TAIL_PATH"), PATHS),
    "FLUENTLITE_RUN_DIR": st.sampled_from(["/srv/run", "/srv/a b", "srv", "/srv/é"]),
    "PROCESS_NICE": st.sampled_from(["0", "-20", "19", "+5"]),
    "READ_BUFFER_SIZE": st.sampled_from(["0", "64", " 65536 "]),
    "TAIL_INTERVAL": st.sampled_from(["0", "0.1", "1e2", "60"]),
    "PING_INTERVAL": st.sampled_from(["0", "0.3", "3600"]),
    **dict.fromkeys(
        ("KEEPALIVE_TIME", "RECONNECT_WAIT_MAX", "RECONNECT_WAIT_INCR_RATE"),
        st.sampled_from(["0", "1", "-1", "99.25", "1e-3"]),
    ),
}


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.fixed_dictionaries(
        {"LOGS": LOGS, "PRIMARY_SERVER": SERVERS},
        optional={name: kind for name, kind in KINDS.items() if name not in ("LOGS", "PRIMARY_SERVER")},
    )
)
def test_whatever_a_script_sets_the_toml_means_the_same(values):
    """Read back, what is printed gives equal settings; only what is no UTF-8 has no TOML."""
    with tempfile.TemporaryDirectory() as directory:
        servers = pathlib.Path(directory, "list")
        servers.write_text("a.example\nb.example:1\n")
        variables = dict.fromkeys(NAMES, "") | values
        variables = {name: str(servers) if value == "LIST" else value for name, value in variables.items()}
        problems = Problems()
        script = f"FLUENTLITE_RUN_DIR={shlex.quote(variables['FLUENTLITE_RUN_DIR'])}\n"
        found = understand("/etc/old.conf", script, Sourced(variables, ("é\x7f\udcff",)), problems)
        if problems:
            return
        expected = legacy.settings_of(found)
        try:
            text = render(found, HOST)
        except ConfigError as exc:
            assert "which is not UTF-8" in str(exc)
            assert any("\udcff" in value for value in variables.values())
            return

        assert toml_settings(text, "/etc/old.conf") == expected


def test_every_variable_is_drawn():
    """None is left out above."""
    assert set(KINDS) == set(NAMES)


def test_what_was_not_set_is_not_written_but_for_what_differs(imported):
    """Defaults stay defaults; those of the old agent that are not ours are written and explained."""
    text = imported(LEAST)

    assert tomllib.loads(text) == {
        "forward": {"primary": ["a.example:24224"], "reconnect_wait_max": 3600.0, "time_as_integer": True},
        "log": [{"tag": "app", "path": "/var/log/app.log"}],
    }
    assert "# As long as fluent-agent-lite would wait." in text
    assert "# Whole seconds, as fluent-agent-lite sent them." in text


def test_each_key_names_its_variable(imported):
    """Whoever knows the script finds each line again."""
    text = imported(
        LEAST + "TAG_PREFIX=raw\nRECONNECT_WAIT_MAX=30\nDRAIN_LOG_TAG=drain\nPING_TAG=p\nPING_DATA=d\n"
    )
    lines = text.splitlines()

    for line in (
        'primary = ["a.example:24224"]  # PRIMARY_SERVER',
        "reconnect_wait_max = 30.0  # RECONNECT_WAIT_MAX",
        'tag_prefix = "raw"  # TAG_PREFIX',
        'tag = "drain"  # DRAIN_LOG_TAG',
        'data = "d"  # PING_DATA',
    ):
        assert line in lines
    assert "As long as fluent-agent-lite would wait" not in text


def test_what_was_computed_is_marked(imported):
    """A tag that a command made is the one of this host; the comment has one for all hosts."""
    text = imported(
        f'{LEAST}h=$(echo {HOST})\nLOGS="web.$h /var/log/web.log\nall /var/log/$h.log\nx.{HOST}s /x"\n'
    )

    assert f'# Computed by the script on this host: "web.{HOST}".' in text
    assert 'With the name of whatever host reads it: "web.${HOSTNAME}".' in text
    assert f'# Computed by the script on this host: "/var/log/{HOST}.log".' in text
    assert "${HOSTNAME}s" not in text
    assert text.count("# Computed") == 2


def test_lists_of_servers_stay_files(imported, write, tmp_path):
    """They are read at each reload, as before; that the script may have written them is said."""
    path = write("list", "a.example\n")
    text = imported(f"{LEAST}PRIMARY_SERVER=\nPRIMARY_SERVERS_LIST={path}\n")

    assert tomllib.loads(text)["forward"]["primary_file"] == path
    assert "# Read at each start and reload. If the script wrote it, keep it by hand from now on." in text


def test_what_differs_is_said(imported):
    """Acks, positions, missing files, our own log, ignored variables and each warning."""
    text = imported(LEAST + "PERL_PATH=/perl\nTAIL_PATH=/tail\nKEEPALIVE_TIME=5\nhostnam\n")

    for words in (
        "The servers acknowledge each chunk.",
        "reading goes on where it ended",
        "A log that is not there is waited for",
        "/tmp/fluent-agent.log is not written any more",
        "PERL_PATH and TAIL_PATH: without meaning now.",
        'KEEPALIVE_TIME="5" is below the minimum; 120 is used.',
        "bash said: line 7: hostnam: command not found",
        "as it was understood on host7",
    ):
        assert words in text
    given = imported(LEAST + "LOG_PATH=/var/log/own.log\nFLUENTLITE_REQUIRE_ACK_RESPONSE=no\n")
    assert "/tmp/fluent-agent.log" not in given
    assert "acknowledge" not in given


def test_references_of_the_toml_reader_are_escaped(imported):
    """What the shell left as ${...} is text, not one more variable."""
    text = imported(LEAST + "FIELD_NAME='${HOME}'\n")

    assert 'field_name = "$${HOME}"  # FIELD_NAME' in text
    [log] = toml_settings(text, "").logs
    assert log.tail.field_name == "${HOME}"


def test_a_path_that_is_not_utf_8_cannot_be_imported(imported):
    """TOML has to be UTF-8; the script can be kept."""
    with pytest.raises(ConfigError, match=r"LOGS has .* which is not UTF-8 and cannot be written in TOML"):
        imported(LEAST + "LOGS=$(printf 'a /\\377')\n")


def test_comments_cannot_be_left(write):
    """A name with a newline, or a control character, stays in its comment."""
    found = Understood(
        path="/etc/a\nb = 1",
        script="",
        settings=(),
        logs=(Entry("t\x7f", "/p\n[x]", 1),),
        ignored=(),
        warnings=(),
    )

    assert set(tomllib.loads(render(found, "h\nc = 1"))) == {"forward", "log"}


def test_the_command_prints_utf_8_whatever_the_terminal(write):
    """A file must not depend on who made it."""
    path = write("old.conf", LEAST + "FIELD_NAME=né\n")
    os.chmod(path, 0o644)
    command = [sys.executable, "-m", "fluentlite", "import", path]
    env = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(command, capture_output=True, env=env, timeout=60, check=True)

    assert 'field_name = "né"' in done.stdout.decode()
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], 'Name one file, as in "fluentlite import /etc/fluent-agent-lite.conf".'),
        (["a", "b"], "Name one file"),
        (["/srv/a.toml"], "/srv/a.toml: it is TOML by its name already."),
        (["/gone.conf"], "/gone.conf: root cannot read it (No such file or directory)."),
    ],
)
def test_wrong_arguments_are_explained(arguments, expected):
    """Exit status 1, and nothing on standard output that could overwrite a file."""
    done = subprocess.run(
        [sys.executable, "-m", "fluentlite", "import", *arguments], capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert expected in done.stderr


def test_its_help_shows_the_way(capsys):
    """Old file in, new file out, check."""
    from fluentlite.cli import main

    assert main(["import", "--help"]) == 0
    out = capsys.readouterr().out
    assert "fluentlite import /etc/fluent-agent-lite.conf > /etc/fluentlite/fluentlite.toml" in out


def test_a_script_that_cannot_be_used_prints_nothing(write):
    """The problems are told instead."""
    path = write("old.conf", "LOGS=\n")
    os.chmod(path, 0o644)
    out = io.BytesIO()
    with pytest.raises(ConfigError) as caught:
        run_import(path, os.environ, out)

    assert len(caught.value.problems) == 2
    assert out.getvalue() == b""
