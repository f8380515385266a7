"""A configuration of fluent-agent-lite runs the daemon: starts, delivers, is read again; and so does its import."""

import os
import socket
import subprocess

import pytest
from daemon import FLUENTLITE, Daemon

SCRIPT = """\
# a web server's, with what its owner needs at each start
base={base}
host=$(hostname)
mkdir -p $base/etc
cat <<"EOF" > $base/etc/primary.list
{server}
EOF
TAG_PREFIX=raw
LOGS=$(cat <<EOF
web.access.$host $base/logs/access.log

# web.ssl.$host   $base/logs/ssl.log
web.error.$host   $base/logs/error.log
EOF
)
PRIMARY_SERVERS_LIST=$base/etc/primary.list
LOG_PATH=$base/fluentlite.log
LOG_VERBOSE=yes
KEEPALIVE_TIME=10800
RECONNECT_WAIT_MAX=0.5
TAIL_INTERVAL=0.2
FORCE_START=1
PING_TAG=ping PING_DATA=$host
DRAIN_LOG_TAG=drain
FLUENTLITE_STATE_DIR=$base/state
FLUENTLITE_RUN_DIR={base}/run
[ -f /opt/perl/bin/perl ] && PERL_PATH=/opt/perl/bin/perl
"""
HOST = socket.gethostname()
ACCESS, ERROR = f"raw.web.access.{HOST}", f"raw.web.error.{HOST}"


class LegacyDaemon(Daemon):
    """A :class:`Daemon` whose configuration is a script; ``script`` is its text."""

    def write_config(self):
        self.config_path = self.directory / "old.conf"
        self.script = SCRIPT.format(base=self.directory, server=self.config["forward"]["primary"][0])
        self.write_script()

    def write_script(self):
        self.config_path.write_text(self.script)
        os.chmod(self.config_path, 0o644)

    def import_it(self):
        """Use what ``fluentlite import`` prints from now on."""
        command = [*FLUENTLITE, "import", str(self.config_path)]
        text = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
        self.config_path = self.directory / "new.toml"
        self.config_path.write_bytes(text)


@pytest.fixture
def old(tmp_path, arrivals):
    """A daemon with an old configuration, not started."""
    directory = tmp_path / "agent"
    directory.mkdir()
    daemon = LegacyDaemon(directory, "access", "error", server=arrivals.address)
    yield daemon
    daemon.close()


@pytest.fixture
def recording(arrivals):
    """What arrives, but for what differs from run to run: tag, mode, whether with id, type of time, fields, ping."""
    seen = []
    take = arrivals._take

    def record(chunk):
        for event in chunk.events:
            fields = tuple(event.record)
            shape = (
                chunk.tag,
                chunk.mode.value,
                bool(chunk.id),
                type(event.time),
                fields,
                event.record.get("data", ""),
            )
            seen.append(shape)
        take(chunk)

    arrivals.down()
    arrivals._take = record
    arrivals.up()
    return seen


def deliver(daemon, arrivals, name, tag, lines):
    """Append lines to a log that is followed and see them arrive, after those that arrived before."""
    expected = arrivals.lines(tag) + lines
    daemon.append(name, *lines)
    arrivals.wait_for_lines(tag, expected)


def test_an_old_configuration_starts_delivers_and_is_read_again(old, arrivals):
    """
    Nothing but the command changes: the script's commands are run, its logs followed, lists and logs that it makes
    otherwise later are in effect after a reload, and what it breaks changes nothing (C01).
    """
    old.append("access", "from before")
    old.start()
    old.wait_for_workers(2)
    deliver(old, arrivals, "access", ACCESS, ["a1", "a2"])
    deliver(old, arrivals, "error", ERROR, ["e1"])
    pids = old.workers()
    old.script = old.script.replace("# web.ssl", "web.ssl").replace(
        "KEEPALIVE_TIME=10800", "KEEPALIVE_TIME=5"
    )
    old.write_script()
    result = old.run("reload")
    old.wait_for_workers(3)
    deliver(old, arrivals, "ssl", f"raw.web.ssl.{HOST}", ["s1"])
    deliver(old, arrivals, "access", ACCESS, ["a3"])

    assert result.status == 0, result
    assert 'KEEPALIVE_TIME="5" is below the minimum; 120 is used.' in old.said()
    assert set(pids) < set(old.workers())

    old.announce("reload refused")
    good, old.script = old.script, old.script + "if\n"
    old.write_script()
    result = old.run("reload")
    deliver(old, arrivals, "error", ERROR, ["e2"])
    assert result.status == 1
    assert "bash finds a mistake in it" in result.err
    old.script = good
    old.write_script()
    assert old.run("reload").status == 0
    assert old.run("stop").status == 0
    assert old.processes() == []


def test_the_import_is_the_same_on_the_wire(old, recording, arrivals):
    """
    The TOML continues where the script stopped, nothing lost or doubled, and sends what the script would: the same
    mode, tags, fields and kind of time, pings and drain logs (C04).
    """
    old.start()
    old.wait_for_workers(2)
    deliver(old, arrivals, "access", ACCESS, ["a1"])
    deliver(old, arrivals, "error", ERROR, ["e1"])
    arrivals.wait_for(lambda: len(set(recording)) == 5)
    by_script = set(recording)
    old.stop()
    old.append("access", "a2", "a3")
    recording.clear()
    old.import_it()
    old.start()
    arrivals.wait_for(lambda: len(arrivals.lines(ACCESS)) >= 3)
    deliver(old, arrivals, "error", ERROR, ["e2"])
    arrivals.wait_for(lambda: len(set(recording)) == 5)

    assert arrivals.lines(ACCESS) == ["a1", "a2", "a3"]
    assert arrivals.lines(ERROR) == ["e1", "e2"]
    assert set(recording) == by_script
    assert by_script == {
        (ACCESS, "PackedForward", True, int, ("message",), ""),
        (ERROR, "PackedForward", True, int, ("message",), ""),
        ("drain", "Message", False, int, ("drain",), ""),
        ("ping", "Message", False, int, ("data",), f"{HOST} {old.path('access')}"),
        ("ping", "Message", False, int, ("data",), f"{HOST} {old.path('error')}"),
    }


def test_a_script_that_others_may_write_is_not_run(old):
    """Neither at the start nor by check; the message has the command that mends it."""
    os.chmod(old.config_path, 0o666)
    for verb in ("start", "check"):
        result = old.run(verb)
        assert result.status == 1
        assert f"run: chmod go-w {old.config_path}" in result.err
    assert not (old.directory / "etc").exists()


def test_check_says_what_it_would_do(old):
    """With the warnings that a start would give."""
    old.script += "PROCESS_NICE=0\nFORCE_START=no\n"
    old.write_script()
    result = old.run("check")

    assert result.status == 0, result
    assert ACCESS in result.out
    assert "WARNING" in result.out
    assert "not there yet" in result.out
