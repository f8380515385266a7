"""What ``install`` puts below a prefix, what ``uninstall`` takes away, and what neither ever touches."""

import fcntl
import json
import os
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from fluentlite.install import open_to_others

PROGRAM = Path(sysconfig.get_path("scripts")) / "fluentlite"

CONFIG = "etc/fluentlite/fluentlite.toml"
RECORD = "etc/fluentlite/installed.json"
UNIT = "etc/systemd/system/fluentlite.service"
SCRIPT = "etc/init.d/fluentlite"
LOGROTATE = "etc/logrotate.d/fluentlite"
FOR_ALL = {CONFIG, RECORD, LOGROTATE, "etc/default/fluentlite"}
FOR_SYSTEMD = FOR_ALL | {UNIT, "etc/tmpfiles.d/fluentlite.conf", "etc/sysusers.d/fluentlite.conf"}
FOR_SYSV = FOR_ALL | {SCRIPT}


def run(*words, program=(sys.executable, "-m", "fluentlite"), **how):
    """Run a command; returns (exit status, standard output, standard error)."""
    done = subprocess.run([*program, *map(str, words)], capture_output=True, text=True, timeout=60, **how)
    return done.returncode, done.stdout, done.stderr


def done(*words, **how):
    """Run a command that has to succeed; returns what it said."""
    status, out, err = run(*words, **how)
    assert (status, err) == (0, "")
    return out


def files(prefix):
    """Path to content of every file below *prefix*."""
    return {
        str(path.relative_to(prefix)): path.read_bytes() for path in prefix.rglob("*") if not path.is_dir()
    }


def states(prefix):
    """What would tell that a file or directory was touched."""
    return {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in prefix.rglob("*")}


@pytest.fixture
def prefix(tmp_path):
    return tmp_path / "root"


@pytest.fixture
def programs(tmp_path):
    """Two names of the program, as two versions in two places would have."""
    names = [tmp_path / version / "bin" / "fluentlite" for version in ("one", "two")]
    for name in names:
        name.parent.mkdir(parents=True)
        name.symlink_to(PROGRAM)
    return names


@pytest.mark.parametrize(("kind", "expected"), [("systemd", FOR_SYSTEMD), ("sysv", FOR_SYSV)])
def test_it_puts_its_files_below_the_prefix(prefix, tmp_path, kind, expected):
    """Everything for the init system asked for lies below the prefix, readable by all, whatever the umask (P21)."""
    done("install", f"--{kind}", "--prefix", prefix, umask=0o077)

    assert files(prefix).keys() == expected
    modes = {path: stat.S_IMODE((prefix / path).stat().st_mode) for path in expected}
    assert modes == dict.fromkeys(expected, 0o644) | ({SCRIPT: 0o755} if kind == "sysv" else {})
    directories = [path for path in prefix.rglob("*") if path.is_dir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in directories} == {0o755}
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_the_service_runs_the_program_that_installed_it(prefix, programs):
    """Unit and script name the program by the path it was called by, of a virtual environment or wherever it is."""
    for kind, path in (("systemd", UNIT), ("sysv", SCRIPT)):
        done("install", f"--{kind}", "--prefix", prefix, program=[programs[0]])
        text = (prefix / path).read_text()

        assert str(programs[0]) in text
        assert "/usr/bin/fluentlite" not in text


def test_a_program_below_the_prefix_is_named_as_the_system_will_see_it(tmp_path, programs):
    """A packager's DESTDIR is no part of any path."""
    done("install", "--systemd", "--prefix", tmp_path, program=[programs[0]])

    assert "ExecStart=/one/bin/fluentlite start" in (tmp_path / UNIT).read_text()


def test_without_a_choice_it_is_for_the_init_system_that_runs(prefix):
    """systemd where it has booted the machine, else SysV; it says which."""
    out = done("install", "--prefix", prefix)
    is_systemd = os.path.isdir("/run/systemd/system")

    assert out.startswith("systemd" if is_systemd else "sysv")
    assert files(prefix).keys() == (FOR_SYSTEMD if is_systemd else FOR_SYSV)


def test_a_second_time_changes_nothing(prefix):
    """Installing what is installed touches no file, not even its times."""
    done("install", "--systemd", "--prefix", prefix)
    before = states(prefix)
    out = done("install", "--systemd", "--prefix", prefix)

    assert states(prefix) == before
    assert out.count("unchanged ") == len(FOR_SYSTEMD) - 1


