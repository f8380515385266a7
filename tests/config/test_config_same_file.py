"""No file is followed twice, and not the agent's own log."""

import os

import pytest

HEAD = '[forward]\nprimary = ["a"]\n'


def logs(*paths):
    return HEAD + "".join(
        f"[[log]]\ntag = 't{number}'\npath = '{path}'\n" for number, path in enumerate(paths, 1)
    )


def test_the_same_path_twice_is_refused(problems_of, tmp_path):
    """One path with two tags is an error that names both logs, however it is spelt (C03)."""
    [problem] = problems_of(logs("a.log", f"{tmp_path}/x/../a.log"))

    assert problem.startswith(
        f'{tmp_path}/main.toml: [[log]] number 2 (tag "t2"): path = "{tmp_path}/a.log" is also'
    )
    assert 'the path of [[log]] number 1 (tag "t1"); each line would be sent twice. Remove one' in problem


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_one_file_under_two_names_is_refused(problems_of, write, tmp_path, link):
    """Files are compared by device and inode, not by name (T17)."""
    link(write("a.log", "x"), tmp_path / "b.log")
    [problem] = problems_of(logs("a.log", "b.log"))

    assert (
        f'path = "{tmp_path}/b.log" is the same file as "{tmp_path}/a.log", the path of [[log]] number 1'
        in problem
    )


def test_one_file_that_is_not_there_yet_is_seen_through_a_linked_directory(problems_of, tmp_path):
    """A link in the directory part counts before the file exists (T17, T36)."""
    (tmp_path / "r1").mkdir()
    (tmp_path / "current").symlink_to("r1")
    [problem] = problems_of(logs("r1/a.log", "current/a.log"))

    assert "is the same file as" in problem


def test_the_other_log_may_be_in_another_file(problems_of, write, tmp_path):
    """A log of another file is named with its file."""
    write("b.toml", "[[log]]\ntag = 'b'\npath = 'a.log'\n")
    [problem] = problems_of('include = ["b.toml"]\n' + logs("a.log"))

    assert f'{tmp_path}/b.toml: [[log]] number 1 (tag "b"): ' in problem
    assert f'the path of {tmp_path}/main.toml: [[log]] number 1 (tag "t1")' in problem


def test_three_times_is_two_problems(problems_of):
    """Each further log of one file is a problem of its own."""
    assert len(problems_of(logs("a.log", "a.log", "a.log"))) == 2


def test_different_files_are_no_problem(load_text, write):
    """Files of the same content, or none, are different files."""
    write("a.log", "x")
    write("b.log", "x")

    assert len(load_text(logs("a.log", "b.log", "c.log", "d.log")).logs) == 4


@pytest.mark.parametrize("name", ["own.log", "symlink.log", "hardlink.log", "directory/own.log"])
def test_the_own_log_is_not_followed(problems_of, write, tmp_path, name):
    """The agent's own log among the logs, by whatever name, would feed on itself (O01)."""
    own = write("own.log", "x")
    os.symlink(own, tmp_path / "symlink.log")
    os.link(own, tmp_path / "hardlink.log")
    os.symlink(tmp_path, tmp_path / "directory")
    [problem] = problems_of(f"[master]\nlog_file = 'own.log'\n{logs(name)}")

    assert (
        f'[[log]] number 1 (tag "t1"): path = "{tmp_path}/{name}" is the log of fluentlite itself' in problem
    )
    assert f'(log_file = "{own}")' in problem


def test_the_own_log_is_not_followed_by_default_either(problems_of):
    """The default log_file counts, too (O01)."""
    assert "is the log of fluentlite itself" in problems_of(logs("/var/log/fluentlite/fluentlite.log"))[0]


def test_long_paths_are_named_whole(problems_of):
    """The end of a path is what tells it from others, so no path is shortened in these problems (C03)."""
    path = "/" + "/".join(["a-rather-long-directory"] * 12) + "/end.log"

    assert f'path = "{path}" is also the path of' in problems_of(logs(path, path))[0]
    assert f'(log_file = "{path}")' in problems_of(f"[master]\nlog_file = '{path}'\n{logs(path)}")[0]
