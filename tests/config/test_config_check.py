"""``fluentlite check``: what it looks at, what it prints, how it ends."""

import io
import os
import pwd
import tempfile
import tomllib

import pytest

from fluentlite.config.check import render, run_check
from fluentlite.config.look import Finding, look, resolve_names
from fluentlite.config.toml import read


@pytest.fixture
def places(tmp_path):
    """A [master] table whose directories can all be made."""
    return f'[master]\nstate_dir = "{tmp_path}/state"\nrun_dir = "{tmp_path}/run"\nlog_file = "{tmp_path}/own/own.log"\n'


@pytest.fixture
def check(write, places):
    """Run the command on a configuration and return its status, standard output and standard error."""

    def check(text, master=""):
        out, err = io.StringIO(), io.StringIO()
        path = write("main.toml", places + master + text)
        os.chmod(path, 0o600)
        return run_check(path, {}, out, err), out.getvalue(), err.getvalue()

    return check


@pytest.fixture
def findings(write, places):
    """Look at what a configuration needs and return (level, text) of all findings but the good ones."""

    def findings(text, master="", mode=0o600):
        path = write("main.toml", places + master + text)
        os.chmod(path, mode)
        found = look(read(path, {}), lambda _hosts: {})
        return [(finding.level, finding.text) for finding in found if finding.level != "ok"]

    return findings


@pytest.fixture
def log(write):
    """One log that is there, and a server."""
    path = write("app.log", "12345\n")
    return f'[forward]\nprimary = ["127.0.0.1"]\n[[log]]\ntag = "app"\npath = "{path}"\n'


def test_a_good_configuration_is_shown_and_ends_with_0(check, log, tmp_path):
    """Everything that would be done is said, and nothing complained about."""
    status, out, err = check(
        log + 'forward.secondary = ["127.0.0.1:5", "::1"]\nforward.format = "json"\nread_from_head = true\n'
        'ping = {tag = "ping", data = "d"}\ndrain_log.tag = "drain"\n'
    )

    assert (status, err) == (0, "")
    for words in (
        f"{tmp_path}/main.toml",
        f"state_dir {tmp_path}/state does not exist and can be created",
        "127.0.0.1 has an address",
        f"[[log]] app {tmp_path}/app.log",
        "begins at its first line",
        "sends to 127.0.0.1:24224",
        "if that fails, to one of 127.0.0.1:5, [::1]:24224",
        "as json, with acks, over plain TCP",
        "pings every 60 s with the tag ping",
        "with the tag drain",
        "the file is readable and has 6 bytes",
        "1 log, 0 errors, 0 warnings.",
    ):
        assert words in out


def test_an_invalid_configuration_is_told_on_stderr_and_ends_with_1(check):
    """All problems, one per line, and nothing on standard output."""
    status, out, err = check('[[log]]\ntag = "a"\n')

    assert (status, out) == (1, "")
    assert len(err.splitlines()) == 2
    assert "path is missing" in err
    assert "primary is missing" in err


def test_a_missing_configuration_ends_with_1(tmp_path):
    """As an invalid one."""
    err = io.StringIO()

    assert run_check(str(tmp_path / "gone.toml"), {}, io.StringIO(), err) == 1
    assert "there is no configuration file" in err.getvalue()


def test_a_log_that_is_not_there_yet_is_only_a_warning(check, log):
    """fluentlite would wait for it (C02, T36)."""
    status, out, _ = check(log.replace("app.log", "later/app.log"))

    assert status == 0
    assert "WARNING: the file does not exist; fluentlite waits for it" in out
    assert "0 errors, 1 warning." in out


def test_a_server_without_address_is_an_error(check, log):
    """The real resolver is asked, and its reason told (S17)."""
    # An address with a zone that does not exist fails without any question to the network.
    status, out, _ = check(log + 'forward.secondary = ["fe80::1%nowhere"]\n')

    assert status == 1
    assert "ERROR: fe80::1%nowhere has no address (" in out
    assert "ok: 127.0.0.1 has an address" in out