def test_a_changed_configuration_stays(prefix):
    """What the administrator wrote is never overwritten: the new file goes beside it, and that is said."""
    done("install", "--systemd", "--prefix", prefix)
    (prefix / CONFIG).write_text("# mine\n")
    (prefix / UNIT).write_text("# mine too\n")
    out = done("install", "--systemd", "--prefix", prefix)

    assert (prefix / CONFIG).read_text() == "# mine\n"
    assert (prefix / UNIT).read_text() == "# mine too\n"
    assert "[[log]]" in (prefix / f"{CONFIG}.new").read_text()
    assert f"/{CONFIG}: you have changed it; ours is in /{CONFIG}.new" in out
    assert (prefix / f"{UNIT}.new").is_file()


def test_a_configuration_of_somebody_else_stays(prefix):
    """So does a file that was there before the first installation, and uninstall leaves it too."""
    (prefix / LOGROTATE).parent.mkdir(parents=True)
    (prefix / LOGROTATE).write_text("# the package's\n")
    out = done("install", "--sysv", "--prefix", prefix)
    done("uninstall", "--prefix", prefix)

    assert f"/{LOGROTATE}: it is not from us" in out
    assert (prefix / LOGROTATE).read_text() == "# the package's\n"
    assert files(prefix).keys() == {LOGROTATE, CONFIG}


def test_what_lies_beside_is_not_read_by_anybody(prefix):
    """logrotate reads every file of its directory but for certain endings; nothing that lies beside can be run."""
    for path in (LOGROTATE, SCRIPT):
        (prefix / path).parent.mkdir(parents=True)
        (prefix / path).write_text("# mine\n")
    done("install", "--sysv", "--prefix", prefix)

    assert (prefix / f"{LOGROTATE}.new.disabled").is_file()
    assert not (prefix / f"{LOGROTATE}.new").exists()
    assert stat.S_IMODE((prefix / f"{SCRIPT}.new").stat().st_mode) == 0o644


def test_a_link_is_somebody_s_way_to_manage_the_file(prefix, tmp_path):
    """A symbolic link is neither followed nor replaced."""
    managed = tmp_path / "managed.toml"
    managed.write_text("# managed\n")
    (prefix / CONFIG).parent.mkdir(parents=True)
    (prefix / CONFIG).symlink_to(managed)
    done("install", "--sysv", "--prefix", prefix)

    assert (prefix / CONFIG).readlink() == managed
    assert managed.read_text() == "# managed\n"
    assert (prefix / f"{CONFIG}.new").is_file()


def test_an_upgrade_replaces_what_nobody_changed(prefix, programs):
    """A file that is as it was put there gets its new content, and keeps the mode it was given since."""
    done("install", "--systemd", "--prefix", prefix, program=[programs[0]])
    (prefix / UNIT).chmod(0o600)
    out = done("install", "--systemd", "--prefix", prefix, program=[programs[1]])

    assert str(programs[1]) in (prefix / UNIT).read_text()
    assert stat.S_IMODE((prefix / UNIT).stat().st_mode) == 0o600
    assert f"updated      /{UNIT}" in out
    assert "systemctl daemon-reload && systemctl restart fluentlite" in out
    assert files(prefix).keys() == FOR_SYSTEMD


def test_what_lay_beside_leaves_when_it_is_needed_no_more(prefix):
    """Whoever takes the new file over finds nothing beside it after the next installation."""
    done("install", "--systemd", "--prefix", prefix)
    (prefix / CONFIG).write_text("# mine\n")
    done("install", "--systemd", "--prefix", prefix)
    (prefix / f"{CONFIG}.new").replace(prefix / CONFIG)
    done("install", "--systemd", "--prefix", prefix)

    assert files(prefix).keys() == FOR_SYSTEMD


def test_uninstall_leaves_configuration_positions_and_what_was_changed(prefix):
    """Just what was put there goes; the rest is named, with the command that removes it."""
    done("install", "--systemd", "--prefix", prefix)
    (prefix / "etc/default/fluentlite").write_text("FLUENTLITE_CONFIG=/etc/mine.toml\n")
    position = prefix / "var/lib/fluentlite/position"
    position.parent.mkdir(parents=True)
    position.write_text("here\n")
    own = prefix / "etc/fluentlite/conf.d"
    own.mkdir()
    out = done("uninstall", "--prefix", prefix)

    assert files(prefix).keys() == {CONFIG, "etc/default/fluentlite", "var/lib/fluentlite/position"}
    assert own.is_dir()
    assert not (prefix / "etc/systemd").exists(), "it was made for the unit"
    assert "/etc/default/fluentlite: you have changed it" in out
    assert f"rm -r {prefix}/etc/fluentlite {prefix}/var/lib/fluentlite" in out


