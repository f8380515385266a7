"""Dead letters in the whole daemon: status shows them, replay sends them again, and all is well."""

from __future__ import annotations

import os
import signal
import subprocess

import behaviours
import pytest
from servers import HOST, ScriptedServer, ack_all

from fluentlite.core.entries import MsgpackEntries
from fluentlite.core.letter import Letter, encode_letter
from fluentlite.errors import LetterError
from fluentlite.letter_file import LetterFile

LINES = [f"line {number:04}" + (" poison" if number == 7 else "") for number in range(60)]
GOOD = [line.encode() for line in LINES if "poison" not in line]


@pytest.fixture
def server():
    with ScriptedServer(behaviours.refuse(b"poison")) as server:
        yield server
        assert not server.errors


@pytest.fixture
def daemon(make_daemon, server):
    """One whose log ``a`` had a record that the server refuses."""
    made = make_daemon("a", "b", server=f"{HOST}:{server.port}")
    made.announce("is refused by every server", "lines wait in the log until")
    made.start()
    made.append("a", *LINES)
    made.append("b", "other")
    made.eventually(lambda: taken(server) == GOOD and letters_of(made))
    return made


@pytest.fixture
def letter(tmp_path):
    """The file of one of a log with the tag ``a``."""
    packer = MsgpackEntries("message")
    packer.begin(1_700_000_000_000_000_000)
    entry = packer.pack([b"hello"])
    made = Letter(
        "a", "/a.log", "1:2:0", 10, 16, True, "AAAA", 1, "msgpack", 1_700_000_000, (("s:1", "why"),), entry
    )
    path = tmp_path / "a.letter"
    path.write_bytes(encode_letter(made))
    return path


@pytest.fixture
def idle(make_daemon, server):
    """Another one, that is not started, with a log ``a``: replay needs its configuration only."""
    return make_daemon("a", server=f"{HOST}:{server.port}")


def taken(server):
    """The lines with the tag ``a`` that the server has acknowledged."""
    return sorted(line for one in server.chunks if one.acked and one.tag == "a" for line in one.lines())


def letters_of(daemon):
    directory = daemon.state_dir / "dead-letters"
    return sorted(directory.glob("*.letter")) if directory.is_dir() else []


def test_from_refusal_to_replay(daemon, server):
    """
    A refused record holds up nothing, shows in ``status`` across restarts until it was replayed, and nothing is lost or
    doubled on the way (S36).
    """
    [letter] = letters_of(daemon)
    daemon.eventually(lambda: daemon.row("a")["lag_bytes"] == 0 and daemon.row("a")["last_error"])
    for _life in range(2):
        row = daemon.row("a")
        assert f"1 record refused by every server lies in {letter.parent}" in row["last_error"]
        assert row["position"] == daemon.path("a").stat().st_size
        assert daemon.row("b")["last_error"] is None
        strict = daemon.run("status", "--strict")
        assert strict.status == 2
        assert "replay FILE" in " ".join(strict.out.split())
        stopped = daemon.stop()
        assert stopped.status == 0
        assert f"; 1 record refused by every server lies in {letter.parent}" in stopped.out
        daemon.start()

    refused_again = daemon.run("replay", letter)
    assert refused_again.status == 1
    assert "no server has taken it" in refused_again.err
    assert "it closed the connection" in refused_again.err
    assert letters_of(daemon) == [letter]

    server.restart(ack_all)
    done = daemon.run("replay", letter)
    assert (done.status, done.err) == (0, "")
    assert f"delivered to {HOST}:{server.port}, and removed" in done.out
    assert letters_of(daemon) == []
    assert taken(server) == sorted(line.encode() for line in LINES)
    daemon.eventually(lambda: daemon.run("status", "--strict").status == 0)