def test_a_resolver_that_hangs_does_not_hang_the_command():
    """Names without an answer in time are reported as such (S17)."""
    assert resolve_names(["127.0.0.1"], patience=0.0) in ({}, {"127.0.0.1": "no answer within 0 s"})
    assert resolve_names([]) == {}


def test_another_reader_can_be_given(write, log, places):
    """The report is the same for configurations of another kind."""
    path = write("main.toml", places + log)
    out = io.StringIO()

    assert run_check("old.conf", {}, out, out, read=lambda _name, environ: read(path, environ)) == 0
    assert path in out.getvalue()


@pytest.mark.parametrize("what", ["directory", "fifo"])
def test_a_log_that_is_no_file_is_an_error(findings, tmp_path, log, what):
    """Directories and pipes cannot be followed, and looking does not block (T37)."""
    (tmp_path / "app.log").unlink()
    (os.mkdir if what == "directory" else os.mkfifo)(tmp_path / "app.log")

    assert findings(log) == [("error", "it is not a regular file. Name a log file.")]


def test_a_path_through_a_file_is_an_error(findings, log):
    """The system's reason is told."""
    [(level, text)] = findings(log.replace("app.log", "app.log/x"))

    assert level == "error"
    assert "cannot look at it (Not a directory)" in text


@pytest.mark.parametrize("name", ["state_dir", "run_dir", "log_file's directory"])
def test_a_file_in_the_place_of_a_directory_is_an_error(findings, write, tmp_path, log, name):
    """State, run and log directory have to be directories (C06)."""
    write({"state_dir": "state", "run_dir": "run"}.get(name, "own"), "")
    [(level, text)] = findings(log)

    assert level == "error"
    assert text.startswith(f"{name} {tmp_path}/")
    assert "is not a directory" in text


def test_a_log_file_that_is_a_directory_is_an_error(findings, tmp_path, log):
    """The agent's own log has to be a file."""
    (tmp_path / "own" / "own.log").mkdir(parents=True)
    [(level, text)] = findings(log)

    assert (level, "is a directory" in text) == ("error", True)


def test_a_user_that_does_not_exist_is_an_error(findings, log):
    """Workers cannot run as nobody knows whom."""
    [(level, text)] = findings(log, 'user = "no-such-user"\n')

    assert level == "error"
    assert "user no-such-user does not exist. Create it" in text


def test_the_caller_itself_may_be_the_user(findings, log):
    """Whoever names itself needs no other rights."""
    assert findings(log, f'user = "{pwd.getpwuid(os.geteuid()).pw_name}"\n') == []


def test_a_state_dir_that_is_missing_is_made_for_the_user(findings, log):
    """Root makes what is missing and gives it to the workers' user: nothing is wrong with that (C06)."""
    other = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name

    assert not [text for level, text in findings(log, f'user = "{other}"\n') if "state_dir" in text]


def test_rights_are_those_of_the_configured_user(findings, log, places):
    """Root looks with the rights of the workers' user; anybody else is told to let root look (C06, T35)."""
    state = tomllib.loads(places)["master"]["state_dir"]
    os.mkdir(state, 0o700)
    with tempfile.TemporaryDirectory() as closed:
        text = (
            log + f'[[log]]\ntag = "b"\npath = "{closed}/b.log"\nforward.tls = {{ca_file = "{closed}/ca"}}\n'
        )
        before = os.geteuid(), os.getegid(), os.getgroups()
        other = "nobody" if os.geteuid() == 0 else "root"
        found = findings(text, f'user = "{other}"\n')

    assert (os.geteuid(), os.getegid(), os.getgroups()) == before
    if os.geteuid() == 0:
        texts = [text for level, text in found if level == "error"]
        assert any(f"state_dir {state} " in text and "nobody" in text for text in texts), "it is the caller's"
        assert any("nobody cannot look at it (Permission denied)" in text for text in texts)
        who = pwd.getpwnam("nobody").pw_uid
        assert any(f"{closed}/ca cannot be read by user {who} (Permission denied)" in text for text in texts)
    else:
        assert found[0][0] == "warning"
        assert "Run this command as root" in found[0][1]


