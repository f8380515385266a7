"""What other users of the host may do to a daemon: ask how it is, and nothing else."""

from __future__ import annotations

import os
import re
import resource
import subprocess

import psutil
import pytest
from asking import as_stranger
from kernel import title
from strangers import IS_ROOT, MALLORY, WORKER, hard_link, open_directory, pipe, symbolic_link

import fluentlite.daemon  # noqa: F401 - another user may not be able to read the interpreter's files
from fluentlite.errors import FluentliteError
from fluentlite.service import run_reload, run_restart, run_start, run_stop
from fluentlite.status import run_status

ENTRY = re.compile(r"(    |\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[[A-Z]+\] \(\d+\) )")

OPEN = "can be written by everybody"


@pytest.fixture
def open_daemon(make_daemon, arrivals):
    """A daemon in directories that every user can pass; as root its workers are another user."""
    how = {"user": WORKER.pw_name} if IS_ROOT else {}
    with open_directory() as directory:
        daemon = make_daemon("a", directory=directory / "agent", **how)
        yield daemon
        daemon.close()


@pytest.mark.parametrize(
    ("key", "name", "remedy"),
    [
        ("run_dir", "run_dir", "chmod g?o-w"),  # a group other than root's must not either
        ("state_dir", "state_dir", "chmod o-w"),
        ("log_file", "the directory of log_file", "chmod o-w"),
    ],
)
def test_a_directory_that_everybody_can_write(make_daemon, key, name, remedy):
    """``start`` and ``check`` refuse it by name and with the remedy, and ``start`` has started nothing."""
    daemon = make_daemon("a")
    place = daemon.directory / "open"
    place.mkdir()
    place.chmod(0o777)
    daemon.config["master"][key] = str(place / "own.log" if key == "log_file" else place)
    daemon.write_config()
    check, start = daemon.run("check"), daemon.run("start")
    assert (check.status, start.status) == (1, 1)
    assert f"ERROR: {name} {place}: it {OPEN}" in check.out
    assert f"{name} {place}: it {OPEN}" in start.err
    assert re.search(f"{remedy} {place}", start.err)
    assert daemon.processes() == list(place.iterdir()) == []

    place.chmod(0o755)
    daemon.start()
    daemon.stop()


def test_a_directory_that_was_opened_later(daemon, arrivals):
    """A reload refuses it and changes nothing; nor does the master put its files back there; mended, all is well (P10)."""
    before = daemon.processes()
    daemon.announce("reload refused")
    for path in (daemon.run_dir, daemon.state_dir, daemon.directory):
        mode = path.stat().st_mode
        path.chmod(0o777)
        result = daemon.run("reload")
        assert result.status == 1
        assert OPEN in result.err
        assert "nothing has changed" in result.err
        path.chmod(mode)
    assert daemon.processes() == before
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])

    assert daemon.run("reload").status == 0


def test_a_configuration_that_everybody_can_write(make_daemon, arrivals):
    """It is used, for it may be meant so; but ``check``, ``start`` and the own log say what it means."""
    daemon = make_daemon("a")
    servers = daemon.directory / "servers"
    servers.write_text(f"{arrivals.address}\n")
    daemon.config["forward"] = {"primary_file": str(servers)}
    daemon.write_config()
    for path in (daemon.config_path, servers):
        path.chmod(0o666)
    said = [daemon.run("check").out, daemon.run("start").err, daemon.said()]

    for text in said:
        for path in (daemon.config_path, servers):
            assert (
                f"everybody can write to {path}, and so decide what fluentlite does. Run: chmod o-w" in text
            )


def outcome(run, *words):
    """How a command ends that runs in this process."""
    try:
        return run([*words])
    except FluentliteError as exc:
        return str(exc)


def test_commands_of_another_user(open_daemon, arrivals):
    """Another user, even the workers', gets the status; ``stop``, ``reload``, ``restart`` and ``start`` change nothing."""
    daemon = open_daemon
    daemon.start()
    before = daemon.processes()
    words = ("-c", str(daemon.config_path))
    assert outcome(run_status, "--json", *words) == 0  # ours first: it reads what another user could not
    assert as_stranger(lambda: outcome(run_status, "--json", *words)) == 0
    if IS_ROOT:  # without root there is no other user: whoever asks is the owner
        for run in (run_stop, run_reload, run_restart, run_start):
            said = as_stranger(lambda run=run: outcome(run, *words))
            assert said not in (0, None)
            assert "Traceback" not in str(said)
        for command in ("stop", "reload"):
            [problem] = as_stranger(lambda command=command: daemon.ask(command)["problems"])
            assert problem.startswith(f"{command}: user {WORKER.pw_uid} may only ask for the status.")
    assert daemon.processes() == before
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])