def test_replay_of_what_is_kept(idle, server, letter):
    """With --keep the file stays, and the record goes with the id that it had, so that a server can know it again (S06, S36)."""
    for _ in range(2):
        done = idle.run("replay", "--keep", letter)
        assert (done.status, done.err) == (0, "")
        assert "kept" in done.out
    assert [(one.id, one.tag, one.lines()) for one in server.chunks] == [("AAAA", "a", [b"hello"])] * 2


def test_replay_by_another_log(make_daemon, server, letter):
    """A letter of a log that is not configured any more goes as the lines of its tag, or of the log that is named (S36)."""
    daemon = make_daemon("b", server=f"{HOST}:{server.port}")
    unknown = daemon.run("replay", letter)
    assert (unknown.status, "say with --log TAG" in unknown.err) == (1, True)
    other = daemon.run("replay", "--log", "no-such-tag", letter)
    assert (other.status, "has no log with the tag" in other.err) == (1, True)
    assert daemon.run("replay", "--log", "b", "--keep", letter).status == 0
    assert server.chunks[-1].tag == "a"

    daemon.config["log"][0]["tag"] = "a"
    daemon.write_config()
    assert daemon.run("replay", letter).status == 0


def test_some_are_no_letters(idle, server, letter, tmp_path):
    """What is not, byte for byte, a letter of ours is not sent, and stays where it is; the others go (S36)."""
    bad, link, missing = (tmp_path / f"{name}.letter" for name in ("damaged", "link", "missing"))
    bad.write_bytes(letter.read_bytes()[:-1] + b"x")
    link.symlink_to(letter)
    done = idle.run("replay", bad, link, missing, letter)

    assert done.status == 1
    assert [
        why in done.err for why in ("checksum", "(Too many levels of symbolic links)", "No such file")
    ] == [True] * 3
    assert done.err.count("It stays where it is") == 3
    assert (bad.exists(), letter.exists(), server.lines()) == (True, False, [b"hello"])


def test_letters_of_strangers(idle, server, letter):
    """A letter is believed if it is root's, one's own, or of the user that workers run as (S36)."""
    stranger = 65534 if os.geteuid() == 0 else os.geteuid() + 1
    with pytest.raises(LetterError, match=f"it belongs to user {os.geteuid()}, who writes no letters here"):
        LetterFile(str(letter), {stranger})
    if os.geteuid() == 0:  # who alone can give files away
        os.chown(letter, stranger, -1)
        assert f"it belongs to user {stranger}" in idle.run("replay", letter).err
        idle.config["master"]["user"] = "nobody"
        idle.write_config()

    assert idle.run("replay", letter).status == 0
    assert server.lines() == [b"hello"]


def test_two_replays_of_one_letter(idle, server, letter):
    """A letter that one replay is sending is not sent by another one; interrupted, it is still there (S36)."""
    server.restart(behaviours.no_ack)
    first = subprocess.Popen(idle.command("replay", letter), stderr=subprocess.PIPE, text=True)
    server.wait_for(lambda: server.chunks)
    second = idle.run("replay", letter)
    assert (second.status, "another replay is sending it" in second.err) == (1, True)

    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=10)
    assert (first.returncode, "interrupted before a server had acknowledged it" in said) == (130, True)
    assert letter.exists()

    killed = subprocess.Popen(idle.command("replay", letter))
    server.wait_for(lambda: len(server.chunks) == 2)
    killed.kill()
    killed.wait()
    server.restart(ack_all)
    assert idle.run("replay", letter).status == 0
    assert not letter.exists()


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["--help"], 0, "Usage: fluentlite replay"),
        ([], 1, "Name the letters to send"),
        (["--unknown", "x"], 1, "--unknown"),
        (["-c", "/nowhere.toml", "x"], 1, "/nowhere.toml"),
    ],
)
def test_mistakes(make_daemon, words, status, text):
    """What is typed wrong is told."""
    done = make_daemon("a", server=f"{HOST}:1").run("replay", *words)

    assert (done.status, text in done.out + done.err) == (status, True)
