"""Logs that get another path, and logs whose position cannot be remembered yet."""

import os

from following import numbered
from writing import Writing

from fluentlite.worker.checkpoint import checkpoint_path


def reload(daemon):
    daemon.write_config()
    result = daemon.run("reload")
    assert result.status == 0, result


def link_to(daemon, name):
    """A directory of another name, by which the log *name* can be reached."""
    elsewhere = daemon.directory / "elsewhere"
    elsewhere.symlink_to(daemon.logs_dir)
    return str(elsewhere / f"{name}.log")


def checkpoints(daemon):
    return sorted(path.name for path in daemon.state_dir.glob("*.checkpoint"))


def test_another_path_for_the_same_file(make_daemon, arrivals):
    """
    Reloads that name the same files by other paths, under load: the position belongs to the file, so each line arrives
    once, in order (C04).
    """
    daemon = make_daemon("a", "b", tail={"read_from_head": False})
    for name in ("a", "b"):
        daemon.append(name, "old")
    daemon.start()
    daemon.wait_for_workers()
    paths = [str(daemon.path("a")), link_to(daemon, "a")]
    with Writing(daemon, "a", "b") as writing:
        for number in range(1, 7):
            count = len(arrivals.lines("a"))
            daemon.eventually(lambda count=count: len(arrivals.lines("a")) > count + 100)
            daemon.config["log"][0]["path"] = paths[number % 2]
            reload(daemon)
    for name in ("a", "b"):
        arrivals.wait_for_lines(name, writing.lines(name), 40)

    assert len(checkpoints(daemon)) == 2
    assert daemon.said().count("going on at its position") == 6


def test_another_path_after_a_restart(make_daemon, arrivals):
    """The same when it was stopped, and rotated while it was (C04, T05)."""
    daemon = make_daemon("a", tail={"read_from_head": False})
    daemon.append("a", "old")
    daemon.start()
    daemon.wait_for_workers()
    daemon.append("a", *numbered(1, 100))
    arrivals.wait_for_lines("a", numbered(1, 100))
    daemon.stop()
    daemon.append("a", *numbered(101, 200))
    os.rename(daemon.path("a"), f"{daemon.path('a')}.1")
    daemon.append("a", *numbered(201, 300))
    daemon.config["log"][0]["path"] = link_to(daemon, "a")
    daemon.write_config()
    daemon.start()

    arrivals.wait_for_lines("a", numbered(1, 300))


def test_a_new_log_without_a_checkpoint(make_daemon, arrivals):
    """
    A new log whose position cannot be remembered yet is not followed, ``status`` says why, and its worker waits; when it
    can be, all arrives that was written since the log was first seen (C06, T49).
    """
    daemon = make_daemon("a", "b", tail={"read_from_head": False})
    daemon.announce("cannot be opened .Is a directory.")
    for name in ("a", "b"):
        daemon.append(name, "old")
    in_its_place = checkpoint_path(str(daemon.state_dir), str(daemon.path("b")))
    in_its_place.mkdir(parents=True)
    daemon.start()
    daemon.eventually(lambda: daemon.row("a")["state"] == "following")
    daemon.eventually(lambda: "Is a directory" in daemon.row("b")["last_error"])
    pid = daemon.worker("b")
    for name in ("a", "b"):
        daemon.append(name, *numbered(1, 100))
    arrivals.wait_for_lines("a", numbered(1, 100))
    os.rename(daemon.path("b"), f"{daemon.path('b')}.1")
    daemon.append("b", *numbered(101, 200))
    assert daemon.run("status", "--strict").status == 2
    assert arrivals.lines("b") == []

    in_its_place.rmdir()
    arrivals.wait_for_lines("b", numbered(1, 200), 30)
    assert (daemon.worker("b"), daemon.row("b")["restarts"]) == (pid, 0)
    daemon.eventually(lambda: not daemon.row("b")["last_error"])
    assert daemon.said().count("Is a directory") == 1