def test_uninstall_leaves_directories_that_were_there(prefix):
    """Directories that install did not make stay, empty or not."""
    (prefix / "etc/systemd/system").mkdir(parents=True)
    done("install", "--systemd", "--prefix", prefix)
    done("uninstall", "--prefix", prefix)

    assert (prefix / "etc/systemd/system").is_dir()
    assert not (prefix / "etc/logrotate.d").exists()


def test_uninstall_of_nothing(prefix):
    """Where nothing was installed, or twice, is said, and is no error."""
    assert "was not installed" in done("uninstall", "--prefix", prefix)
    done("install", "--sysv", "--prefix", prefix)
    done("uninstall", "--prefix", prefix)
    assert "was not installed" in done("uninstall", "--prefix", prefix)


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_a_dry_run_only_talks(prefix, command):
    """It says what would be done, and does nothing."""
    if command == "uninstall":
        done("install", "--prefix", prefix)
    before = states(prefix)
    out = done(command, "--prefix", prefix, "--dry-run")

    assert states(prefix) == before
    assert ("would create" if command == "install" else "would remove") in out


def test_the_other_init_system_s_file_leaves(prefix):
    """Whoever changes the init system has one service, not two."""
    done("install", "--sysv", "--prefix", prefix)
    done("install", "--systemd", "--prefix", prefix)

    assert files(prefix).keys() == FOR_SYSTEMD


@pytest.mark.parametrize(
    ("kind", "link", "remedy"),
    [
        (
            "systemd",
            "etc/systemd/system/multi-user.target.wants/fluentlite.service",
            "systemctl disable --now",
        ),
        ("sysv", "etc/rc3.d/S01fluentlite", "remove"),
    ],
)
def test_what_starts_at_boot_is_not_taken_away(prefix, kind, link, remedy):
    """A unit that is enabled, or a script with links to it, stays until that has been undone; how is said."""
    done("install", f"--{kind}", "--prefix", prefix)
    (prefix / link).parent.mkdir(parents=True)
    (prefix / link).symlink_to(f"/{UNIT}")
    before = states(prefix)
    status, out, err = run("uninstall", "--prefix", prefix)

    assert (status, out) == (1, "")
    assert "Run first: " in err
    assert remedy in err
    assert states(prefix) == before


def test_what_runs_is_not_taken_away(prefix):
    """While a master runs there, its files stay, and the command that ends it is said."""
    done("install", "--sysv", "--prefix", prefix)
    pid_file = prefix / "run/fluentlite/fluentlite.pid"
    pid_file.parent.mkdir(parents=True)
    with pid_file.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"{os.getpid()}\n")
        file.flush()
        status, _out, err = run("uninstall", "--prefix", prefix)

    assert status == 1
    assert f"running, process {os.getpid()}. Run first: fluentlite stop" in err
    assert (prefix / SCRIPT).exists()
    done("uninstall", "--prefix", prefix)
    assert not (prefix / SCRIPT).exists()


def test_everything_that_is_wrong_is_said_before_anything_is_done(prefix):
    """A damaged record and directories that are none: all told in one go, and nothing is written."""
    done("install", "--sysv", "--prefix", prefix)
    (prefix / RECORD).write_text("{")
    for name in ("systemd", "tmpfiles.d"):
        (prefix / "etc" / name).write_text("a file\n")
    before = states(prefix)
    status, out, err = run("install", "--systemd", "--prefix", prefix)

    assert (status, out) == (1, "")
    assert "installed.json" in err
    assert "is damaged. Remove it and install again" in err
    assert f"{prefix}/etc/systemd, {prefix}/etc/tmpfiles.d: not a directory. Move it away." in err
    assert "Traceback" not in err
    assert states(prefix) == before


def test_a_record_of_a_later_version_is_left_to_it(prefix):
    """After a downgrade nothing is guessed."""
    done("install", "--sysv", "--prefix", prefix)
    record = json.loads((prefix / RECORD).read_text())
    (prefix / RECORD).write_text(json.dumps(record | {"version": 2}))
    status, _out, err = run("uninstall", "--prefix", prefix)

    assert status == 1
    assert "later version" in err
    assert files(prefix).keys() == FOR_SYSV


