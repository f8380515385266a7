"""docs/OPERATIONS.md holds all that an operator can meet: commands, statuses, keys, states, signals, messages."""

import ast
import dataclasses
import re
from collections import Counter
from pathlib import Path

import pytest
from failures_document import TESTS

import fluentlite
from fluentlite import cli, logfile, report, service, status_answer
from fluentlite.config import shell
from fluentlite.config.model import MasterSettings
from fluentlite.core import hang, restart, retry, trial, wellness
from fluentlite.master import control, directories, main, member, reader, watch
from fluentlite.scoreboard import STATES
from fluentlite.signals import WORKER_SIGNALS
from fluentlite.worker import main as worker
from fluentlite.worker import score

PACKAGE = Path(fluentlite.__file__).parent
PAGE = (PACKAGE.parent / "docs/OPERATIONS.md").read_text()
SECTIONS = dict(re.findall(r"^##+ (.+?)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))

SPEAKERS = [
    *sorted((PACKAGE / "master").glob("*.py")),
    *sorted((PACKAGE / "worker").glob("*.py")),
    *sorted((PACKAGE / "tls").glob("*.py")),
    *(
        PACKAGE / name
        for name in (
            "core/hang.py",
            "core/letter.py",
            "daemon.py",
            "service.py",
            "stopping.py",
            "control_client.py",
            "letter_file.py",
            "replay.py",
        )
    ),
]
"""Modules that speak to the operator."""

SAYING = {"warning", "error", "exception", "raise_", "failed", "kill", "replace_failing", "Judgement"}
"""Calls whose texts reach our own log or whoever typed a command; the errors that are raised, too."""

RUN = 4
"""Words in a row by which a message is recognised."""


def runs(text):
    """Every row of RUN words in *text*, and a shorter text as a whole."""
    words = re.findall(r"[\w./=-]*\w", text.lower())
    return {tuple(words[i : i + RUN]) for i in range(max(1, len(words) - RUN + 1))} if words else set()


def pieces(node):
    """What a literal has between that which is put into it."""
    if isinstance(node, ast.JoinedStr):
        return [part.value for part in node.values if isinstance(part, ast.Constant)]
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return re.split(r"%(?:\.\d)?[sdgr]", node.value) if is_text else []


def texts_of(argument, tree):
    """The texts of an argument; of a name or an attribute, those that are assigned to it anywhere in *tree*."""
    if isinstance(argument, ast.Name | ast.Attribute):
        target = ast.unparse(argument)
        values = [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and target in map(ast.unparse, node.targets)
        ]
    else:
        values = [argument]
    return [pieces(value) for value in values]


def messages(tree):
    """The texts of *tree* that say something, each as its pieces; too short ones say nothing of their own."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or isinstance(node.func, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in SAYING or name.endswith("Error"):
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                for found in texts_of(argument, tree):
                    if any(len(run) >= RUN for piece in found for run in runs(piece)):
                        yield found


ALL = [(path, found) for path in SPEAKERS for found in messages(ast.parse(path.read_bytes()))]
HOLDERS = Counter(
    run for found in {tuple(found) for _, found in ALL} for run in set().union(*map(runs, found))
)
ON_PAGE = set().union(*map(runs, re.split(r"\n|\.\.\.|`", PAGE)))


@pytest.mark.parametrize(("path", "found"), [pytest.param(path, found, id=f"{path.stem}: {max(found, key=len)[:50]}") for path, found in ALL])  # fmt: skip
def test_every_message_has_a_line(path, found):
    """Four words of each message in a row, and if possible in no other message, stand on the page."""
    own = {run for piece in found for run in runs(piece) if len(run) == RUN}
    distinctive = {run for run in own if HOLDERS[run] == 1} or own

    assert distinctive & ON_PAGE, f"{path.name}: docs/OPERATIONS.md has no line about {' ... '.join(found)!r}"


def test_messages_are_found():
    """The texts are there: a test that looks at nothing holds nothing."""
    texts = "\n".join(" ... ".join(found) for _, found in ALL)

    assert len(ALL) > 60
    assert "the checkpoint was removed while in use" in texts, "an argument of log.warning"
    assert "lines wait in the log until" in texts, "a part of an f-string"
    assert "raise the limits of processes" in texts, "a text in an attribute"
    assert "no sign of life" not in texts or "the kernel holds it" in texts, "a keyword"
    assert "everything is delivered" not in texts, "news are no faults"


@pytest.mark.parametrize("name", sorted(cli.COMMANDS.keys() - {"--version"}))
def test_every_command_is_there(name):
    """Whoever knows a command's name finds what it does and how it ends."""
    assert f"`fluentlite {name}" in SECTIONS["Commands"]


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (cli.NOT_CONFIGURED, "6 no configuration"),
        (service.NOT_RUNNING, "7 not running"),
        (status_answer.RUNNING, "0 running"),
        (status_answer.DEAD, "1 dead but its pid file is there"),
        (status_answer.NOT_WELL, "2 a log is not well"),
        (status_answer.NOT_RUNNING, "3 not running"),
        (status_answer.UNKNOWN, "4 unknown"),
    ],
)
def test_exit_statuses(status, text):
    """A status means on the page what it means in the program."""
    assert text.startswith(f"{status} ")
    assert text in SECTIONS["Commands"]


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_there(state):
    """Each state has a row."""
    assert f"| `{state}`" in SECTIONS["States"]


