"""What a start leaves behind: a daemon that needs nobody, or the reason why there is none."""

import os
import re
import resource
import signal
import stat
import subprocess

import pytest
from daemon import FLUENTLITE
from following import numbered
from kernel import blocked_signals, open_files, process_state, terminal, title


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_start_stop(daemon, arrivals):
    """``start`` ends with 0 when every log has its worker; ``stop`` ends with 0 when everything is gone."""
    status = daemon.status()
    daemon.append("a", "one")
    daemon.append("b", "two")
    arrivals.wait_for_lines("a", ["one"])
    arrivals.wait_for_lines("b", ["two"])

    assert [row["tag"] for row in sorted(status["workers"], key=lambda row: row["tag"])] == ["a", "b"]
    assert len(daemon.processes()) == 3
    assert "stopped" in daemon.stop().out
    assert daemon.run("status").status == 3


def test_a_daemon_hangs_on_nothing(make_daemon, tmp_path):
    """
    Master and workers have a session of their own, no terminal, ``/`` as directory and the null device as 0 to 2; no
    descriptor of the starter is left in them (P19).
    """
    daemon = make_daemon("a")
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with open(tmp_path / "starters", "w") as other:
        daemon.start(pass_fds=(writer, other.fileno()), cwd=tmp_path)
    os.close(writer)

    assert os.read(reader, 1) == b""  # nobody has the other end
    os.close(reader)
    for pid in daemon.processes():
        opened = open_files(pid)
        assert [opened[fd] for fd in (0, 1, 2)] == ["/dev/null"] * 3, title(pid)
        assert str(tmp_path / "starters") not in opened.values()
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert terminal(pid) == 0
        assert os.getsid(pid) not in (os.getsid(0), pid)  # no leader of a session: it can acquire no terminal


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors(make_daemon, arrivals, closed):
    """Whatever of 0 to 2 is closed at the start, no log and no socket takes its place (P19)."""
    daemon = make_daemon("a")
    subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *daemon.command("start")], check=True, timeout=30)
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])

    for pid in daemon.processes():
        assert [open_files(pid)[fd] for fd in (0, 1, 2)] == ["/dev/null"] * 3, title(pid)


def test_titles(daemon):
    """``ps`` shows who is the master, of which configuration, and which worker follows what."""
    master, workers = daemon.master(), daemon.workers()

    assert title(master) == f"fluentlite: master {daemon.config_path}"
    assert title(workers["a"]) == f"fluentlite: worker a {daemon.path('a')}"


def test_a_missing_log(make_daemon, arrivals):
    """A log that does not exist is waited for; the others start, and ``start`` ends with 0 every time (C02)."""
    daemon = make_daemon("a", "missing")
    for _ in range(3):
        daemon.start()
        daemon.stop()
    daemon.start()
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])
    daemon.eventually(lambda: daemon.row("missing")["state"] == "waiting_for_file")
    assert str(daemon.path("missing")) in daemon.row("missing")["last_error"]

    daemon.announce(r"missing\.log")
    daemon.append("missing", "its first line")
    arrivals.wait_for_lines("missing", ["its first line"])


def test_comments_and_blank_lines(make_daemon, arrivals):
    """Blank lines and comments between the logs are neither logs nor the end of the list (C01)."""
    daemon = make_daemon("a", "b", "c")
    text = daemon.config_path.read_text()
    daemon.config_path.write_text(
        re.sub(r"(?m)^(\[\[log\]\])$", "\n\n# a comment\n\n\\1  # the next\n\n", text)
    )
    daemon.start()
    for name in ("a", "b", "c"):
        daemon.append(name, f"of {name}")
        arrivals.wait_for_lines(name, [f"of {name}"])

    assert len(daemon.workers()) == 3


def test_the_same_path_twice(make_daemon):
    """One path in two logs, or one file under two names, is refused and both are named (C03)."""
    daemon = make_daemon("a", "b")
    daemon.append("a", "one")
    os.link(daemon.path("a"), daemon.path("b"))
    result = daemon.run("start")

    assert (result.status, daemon.processes()) == (1, [])
    assert str(daemon.path("a")) in result.err
    assert str(daemon.path("b")) in result.err


def test_its_own_log_among_the_logs(make_daemon):
    """The agent's own log among the logs would feed itself: ``start`` refuses it (O01)."""
    daemon = make_daemon("a")
    daemon.config["log"][0]["path"] = str(daemon.log_path)
    daemon.write_config()
    result = daemon.run("start")

    assert (result.status, daemon.processes()) == (1, [])
    assert str(daemon.log_path) in result.err
    assert "log_file" in result.err