def test_whoever_may_not_write_there_is_told_so(tmp_path):
    """Without the rights: every directory in one sentence, with the remedy, and nothing is done."""
    prefix = tmp_path / "root"
    prefix.mkdir(mode=0o555)
    status, out, err = run("install", "--sysv", "--prefix", prefix, **somebody())

    assert (status, out) == (1, "")
    assert "cannot write there. Run this as root, or with --prefix DIR." in err
    assert len(err.splitlines()) == 1
    assert list(prefix.iterdir()) == []


def somebody():
    """How to run a process as nobody in particular, who may nevertheless read what root's Python needs."""
    if os.geteuid() != 0:
        return {}
    return {"preexec_fn": drop_power_to_write}


def drop_power_to_write():
    """Be root in name only, as in a container without capabilities: who owns nothing that is written to."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    cap_dac_override, pr_capbset_drop = 1, 24
    assert libc.prctl(pr_capbset_drop, cap_dac_override, 0, 0, 0) == 0  # what is executed next has it no more


def test_a_step_that_fails_is_named_and_the_next_attempt_goes_on(prefix):
    """What could not be put in place is named; after the remedy the same command completes the rest."""
    (prefix / UNIT).mkdir(parents=True)
    (prefix / f"{UNIT}.new").mkdir()
    status, _out, err = run("install", "--systemd", "--prefix", prefix)

    assert status == 1
    assert f"{UNIT}" in err
    assert "Mend that and run the command again" in err
    (prefix / UNIT).rmdir()
    (prefix / f"{UNIT}.new").rmdir()
    done("install", "--systemd", "--prefix", prefix)
    assert files(prefix).keys() == FOR_SYSTEMD


def test_a_program_that_would_need_quotes_is_refused(prefix, tmp_path):
    """Neither a shell nor systemd gets a path to read something into."""
    name = tmp_path / "my $(programs)" / "fluentlite"
    name.parent.mkdir()
    name.symlink_to(PROGRAM)
    status, _out, err = run("install", "--sysv", "--prefix", prefix, program=[name])

    assert status == 1
    assert "would have to be quoted" in err
    assert not prefix.exists()


def test_without_a_program_there_is_no_service(prefix, tmp_path):
    """Run from sources that were never installed, it says so."""
    code = (
        "import sysconfig, sys; sysconfig.get_path = lambda name: sys.argv[3]\n"
        "from fluentlite.cli import main; sys.exit(main(['install', '--prefix', sys.argv[2]]))"
    )
    status, _out, err = run(
        "--prefix", prefix, tmp_path, program=[sys.executable, "-c", code], cwd=Path(__file__).parents[2]
    )

    assert status == 1
    assert f"there is no program {tmp_path}/fluentlite" in err
    assert not prefix.exists()


def test_a_program_that_others_can_change_is_seen(tmp_path):
    """What root runs at boot must be root's, with every directory on the way; a sticky one like /tmp is."""
    name = tmp_path / "opt" / "fluentlite"
    name.parent.mkdir(mode=0o755)
    name.touch(mode=0o755)
    link = tmp_path / "link"
    link.symlink_to(name)
    assert open_to_others(str(link)) == (None if os.geteuid() == 0 else str(name))
    name.parent.chmod(0o777)
    assert open_to_others(str(link)) == str(name.parent if os.geteuid() == 0 else name)
    name.parent.chmod(0o755)
    name.chmod(0o775)
    assert open_to_others(str(link)) == str(name)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("install", "--sysv", "--systemd"), "not allowed with"),
        (("install", "here"), "unrecognized arguments: here"),
        (("uninstall", "--sysv"), "unrecognized arguments: --sysv"),
        (("install", "--prefix"), "expected one argument"),
    ],
)
def test_misuse(words, expected):
    """Words that are not understood: a sentence, and nothing is done."""
    status, out, err = run(*words)

    assert (status, out) == (1, "")
    assert expected in err
    assert "--help" in err


def test_its_help_says_what_stays():
    """Whoever asks before is told that nothing of theirs is touched."""
    assert "stays as it is" in done("install", "--help")
    assert "have changed stay" in done("uninstall", "--help")


def test_the_next_steps_lead_to_a_running_service(prefix):
    """After the first installation: what to edit, how to try it, how to start it, how to look at it."""
    for kind, start in (("systemd", "systemctl enable --now"), ("sysv", "/etc/init.d/fluentlite start")):
        out = done("install", f"--{kind}", "--prefix", prefix)
        steps = out[out.index("Next:") :]

        wanted = (f"/{CONFIG}", f"{PROGRAM} check", start, f"{PROGRAM} status", 'user = "fluentlite"')
        positions = [steps.index(text) for text in wanted]
        assert positions == sorted(positions)