def test_files_closed_to_the_user_are_errors():
    """An unreadable log, an unlistable directory, a state directory of somebody else (C06, T35)."""
    with tempfile.TemporaryDirectory() as base:
        os.chmod(base, 0o755)
        for name, mode in (("state", 0o555), ("logs", 0o711 if os.geteuid() == 0 else 0o311)):
            os.mkdir(f"{base}/{name}", mode)
            os.chmod(f"{base}/{name}", mode)
        with open(f"{base}/logs/a.log", "w", encoding="ascii"):
            os.chmod(f"{base}/logs/a.log", 0o000)
        with open(f"{base}/main.toml", "w", encoding="ascii") as file:
            user = 'user = "nobody"' if os.geteuid() == 0 else ""
            file.write(
                f'[master]\n{user}\nstate_dir = "state"\nrun_dir = "."\nlog_file = "own"\n[forward]\nprimary = ["a"]\n'
                '[[log]]\ntag = "a"\npath = "logs/a.log"\n'
            )
        found = [
            (finding.level, finding.text)
            for finding in look(read(f"{base}/main.toml", {}), lambda _hosts: {})
            if finding.level != "ok"
        ]
        os.chmod(f"{base}/logs", 0o700)  # so that it can be removed

    assert [level for level, _ in found] == ["error", "error", "warning"]
    assert "state cannot be written by" in found[0][1]
    assert "cannot read it" in found[1][1]
    assert "cannot list" in found[2][1]


def test_no_place_for_dead_letters(findings, log, tmp_path):
    """A record that is refused has to go somewhere; where that cannot be, it is known before (S36)."""
    os.makedirs(tmp_path / "state")
    (tmp_path / "state" / "dead-letters").touch()
    [(level, text)] = findings(log)
    assert level == "error"
    assert text.startswith(f"{tmp_path}/state/dead-letters cannot be written by ")

    os.unlink(tmp_path / "state" / "dead-letters")
    os.mkdir(tmp_path / "state" / "dead-letters")
    assert findings(log) == []


def test_a_secret_that_everybody_can_read_is_a_warning(findings, log, tmp_path):
    """The file that holds it is named, and the secret is not."""
    [(level, text)] = findings(log + 'forward.security.shared_key = "s3same"\n', mode=0o644)

    assert level == "warning"
    assert (
        text
        == f"{tmp_path}/main.toml holds a secret and everybody can read it. Run: chmod o-rwx {tmp_path}/main.toml"
    )


def test_a_secret_in_a_closed_file_or_in_the_environment_is_no_warning(findings, log):
    """Neither 0600 nor ${NAME} shows the secret to anybody."""
    assert findings(log + 'forward.security.shared_key = "s3same"\n') == []
    assert findings(log + 'forward.security.shared_key = "${HOSTNAME}"\n', mode=0o644) == []


def test_what_can_lose_lines_or_memory_is_a_warning(findings, log):
    """No acks, and chunks in flight beyond what is modest."""
    more = "forward.require_ack_response = false\nforward.max_in_flight = 100\nread_buffer_size = 10485760\n"
    found = findings(log + more)

    assert [level for level, _ in found] == ["warning", "warning"]
    assert "1000 MiB" in found[0][1]
    assert "without acks" in found[1][1]


def test_the_report_is_made_of_its_arguments_only(write, log):
    """Findings stand with their subject, errors and warnings are marked and counted."""
    reading = read(write("main.toml", log), {})
    report = render(
        reading,
        [
            Finding("error", f"[[log]] app {reading.settings.logs[0].path}", "e\x1b"),
            Finding("warning", "files", "w"),
            Finding("warning", "servers", "x"),
        ],
    )

    assert "  WARNING: w\n\n[master]" in report
    assert "  ERROR: e\\x1b\n\n1 log, 1 error, 2 warnings.\n" in report
