"""The files in init/ and etc/ say what the program does: units, directories, users, rotation."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fluentlite.cli import NOT_CONFIGURED
from fluentlite.config.model import DEFAULT_CONFIG_PATH, MasterSettings
from fluentlite.master.directories import pid_path

ROOT = Path(__file__).parents[2]
MASTER = MasterSettings()


@pytest.fixture(scope="module")
def unit():
    """Section and key of the unit to its value; the values of a key that occurs again follow after a blank."""
    values = {}
    section = ""
    for line in (ROOT / "init/fluentlite.service").read_text().splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
        elif line and not line.startswith("#"):
            key, value = line.split("=", 1)
            values[section, key] = " ".join(
                [*([values[section, key]] if (section, key) in values else []), value]
            )
    return values


def rules(name):
    """The lines of a file in etc/ without its comments, each split into words."""
    lines = (ROOT / "etc" / name).read_text().splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


def seconds(value):
    """A plain number: systemd's units of time are not used."""
    return float(value)


def test_the_unit_runs_the_commands(unit):
    """systemd starts in the foreground and is told when it is ready; it reloads by the command that tells mistakes (P10)."""
    assert unit["Service", "Type"] == "notify"
    assert unit["Service", "ExecStart"].endswith("/fluentlite start --foreground")
    assert unit["Service", "ExecReload"].endswith("/fluentlite reload")
    assert unit["Install", "WantedBy"] == "multi-user.target"


def test_the_unit_gives_time_to_stop(unit):
    """What systemd waits is above what the master waits; only who is left is killed (P23)."""
    assert seconds(unit["Service", "TimeoutStopSec"]) > 2 * MASTER.stop_timeout
    assert unit["Service", "KillMode"] == "mixed"


def test_the_unit_never_gives_up_but_on_what_a_restart_cannot_mend(unit):
    """A failed start is tried again for ever, unless nothing is configured; one killed worker does not stop all (P13, P15)."""
    assert unit["Service", "Restart"] == "on-failure"
    assert seconds(unit["Service", "RestartSec"]) >= 1
    assert unit["Unit", "StartLimitIntervalSec"] == "0"
    assert unit["Service", "RestartPreventExitStatus"] == str(NOT_CONFIGURED)
    assert unit["Service", "OOMPolicy"] == "continue"
    assert seconds(unit["Service", "WatchdogSec"]) >= 60, "a starved master is not a dead one"


def test_the_unit_lets_the_master_write_where_it_must(unit):
    """run_dir, state_dir and the directory of log_file can be made and written with their defaults; all else is read-only."""
    service = {key: value for (section, key), value in unit.items() if section == "Service"}
    writable = service["ReadWritePaths"].split()

    assert service["ProtectSystem"] == "strict"
    assert f"/run/{service['RuntimeDirectory']}" == MASTER.run_dir
    assert str(Path(MASTER.state_dir).parent) in writable
    assert str(Path(MASTER.log_file).parents[1]) in writable
    # A failed start must not remove the pid file and the socket of a master that somebody started by hand.
    assert service["RuntimeDirectoryPreserve"] == "yes"
    # These would give what belongs to `user` back to root at each start.
    assert not service.keys() & {"StateDirectory", "LogsDirectory", "CacheDirectory", "User", "DynamicUser"}


def test_the_unit_hides_no_log_and_no_worker(unit):
    """Logs in homes and in /tmp can be read, and the master sees the processes of the workers' user."""
    service = {key: value for (section, key), value in unit.items() if section == "Service"}

    assert service["ProtectHome"] == "read-only"
    assert not service.keys() & {
        "PrivateTmp",
        "PrivateUsers",
        "ProtectProc",
        "ProcSubset",
        "InaccessiblePaths",
    }
    assert not service.keys() & {"PrivateNetwork", "IPAddressDeny"}


def test_the_unit_takes_away_what_is_not_needed(unit):
    """Of root's powers only those stay that serve user, nice and logs of any owner."""
    service = {key: value for (section, key), value in unit.items() if section == "Service"}
    yes = {
        "NoNewPrivileges", "PrivateDevices", "PrivateMounts", "RestrictSUIDSGID", "RestrictNamespaces", "RestrictRealtime",
        "LockPersonality", "MemoryDenyWriteExecute", "ProtectClock", "ProtectControlGroups", "ProtectHostname",
        "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables",
    }  # fmt: skip

    assert {key for key in yes if service.get(key) == "yes"} == yes
    assert set(service["CapabilityBoundingSet"].split()) == {
        f"CAP_{name}" for name in ("SETUID", "SETGID", "KILL", "CHOWN", "FOWNER", "DAC_OVERRIDE", "SYS_NICE")
    }
    assert set(service["RestrictAddressFamilies"].split()) == {"AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"}
    assert service["SystemCallFilter"] == "@system-service"
    assert service["SystemCallArchitectures"] == "native"