@pytest.mark.parametrize("field", dataclasses.fields(MasterSettings), ids=lambda field: field.name)
def test_every_key_of_the_master_is_there(field):
    """Each key of [master] is named."""
    assert f"`{field.name}`" in SECTIONS["Keys of [master]"]


@pytest.mark.parametrize("signum", [*WORKER_SIGNALS], ids=lambda signum: signum.name)
def test_every_signal_is_there(signum):
    """Each signal that somebody may send has a row; CHLD comes from the kernel."""
    assert re.search(rf"^\| .*\b{signum.name.removeprefix('SIG')}\b", SECTIONS["Signals"], re.MULTILINE)


GUARANTEES = SECTIONS["What is guaranteed, and what is not"]
SHOWN = re.findall(r"^\* (.+?)\. (tests/.*)$", SECTIONS["What shows it"], re.MULTILINE)


def test_every_guarantee_is_shown():
    """Each row of the table has its tests below it, in the same order and by the same words."""
    rows = [row.strip() for row in re.findall(r"^\|(.+?)\|.*\|.*\|$", GUARANTEES, re.MULTILINE)][2:]

    assert len(rows) >= 18
    assert [event for event, _tests in SHOWN] == rows


@pytest.mark.parametrize(("event", "tests"), SHOWN, ids=[event[:40] for event, _tests in SHOWN])
def test_what_shows_a_guarantee_runs(event, tests):
    """The tests of a row are in their files, and nothing in them or before them keeps them from running."""
    named = [(file, name) for file, names in TESTS.findall(tests) for name in re.findall(r"`(\w+)`", names)]
    assert named, event
    for file, name in named:
        source = (PACKAGE.parent / file).read_text()
        functions = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
        assert name in functions, f"{file} has no {name}"
        assert name.startswith("test_") and Path(file).name.startswith("test_"), "or pytest does not find it"
        assert not re.search(r"\b(pytest|mark)\.(skip|skipif|xfail|importorskip)\b", source), (
            f"{file} may not run"
        )


def test_files():
    """The page's names of files are the program's."""
    files = SECTIONS["Files, owners, modes"]

    assert f"`{directories.pid_path('run_dir')}`" in files
    assert f"`{directories.socket_path('run_dir')}`" in files
    for key in ("run_dir", "state_dir", "log_file"):
        assert f"`{key}` = `{getattr(MasterSettings(), key)}`" in files


@pytest.mark.parametrize(
    "text",
    [
        f"a sign of life ({main.SETTLE_PATIENCE:g} s at most)",
        f"(`stop_timeout` + {service._STOP_MARGIN:g})",
        f"not is killed `stop_timeout` + {member.KILL_MARGIN:g} s later",
        f"wait {worker.ORPHAN_PATIENCE:g} s for acks",
        f"given up after {reader.PATIENCE:g} s (an old shell configuration: {shell.PATIENCE:g} s)",
        f"after a life of {restart.HEALTHY_LIFE:g} s, else after {retry.FIRST_WAIT:g} s growing to {restart.LONGEST_WAIT:g} s",
        f"turns at least every {score.TURN_INTERVAL:g} s. After {hang.HUNG_AFTER:g} s without ({hang.STARTING_HUNG_AFTER:g} s while starting)",
        f"compared every {watch.INTERVAL:g} s",
        f"unwell after {wellness.STARTING_LIMIT:g} s or with",
        f"unwell with a message, or after {wellness.CONNECTING_LIMIT:g} s",
        f"waits for its ack for {wellness.UNACKED_LIMIT:g} s",
        f"noticed within {logfile.LOOK_INTERVAL:g} s",
        f"every {report.REPEAT_INTERVAL / 60:g} minutes",
        f"more than {control.MAX_STRANGERS} others",
        f"or acknowledged nothing, for {trial.UNREACHED_LIMIT / 60:g} minutes",
    ],
)
def test_numbers(text):
    """The page's numbers are the program's."""
    assert text in " ".join(PAGE.split())