def test_what_the_workers_user_plants(open_daemon, arrivals):
    """
    Whatever the workers' user puts in place of lock and log while the daemon runs: the master, which is root, goes on, and
    writes to nothing that these lead to (P02, P18).
    """
    daemon = open_daemon
    own = daemon.directory / "own"
    own.mkdir()
    if IS_ROOT:
        os.chown(own, WORKER.pw_uid, -1)
    daemon.log_path = own / "fluentlite.log"
    daemon.config["master"]["log_file"] = str(daemon.log_path)
    daemon.write_config()
    victim = daemon.directory / "victim"
    victim.write_text("precious\n")
    daemon.start_watchful()
    master = daemon.master()
    for plant in (symbolic_link, hard_link, pipe):
        for path in (daemon.log_path, daemon.state_dir / "fluentlite.lock"):
            path.unlink()
            plant(path, victim)
        assert daemon.run("reload").status == 1  # a start would be refused, too
        begin = daemon.ask()["master"]["uptime"]
        daemon.eventually(
            lambda begin=begin: daemon.ask()["master"]["uptime"] > begin + 0.7
        )  # it has looked meanwhile
        assert victim.read_text() == "precious\n"
        assert daemon.master() == master
    for path in (daemon.log_path, daemon.state_dir / "fluentlite.lock"):
        path.unlink()
    daemon.eventually(lambda: daemon.run("reload").status == 0)
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])
    daemon.eventually(lambda: (daemon.state_dir / "fluentlite.lock").exists())


def test_names_with_control_characters(make_daemon, arrivals):
    """
    A directory whose name would clear the screen and forge an entry does so nowhere: not in the own log, the status, the
    titles that ``ps`` shows, nor in what commands say; and the log is followed as any other.
    """
    daemon = make_daemon("a")
    nasty = daemon.logs_dir / "x\n2026-01-01T00:00:00+0000 [ERROR] (1) forged\x1b[2J\x1b]0;t\x07\u202e"
    nasty.mkdir()
    path = nasty / "ö.log"
    path.write_text("one\n")
    missing = nasty / "missing.log"
    daemon.announce("forged")
    daemon.config["log"] = [{"tag": tag, "path": str(p)} for tag, p in {"a": path, "b": missing}.items()]
    daemon.write_config()
    said = [daemon.run("check"), daemon.run("start")]
    daemon.wait_for_workers()
    arrivals.wait_for_lines("a", ["one"])
    titles = [title(pid) for pid in daemon.processes()]
    said += [daemon.run(verb) for verb in ("status", "reload", "stop")]
    texts = [daemon.said(), *titles, *(text for result in said for text in (result.out, result.err))]

    assert [result.status for result in said] == [0] * 5, said
    assert all(ENTRY.match(line) for line in daemon.said().splitlines())
    assert all(line.isprintable() for text in texts for line in text.split("\n"))
    assert not [line for text in texts for line in text.split("\n") if line.startswith("2026-01-01")]
    assert "ö.log" in daemon.said(), "letters stay"
    assert any("ö.log" in text for text in titles)


def test_no_core_files(daemon):
    """Neither master nor workers leave a core file, in which their shared key would be; who needs one can lift the limit."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    for pid in daemon.processes():
        assert psutil.Process(pid).rlimit(psutil.RLIMIT_CORE) == (0, hard)


# -- a single agent ---------------------------------------------------------------------------------------


def agent(daemon, *flags):
    """What ``fluentlite agent`` says that should refuse to work."""
    words = [
        *daemon.command("agent")[:-2],
        "-F",
        *map(str, flags),
        "tag",
        str(daemon.path("a")),
        "127.0.0.1:1",
    ]
    return subprocess.run(words, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)


def another_users_file(path, victim):
    if IS_ROOT:
        path.touch()
        os.chown(path, MALLORY.pw_uid, -1)
    else:  # without root there is none
        hard_link(path, victim)


@pytest.mark.parametrize("plant", [symbolic_link, hard_link, pipe, another_users_file])
def test_the_agents_log_in_a_directory_of_all(make_daemon, plant):
    """Old flags have it in /tmp, where anybody can have put something at its path: that is refused, and not written to."""
    daemon = make_daemon("a")
    drop = daemon.directory / "drop"
    drop.mkdir()
    drop.chmod(0o1777)
    victim, path = daemon.directory / "victim", drop / "fluent-agent.log"
    victim.write_text("precious\n")
    plant(path, victim)
    size = path.stat().st_size
    result = agent(daemon, "-l", path, "--state-dir", daemon.state_dir)

    assert (result.returncode, victim.read_text()) == (1, "precious\n")
    assert f"{path}: our own log cannot be written (" in result.stderr
    assert path.stat().st_size == size


def test_the_agents_positions_where_everybody_can_write(make_daemon):
    """They are refused there: whoever changes a position decides what is sent, and what is not."""
    daemon = make_daemon("a")
    daemon.state_dir.mkdir()
    daemon.state_dir.chmod(0o777)
    result = agent(daemon, "-l", "-", "--state-dir", daemon.state_dir)

    assert result.returncode == 1
    assert f"state_dir {daemon.state_dir}: it {OPEN}" in result.stderr


def test_the_agents_positions_in_a_services_directory(make_daemon):
    """Root's agent may use the state_dir of a service whose workers are another user."""
    daemon = make_daemon("a")
    daemon.state_dir.mkdir(mode=0o750)
    if IS_ROOT:
        os.chown(daemon.state_dir, WORKER.pw_uid, -1)
    # A log that is none is looked at later, and ends it.
    result = agent(daemon, "-l", daemon.logs_dir, "--state-dir", daemon.state_dir)

    assert "state_dir" not in result.stderr
    assert f"{daemon.logs_dir}: our own log cannot be written" in result.stderr