def test_what_is_denied_is_not_needed(tmp_path):
    """The real thing runs where no memory can be made executable: a library that wants that is found out here."""
    log = tmp_path / "a.log"
    log.write_text("one\ntwo\n")
    # What MemoryDenyWriteExecute= asks of the kernel (prctl(2), PR_SET_MDWE); it outlives the exec.
    code = (
        "import ctypes, os, sys\n"
        "status = ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)\n"
        "print('denied' if status == 0 else 'too old a kernel')\n"
        "sys.stdout.flush()\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'fluentlite', 'demo', sys.argv[1]])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, log], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    assert "2 lines delivered" in done.stdout


def test_both_read_the_same_environment(unit):
    """The unit and the script read the same files, and what these set reaches the program."""
    paths = {path.lstrip("-") for path in unit["Service", "EnvironmentFile"].split()}
    script = (ROOT / "init/fluentlite").read_text()

    assert paths == {"/etc/default/fluentlite", "/etc/sysconfig/fluentlite"}
    assert all(path in script for path in paths)


def test_the_sample_environment_sets_nothing(tmp_path):
    """As delivered it changes nothing; what it shows is what is used without it."""
    path = ROOT / "etc/default/fluentlite"
    done = subprocess.run(["sh", "-c", '. "$0" && set', path], capture_output=True, text=True, env={})

    assert (done.returncode, done.stderr) == (0, "")
    assert "FLUENTLITE" not in done.stdout
    assert f"#FLUENTLITE_CONFIG={DEFAULT_CONFIG_PATH}\n" in path.read_text()


def test_directories_and_users_are_those_of_the_configuration():
    """tmpfiles makes the run directory as the master would, sysusers the user that the sample names."""
    assert rules("tmpfiles.d/fluentlite.conf") == [["d", MASTER.run_dir, "0755", "root", "root", "-"]]
    users = [words[1] for words in rules("sysusers.d/fluentlite.conf") if words[0] == "u"]
    [example] = re.findall(r'^#user = "(.*)"$', (ROOT / "etc/fluentlite.toml").read_text(), re.MULTILINE)
    assert users == [example]


# -- rotation of the own log ----------------------------------------------------------------------------

ROTATION = (ROOT / "etc/logrotate.d/fluentlite").read_text()


def after_rotation(pid_file):
    """Run what logrotate runs after a rotation, with another pid file."""
    script = re.search(r"postrotate\n(.*?)\n\s*endscript", ROTATION, re.DOTALL)[1]
    assert script.count(pid_path(MASTER.run_dir)) == 1
    return subprocess.run(
        ["sh", "-c", script.replace(pid_path(MASTER.run_dir), str(pid_file))],
        capture_output=True,
        text=True,
        timeout=10,
    )


@pytest.fixture
def process(tmp_path):
    """A process that USR1 ends, as it ends most; it may have the pid file open, as a master has."""
    started = []

    def start(pid_file=None):
        with open(pid_file or "/dev/null") as file:
            started.append(subprocess.Popen(["sleep", "60"], stdin=file))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.wait()


def test_the_own_log_is_what_rotates():
    """The snippet names the own log, with its default path, and leaves making the new one to the master (P18)."""
    assert ROTATION.splitlines()[2] == f"{MASTER.log_file} {{"
    for word in ("missingok", "notifempty", "nocreate", "delaycompress"):
        assert re.search(rf"^\s+{word}$", ROTATION, re.MULTILINE)


def test_after_the_rotation_the_master_is_told(tmp_path, process):
    """USR1 goes to the process that the pid file names, if it is the one that has that file open (P18)."""
    pid_file = tmp_path / "fluentlite.pid"
    pid_file.touch()
    master = process(pid_file)
    pid_file.write_text(f"{master.pid}\n")
    done = after_rotation(pid_file)

    assert (done.returncode, done.stderr) == (0, "")
    assert master.wait(timeout=10) == -signal.SIGUSR1


def test_after_the_rotation_no_stranger_is_hurt(tmp_path, process):
    """A pid that was left behind and is somebody else's by now gets no signal (P03)."""
    pid_file = tmp_path / "fluentlite.pid"
    stranger = process()
    pid_file.write_text(f"{stranger.pid}\n")
    done = after_rotation(pid_file)

    assert (done.returncode, done.stderr) == (0, "")
    # Were a signal on its way, this one would come after it.
    stranger.send_signal(signal.SIGTERM)
    assert stranger.wait(timeout=10) == -signal.SIGTERM


@pytest.mark.parametrize("content", [None, "", "0\n", "999999999\n", "not a number\n"])
def test_after_the_rotation_nothing_happens_without_a_master(tmp_path, content):
    """No pid file, an empty one, or the pid of nobody: no error that logrotate would mail every night."""
    pid_file = tmp_path / "fluentlite.pid"
    if content is not None:
        pid_file.write_text(content)
    done = after_rotation(pid_file)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