def test_no_configuration(make_daemon, tmp_path):
    """Without a configuration ``start`` ends with 6, as init scripts want it, and says where one comes from."""
    daemon = make_daemon("a")
    daemon.config_path.unlink()
    result = daemon.run("start")

    assert result.status == 6
    assert str(daemon.config_path) in result.err


def test_a_state_directory_that_cannot_be(make_daemon, arrivals):
    """A state directory that cannot be made is refused before any line is sent (C06)."""
    daemon = make_daemon("a")
    daemon.append("a", "one")
    daemon.state_dir.write_text("a file in its place")
    result = daemon.run("start")

    assert (result.status, daemon.processes(), arrivals.chunks) == (1, [], [])
    assert f"state_dir {daemon.state_dir}" in result.err
    assert "Traceback" not in result.err


def test_a_state_directory_that_is_closed(make_daemon, arrivals):
    """A state directory that the workers may not write to is refused before any line is sent (C06)."""
    # Root may write everywhere, but not the user that its workers run as.
    daemon = make_daemon("a", **({"user": "nobody"} if os.geteuid() == 0 else {}))
    daemon.state_dir.mkdir(mode=0o555)
    result = daemon.run("start")

    assert (result.status, daemon.processes(), arrivals.chunks) == (1, [], [])
    assert f"state_dir {daemon.state_dir}" in result.err
    assert "cannot write there" in result.err


def test_directories_are_made(make_daemon, arrivals):
    """Directories for state, run and log that do not exist yet are made (C06)."""
    daemon = make_daemon("a")
    deep = daemon.directory / "var" / "lib" / "fluentlite"
    daemon.config["master"] |= {"state_dir": str(deep / "state"), "log_file": str(deep / "log" / "own.log")}
    daemon.write_config()
    daemon.start()
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])

    assert len(list((deep / "state").glob("*.checkpoint"))) == 1
    assert "started" in (deep / "log" / "own.log").read_text()


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_umask(make_daemon, arrivals, umask):
    """Every file and directory has the mode that it needs, whatever the umask at the start (P21)."""
    daemon = make_daemon("a")
    daemon.start(umask=umask)
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])
    daemon.log_path.rename(daemon.directory / "fluentlite.log.1")
    daemon.run("reload")
    daemon.wait_until_said("read again")
    files = [*daemon.run_dir.iterdir(), *daemon.state_dir.iterdir()]

    assert (mode(daemon.run_dir), mode(daemon.state_dir)) == (0o755, 0o750)
    assert mode(daemon.log_path) == mode(daemon.directory / "fluentlite.log.1") == 0o640
    assert [mode(path) for path in files if path.suffix == ".checkpoint"] == [0o600]
    assert [mode(path) for path in files if path.suffix == ".sock"] == [0o666]
    assert [path.name for path in files if path.suffix != ".sock" and mode(path) & 0o022] == []


def test_relative_paths(make_daemon, arrivals, tmp_path):
    """Relative names on the command line and in the configuration mean the same after ``/`` is the directory (P22)."""
    daemon = make_daemon("a", "b")
    for key in ("state_dir", "run_dir", "log_file"):
        daemon.config["master"][key] = os.path.relpath(daemon.config["master"][key], daemon.directory)
    for log in daemon.config["log"]:
        log["path"] = os.path.relpath(log["path"], daemon.directory)
    del daemon.config["log"][1]
    daemon.write_config()
    (daemon.directory / "elsewhere").mkdir()
    start = [*FLUENTLITE, "start", "-c", "../fluentlite.toml"]
    done = subprocess.run(
        start, cwd=daemon.directory / "elsewhere", capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])

    daemon.config["log"].append({"tag": "b", "path": "logs/b.log"})
    daemon.write_config()
    assert daemon.run("reload").status == 0
    daemon.append("b", "two")
    arrivals.wait_for_lines("b", ["two"])
    assert daemon.status()["master"]["config"] == str(daemon.config_path)


