"""The commands as a user types them, in processes of their own."""

import os
import re
import subprocess
import sys

import pytest

import fluentlite
from fluentlite import cli


def run(*words, environ=None, timeout=60, **options):
    """Run ``fluentlite`` with *words*; returns (exit status, standard output, standard error)."""
    command = [sys.executable, "-m", "fluentlite", *map(str, words)]
    environment = {**os.environ, **(environ or {})}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        **options,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("words", [(), ("--help",), ("help",)])
def test_help_names_every_command(words):
    """Without a command, or asked for help, every command is listed on standard output."""
    status, out, err = run(*words)

    assert (status, err) == (0, "")
    for command in ("demo", "agent", "check", "receive", "version"):
        assert re.search(rf"^  {command}\b", out, re.MULTILINE)


def test_version_is_the_package_s():
    """``version`` prints name and version, nothing else."""
    assert run("version") == (0, f"fluentlite {fluentlite.__version__}\n", "")


@pytest.mark.parametrize("number", cli.LIMITS)
def test_the_system_has_no_more_for_us(monkeypatch, capsys, number):
    """A command that gets no descriptor, memory or process says so, and what to raise; it is no bug."""

    def refuse(_words):
        raise OSError(number, os.strerror(number))

    monkeypatch.setitem(cli.COMMANDS, "version", refuse)

    assert cli.main(["version"]) == 1
    assert capsys.readouterr().err == (
        f"fluentlite version: {os.strerror(number)}. Raise the limits of open files, processes and memory "
        "(ulimit -n, -u, -v).\n"
    )


def test_an_unknown_command_is_named():
    """A command that does not exist is an error of one line, with the one that was meant, or where they all are."""
    said = [run(word) for word in ("stauts", "rel", "nonsense")]

    assert [(status, out) for status, out, _ in said] == [(2, "")] * 3
    assert said[0][2] == 'fluentlite: there is no command "stauts". Did you mean "status"?\n'
    assert said[1][2] == 'fluentlite: there is no command "rel". Did you mean "reload"?\n'
    assert said[2][2] == 'fluentlite: there is no command "nonsense". "fluentlite --help" lists them all.\n'


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(("version", "now"), '"now" is not expected', id="version-takes-nothing"),
        pytest.param(("check", "-c"), "-c needs the name", id="c-without-file"),
        pytest.param(("check", "x.toml"), '"x.toml" is not expected', id="file-without-c"),
        pytest.param(
            ("demo", "/nonexistent/a"), "/nonexistent/a: there is no such file", id="demo-of-nothing"
        ),
        pytest.param(("agent",), "operands are needed", id="agent-without-anything"),
    ],
)
def test_misuse_says_what_to_say_instead(words, expected):
    """Wrong arguments end with status 1 and one sentence, never with a traceback."""
    status, out, err = run(*words)

    assert (status, out) == (1, "")
    assert expected in err
    assert "Traceback" not in err


def test_check_takes_the_configuration_from_the_environment(tmp_path):
    """Without -c the configuration is $FLUENTLITE_CONFIG."""
    config = tmp_path / "mine.toml"
    config.write_text(f"""
        [master]
        state_dir = "{tmp_path}"
        run_dir = "{tmp_path}"
        log_file = "{tmp_path}/own.log"
        [forward]
        primary = ["127.0.0.1:24224"]
        [[log]]
        tag = "t"
        path = "{tmp_path}/a.log"
    """)
    status, out, err = run("check", environ={"FLUENTLITE_CONFIG": str(config)})

    assert (status, err) == (0, "")
    assert f"{tmp_path}/a.log" in out


def test_check_tells_all_problems_and_fails(tmp_path):
    """A broken configuration is status 1 with every problem on standard error."""
    config = tmp_path / "broken.toml"
    config.write_text('[tail]\npoll_intervall = 1\n[[log]]\ntag = ""\n')
    status, _out, err = run("check", "-c", config)

    assert status == 1
    assert "poll_interval" in err
    assert "tag" in err
    assert "path" in err
    assert "Traceback" not in err


def test_agent_with_a_closed_standard_input_says_so(tmp_path):
    """An agent that is to read a standard input that is closed ends with a sentence; it reads nothing else instead."""
    words = ("agent", "-l", tmp_path / "own.log", "t", "-", "127.0.0.1:9")
    command = [sys.executable, "-m", "fluentlite", *map(str, words)]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *command], capture_output=True, text=True, timeout=30
    )

    assert done.returncode == 1
    assert "standard input is closed" in done.stderr
    assert "Traceback" not in done.stderr
