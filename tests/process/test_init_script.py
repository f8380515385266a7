"""The SysV script as ``fluentlite install --sysv`` puts it in place, with the real daemon behind it."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "init" / "fluentlite"
SHELLS = [path for path in map(shutil.which, ("sh", "dash", "bash")) if path]


@pytest.fixture
def script(tmp_path):
    """The installed script; instead of /etc/default/fluentlite and its like it reads ``default`` and ``sysconfig``."""
    prefix = tmp_path / "root"
    command = [sys.executable, "-m", "fluentlite", "install", "--sysv", "--prefix", prefix]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    path = prefix / "etc/init.d/fluentlite"
    text = path.read_text()
    for name in ("default", "sysconfig"):
        assert f"/etc/{name}/fluentlite" in text
        text = text.replace(f"/etc/{name}/fluentlite", str(tmp_path / name))
    path.write_text(text)
    return path


@pytest.fixture
def call(script, tmp_path):
    """Call the script with the words after it, as ``service`` does: without environment, in ``/``."""

    def run(*words, shell="/bin/sh", config=None):
        if config is not None:
            (tmp_path / "default").write_text(f"FLUENTLITE_CONFIG={config}\n")
        return subprocess.run(
            [shell, script, *words],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def statuses(call, *verbs, **how):
    return [(verb, call(verb, **how).returncode) for verb in verbs]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_life_in_verbs(call, make_daemon, arrivals, shell):
    """Each verb does what it says and ends with the status that LSB asks for, in every shell."""
    daemon = make_daemon("a")
    expected = [("status", 3), ("reload", 7), ("start", 0), ("start", 0), ("status", 0)]
    assert statuses(call, *dict(expected[:2]), config=daemon.config_path, shell=shell) == expected[:2]
    assert [(verb, call(verb, shell=shell).returncode) for verb, _ in expected[2:]] == expected[2:]
    first = daemon.master()
    assert statuses(call, "reload", "force-reload", shell=shell) == [("reload", 0), ("force-reload", 0)]
    assert daemon.master() == first
    assert call("restart", shell=shell).returncode == 0
    assert daemon.master() != first
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])
    assert statuses(call, "stop", "status", shell=shell) == [("stop", 0), ("status", 3)]
    assert call("stop", shell=shell).returncode == 0
    assert daemon.processes() == []


def test_a_restart_starts_what_is_not_running(call, make_daemon):
    """As LSB has it: restart of a stopped service starts it."""
    daemon = make_daemon("a")

    assert call("restart", config=daemon.config_path).returncode == 0
    assert daemon.is_running()


def test_a_broken_configuration_changes_nothing(call, make_daemon):
    """reload and restart fail with the reason, and what runs goes on (P10)."""
    daemon = make_daemon("a")
    assert call("start", config=daemon.config_path).returncode == 0
    before = daemon.master()
    daemon.config["master"]["nice"] = "very"
    daemon.write_config()
    for verb in ("reload", "force-reload", "restart"):
        done = call(verb)
        assert done.returncode == 1
        assert "nice" in done.stderr

    assert daemon.master() == before
    daemon.announce("nice")


def test_a_master_that_was_killed_is_dead_but_has_a_pid_file(call, make_daemon):
    """status tells the two kinds of not running apart, and start does not mind (P03)."""
    daemon = make_daemon("a")
    assert call("start", config=daemon.config_path).returncode == 0
    os.kill(daemon.master(), signal.SIGKILL)
    daemon.eventually(lambda: not daemon.processes())

    assert statuses(call, "status", "start", "status") == [("status", 1), ("start", 0), ("status", 0)]


def test_what_is_not_configured_does_not_start(call, script):
    """With the configuration as delivered, and with none, start ends with 6 and says what to do next."""
    delivered = script.parents[1] / "fluentlite/fluentlite.toml"
    for config, expected in (
        (delivered, "Add one, with its tag and its path."),
        ("/none.toml", "there is no"),
    ):
        for verb in ("start", "restart"):
            done = call(verb, config=config)
            assert (done.returncode, done.stdout) == (6, "")
            assert expected in done.stderr


@pytest.mark.parametrize("words", [(), ("help",), ("start", "now"), ("",), ("Start",), ("try-restart",)])
def test_usage(call, words):
    """Anything but the verbs: status 2, and the verbs."""
    done = call(*words)

    assert (done.returncode, done.stdout) == (2, "")
    assert "{start|stop|restart|reload|force-reload|status}" in done.stderr


def test_without_the_program(call, tmp_path):
    """A script whose program is gone says so: 5, not installed; for status 4, unknown."""
    (tmp_path / "default").write_text(f"FLUENTLITE={tmp_path}/gone\n")
    for verb, status in (("start", 5), ("stop", 5), ("status", 4)):
        done = call(verb)
        assert (done.returncode, done.stdout) == (status, "")
        assert f"{tmp_path}/gone is not there" in done.stderr


def test_what_the_files_of_the_environment_set_reaches_the_configuration(call, make_daemon, tmp_path):
    """/etc/default/fluentlite, and after it /etc/sysconfig/fluentlite, give the configuration its ${NAME}."""
    daemon = make_daemon("a")
    daemon.config["log"][0]["tag"] = "${FIRST}.${SECOND}"
    daemon.write_config()
    (tmp_path / "default").write_text(f"FLUENTLITE_CONFIG={daemon.config_path}\nFIRST=one\nSECOND=two\n")
    (tmp_path / "sysconfig").write_text("SECOND='three'\n")

    assert call("start").returncode == 0
    assert daemon.workers().keys() == {"one.three"}
    assert call("stop").returncode == 0


def test_its_header_is_of_lsb():
    """insserv, update-rc.d and systemd read from it what it provides and when it runs."""
    text = SOURCE.read_text()
    header = re.search(r"^### BEGIN INIT INFO\n(.*)^### END INIT INFO$", text, re.MULTILINE | re.DOTALL)[1]
    fields = dict(re.findall(r"^# ([\w-]+):\s+(.+)$", header, re.MULTILINE))

    assert fields["Provides"] == "fluentlite"
    assert fields["Default-Start"].split() == ["2", "3", "4", "5"]
    assert fields["Default-Stop"].split() == ["0", "1", "6"]
    assert {"Required-Start", "Required-Stop", "Short-Description", "Description"} <= fields.keys()
    assert len(fields) == header.count("\n"), "no line that they would not understand"
    assert text.startswith("#!/bin/sh\n")