def ignore_and_block_everything():
    """What careless parents leave to their children."""
    for signum in (signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def test_signals_that_the_parent_ignores(make_daemon, arrivals):
    """Signals that the parent ignores or has blocked are not ignored or blocked in master and workers (P05, P19)."""
    daemon = make_daemon("a", "b")
    daemon.announce("was killed by SIGKILL")
    daemon.start(preexec_fn=ignore_and_block_everything)
    master, workers = daemon.master(), daemon.wait_for_workers()
    assert {blocked_signals(pid) for pid in daemon.processes()} == {0}
    os.kill(workers["a"], signal.SIGKILL)
    daemon.eventually(lambda: process_state(workers["a"]) == "")  # reaped
    os.kill(master, signal.SIGHUP)
    daemon.wait_until_said("configuration read again")
    os.kill(master, signal.SIGTERM)

    daemon.eventually(lambda: not daemon.processes())


@pytest.mark.parametrize("out", ["/dev/full", "closed pipe"])
def test_nobody_can_be_told(make_daemon, arrivals, tmp_path, out):
    """When nothing can be said, ``start`` and ``stop`` still do what they are told, and their status is the truth (P19)."""
    daemon = make_daemon("a")
    with open(out, "wb") if out == "/dev/full" else broken_pipe() as stream:
        results = [
            daemon.run(verb, stdout=stream, stderr=stream).status
            for verb in ("start", "start", "stop", "stop")
        ]

    assert (results, daemon.processes()) == ([0, 0, 0, 0], [])


def broken_pipe():
    """The writing end of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return open(writer, "wb", buffering=0)


def test_a_directory_that_is_gone(make_daemon, arrivals, tmp_path):
    """Started in a directory that does not exist any more, it works; a relative name there is refused in a sentence (P22)."""
    daemon = make_daemon("a")
    gone = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    inside = ["sh", "-c", gone, "sh"]
    done = subprocess.run([*inside, *daemon.command("start")], cwd=tmp_path, timeout=30)
    assert done.returncode == 0
    relative = [*inside, *FLUENTLITE, "start", "-c", "x.toml"]
    done = subprocess.run(relative, cwd=tmp_path, capture_output=True, text=True, timeout=30)

    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def test_without_an_environment(make_daemon, arrivals):
    """It needs nothing from the environment; names that are not ASCII work under every locale (P19)."""
    daemon = make_daemon("a", "kaf\u00e9")
    for environ in ({}, {"LC_ALL": "C"}):
        daemon.start(env=environ)
        daemon.append("kaf\u00e9", "one")
        daemon.eventually(lambda environ=environ: len(arrivals.lines("kaf\u00e9")) == 1 + bool(environ))
        assert daemon.run("stop", env=environ).status == 0


def limit(which, value):
    """For a process to be: it, and all that come of it, have this limit."""
    return lambda: resource.setrlimit(which, (value, value))


def test_few_descriptors(make_daemon, arrivals):
    """With too few descriptors for all logs those that can be are followed, the others say which limit to raise."""
    names = [f"log{number:02}" for number in range(30)]
    daemon = make_daemon(*names)
    daemon.announce("raise the limits")
    daemon.start(preexec_fn=limit(resource.RLIMIT_NOFILE, 56))
    for name in names:
        daemon.append(name, "one")
    daemon.eventually(lambda: len(arrivals.counts()) >= 10)
    without = [row for row in daemon.ask()["workers"] if not row["pid"]]

    assert 0 < len(without) < 20
    assert all("raise the limits" in row["last_error"] for row in without)
    daemon.config["log"] = daemon.config["log"][-5:]
    daemon.write_config()
    assert daemon.run("reload").status == 0  # what others gave back is enough for these
    daemon.eventually(lambda: set(names[-5:]) <= set(arrivals.counts()), 30)


def test_little_memory(make_daemon, arrivals):
    """With too little memory to start, the reason is said in a sentence and nothing is left; with enough, it runs."""
    daemon = make_daemon("a")
    address_space = [1 << 20 << step for step in range(4, 9)]  # 16 MiB to 256 MiB
    results = [daemon.run("start", preexec_fn=limit(resource.RLIMIT_AS, size)) for size in address_space]
    daemon.append("a", "one")
    arrivals.wait_for_lines("a", ["one"])

    assert results[-1].status == 0
    for result in results:
        assert result.status == 0 or result.err.strip(), results


def test_a_start_that_is_interrupted(make_daemon, arrivals):
    """A starter that is killed while it waits takes nothing with it: the daemon becomes ready without it."""
    names = [f"log{number:02}" for number in range(30)]
    daemon = make_daemon(*names)
    starter = subprocess.Popen(daemon.command("start"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    daemon.eventually(lambda: (daemon.run_dir / "fluentlite.sock").exists())
    starter.kill()
    starter.wait()
    daemon.wait_for_workers()

    assert all(process_state(pid) != "Z" for pid in daemon.processes())
    daemon.append("log07", *numbered(1, 3))
    arrivals.wait_for_lines("log07", numbered(1, 3))
