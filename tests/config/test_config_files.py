"""Files: missing, broken, included."""

import os
import time

import pytest

from fluentlite.config.model import MasterSettings
from fluentlite.config.problems import MOST_TOLD
from fluentlite.config.toml import load, read
from fluentlite.config.whereabouts import find_master
from fluentlite.errors import ConfigError


def problems_at(path):
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    return list(caught.value.problems)


def test_included_files_are_read_in_order(load_text, write):
    """A pattern's files come sorted by name, after the logs of the including file; they may hold any table."""
    write("conf.d/2.toml", '[[log]]\ntag = "two"\npath = "/2"\n')
    write("conf.d/1.toml", '[tail]\nfield_name = "log"\n[[log]]\ntag = "one"\npath = "/1"\n')
    write("conf.d/3.conf", "not TOML")
    write("servers.toml", '[forward]\nprimary = ["a"]\n')
    settings = load_text('include = ["conf.d/*.toml", "servers.toml"]\n[[log]]\ntag = "zero"\npath = "/0"\n')

    assert [log.tag for log in settings.logs] == ["zero", "one", "two"]
    assert {"log"} == {log.tail.field_name for log in settings.logs}


def test_tables_of_several_files_are_one(load_text, write):
    """Different keys of one table may stand in different files."""
    write("more.toml", '[forward]\nmax_in_flight = 2\n[forward.security]\nshared_key = "k"\n')
    write("user.toml", '[forward.security]\nusername = "u"\npassword = "p"\n')
    forward = (
        load_text(
            'include = ["more.toml", "user.toml"]\n[forward]\nprimary = ["a"]\n[[log]]\ntag="t"\npath="/p"\n'
        )
        .logs[0]
        .forward
    )

    assert (forward.max_in_flight, forward.security.shared_key, forward.security.username) == (2, "k", "u")


def test_a_pattern_may_match_nothing(load_text, least):
    """Only an include without a wildcard has to be there."""
    assert len(load_text('include = ["nowhere/*.toml", "[x]?.toml"]\n' + least).logs) == 1


def test_a_file_is_read_once(load_text, write, least):
    """A file that two patterns match, or that a symbolic link names again, adds its logs once."""
    path = write("conf.d/a.toml", '[[log]]\ntag = "a"\npath = "/a"\n')
    os.symlink(path, os.path.dirname(path) + "/b.toml")

    assert len(load_text('include = ["conf.d/*.toml", "conf.d/a.toml"]\n' + least).logs) == 2


def test_an_include_that_is_missing_is_named_with_its_includer(problems_of, tmp_path, least):
    """A file without wildcard that does not exist is a problem of the file that includes it."""
    [problem] = problems_of('include = ["gone.toml"]\n' + least)

    assert problem.startswith(
        f'{tmp_path}/main.toml: include = "gone.toml" names {tmp_path}/gone.toml, which'
    )
    assert "does not exist" in problem


@pytest.mark.parametrize(
    ("include", "words"),
    [
        ('"conf.d/*.toml"', ["is a text, not a list", '["conf.d/*.toml"]']),
        ("[5]", ["include = [5]", "not a text"]),
        ('[""]', ["is empty"]),
        ('["${NOPE}.toml"]', ["${NOPE}", "has no NOPE"]),
        ('["a\\u0000"]', ["NUL"]),
    ],
)
def test_an_include_that_is_no_list_of_paths(problems_of, least, include, words):
    """What include may be is said where it is wrong."""
    [problem] = problems_of(f"include = {include}\n{least}")

    assert [word for word in words if word not in problem] == []


def test_a_circle_of_includes_is_named(problems_of, write, tmp_path, least):
    """A file that includes itself by way of others is a problem that names the whole way."""
    a, b = write("a.toml", 'include = ["b.toml"]\n'), write("b.toml", 'include = ["a.toml"]\n')
    [problem] = problems_of('include = ["a.toml"]\n' + least)

    assert f"circle: {a} includes {b} includes {a}." in problem


def test_a_file_that_its_own_pattern_matches_is_a_circle(problems_of, tmp_path, least):
    """The smallest circle is one file."""
    [problem] = problems_of('include = ["*.toml"]\n' + least)

    assert f"{tmp_path}/main.toml includes {tmp_path}/main.toml" in problem


def test_includes_end_somewhere(problems_of, write, least):
    """An endless chain of includes is refused, not followed until the stack is full."""
    for level in range(20):
        write(f"{level}.toml", f'include = ["{level + 1}.toml"]\n')
    [problem] = problems_of('include = ["0.toml"]\n' + least)

    assert "levels deep" in problem


def test_one_key_in_two_files_is_a_problem(problems_of, write, tmp_path, least):
    """Nobody has to know which of two files wins."""
    write("a.toml", "[tail]\npoll_interval = 2\n[ping]\ntag = 'a'\n")
    write("b.toml", "[tail]\npoll_interval = 2\n[ping]\ndata = 'a'\n")
    [problem] = problems_of('include = ["a.toml", "b.toml"]\n' + least)

    assert f"{tmp_path}/b.toml: [tail]: poll_interval is set in {tmp_path}/a.toml: [tail] as well." in problem


@pytest.mark.parametrize(
    ("content", "where", "words"),
    [
        (b"a = \n", "line 1, column 5", ["Invalid value", "quotes"]),
        (b"[tail]\nfield_name = log\n", "line 2, column 14", ["Invalid value", "quotes"]),
        (b"[tail\n", "line 1, column 6", ["Expected ']'"]),
        (b"[master]\nnice = 1\nnice = 2\n", "line 3, column 9", ["Cannot overwrite", "only once"]),
        (b'a = "x', "line 1, column 7", ["Unterminated string"]),
        (b"a = [1,\n", "line 2, column 1", ["Invalid value"]),
        (b"\xef\xbb\xbfa = \n", "line 1, column 5", ["Invalid value"]),
        (b"[tail]\n# caf\xe9\n", "line 2", ["not UTF-8", "0xe9", "Save"]),
        (b"a = " + b"[" * 9000, "", ["nested too deeply"]),
        (b"a = " + b"9" * 9000, "", ["number that is too long"]),
        (b"a = 1979-02-30\n", "line 1, column 5", ["Invalid date"]),
    ],
)
def test_broken_toml_is_shown_by_line_and_column(write, content, where, words):
    """A file that is not TOML is one problem: file, line, column, what and what to do."""
    path = write("main.toml", content)
    [problem] = problems_at(path)

    assert problem.startswith(path)
    assert [word for word in [where, *words] if word not in problem] == []


def test_a_syntax_problem_does_not_quote_the_line(write):
    """The line that does not parse may be the one with the secret."""
    text = '[forward.security]\nshared_key = s3same\npassword = "s3same"\npassword = "s3same"\n'

    assert "s3same" not in "".join(problems_at(write("main.toml", text)))


def test_a_broken_include_does_not_hide_other_problems(problems_of, write):
    """All files are looked at, and what may stand in the broken one is not called missing."""
    write("broken.toml", "[forward\n")
    write("other.toml", "[tial]\n")
    problems = problems_of('include = ["broken.toml", "other.toml"]\n[[log]]\ntag = ""\npath = "/a"\n')

    assert [word for word in ("Expected ']'", "tial", "tag", "primary") if word in "".join(problems)] == [
        "Expected ']'",
        "tial",
        "tag",
    ]
    assert len(problems) == 3


def test_a_missing_configuration_is_named(tmp_path):
    """The file that does not exist is named, with what to do."""
    [problem] = problems_at(str(tmp_path / "gone.toml"))

    assert f"{tmp_path}/gone.toml: does not exist" in problem


def test_a_directory_is_no_configuration(tmp_path):
    """Nor is it a crash."""
    assert "is a directory" in problems_at(str(tmp_path))[0]


def test_a_path_through_a_file_cannot_be_read(write):
    """The system's reason is told."""
    assert "cannot be read (Not a directory)" in problems_at(write("main.toml", "") + "/x.toml")[0]


def test_something_huge_is_not_read(write, tmp_path):
    """A file that cannot be a configuration does not fill the memory."""
    path = write("main.toml", "")
    os.truncate(path, 20 * 1024 * 1024)

    assert "larger than 16 MiB" in problems_at(path)[0]


def test_a_relative_path_is_made_absolute(write, least, monkeypatch, tmp_path):
    """The agent may change its directory afterwards and read the file again (P22)."""
    write("main.toml", least)
    monkeypatch.chdir(tmp_path)

    assert f"{tmp_path}/main.toml" == load("main.toml", {}).path


def test_a_directory_that_is_gone_is_told(monkeypatch, tmp_path):
    """A relative path needs a current directory."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert "a directory that is gone" in problems_at("main.toml")[0]
    monkeypatch.chdir(tmp_path)


def test_reading_tells_the_files_and_secrets_that_everybody_can_read(write, least, tmp_path):
    """Whoever starts it learns which files show a secret: those that hold one themselves, and are open to all."""
    plain = write("a.toml", '[forward.security]\nshared_key_file = "key"\n')
    indirect = write("b.toml", '[forward.security]\npassword = "${PASSWORD}"\nusername = "u"\n')
    main = write("main.toml", 'include = ["a.toml", "b.toml"]\n' + least)
    key = write("key", "s3same\n")
    for path, mode in ((plain, 0o644), (indirect, 0o644), (main, 0o644), (key, 0o640)):
        os.chmod(path, mode)

    reading = read(main, {"PASSWORD": "p"})
    assert ((main, plain, indirect), ()) == (reading.files, reading.warnings)

    os.chmod(key, 0o604)
    assert read(main, {"PASSWORD": "p"}).warnings == (
        f"{key} holds a secret and everybody can read it. Run: chmod o-rwx {key}",
    )


# -- whatever it is -------------------------------------------------------------------------------------


@pytest.fixture
def terminal():
    """The path of a terminal at which nobody types."""
    master, slave = os.openpty()
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


def test_a_terminal_is_read_as_nothing(load_text, least, terminal):
    """A device that has nothing to say now neither blocks nor breaks the reading."""
    assert load_text(f'include = ["{terminal}"]\n{least}').logs


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/dev/zero", "is larger than 16 MiB"),
        ("/proc/self/mem", "cannot be read"),
        ("/", "is a directory"),
    ],
)
def test_what_is_no_file_of_text(problems_of, least, path, words):
    """A device without end, memory, a directory: each is refused at once, and said."""
    (problem,) = problems_of(f'include = ["{path}"]\n{least}')
    assert words in problem


def test_a_pipe_keeps_nobody_waiting(problems_of, least, tmp_path):
    """A pipe into which nobody writes is refused, not waited for."""
    os.mkfifo(tmp_path / "pipe")
    (problem,) = problems_of(f'include = ["pipe"]\n{least}')
    assert "is no regular file" in problem


BOMBS = {
    "deep": "x = " + "[" * 100_000,
    "deep-key": "a" + ".a" * 3000 + " = 1",
    "long-number": "x = " + "9" * 5000,
    "long-hex": "[master]\nnice = 0x" + "f" * 400_000,
    "impossible-date": "x = 9999-13-32T25:61:61Z",
    "100-000-keys": "".join(f"k{number} = 1\n" for number in range(100_000)),
    "10-000-empty-logs": "log = [" + "{}," * 10_000 + "]",
    "100-000-servers": "[forward]\nprimary = [" + '"a b",' * 100_000 + "]",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_what_could_explode(problems_of, text):
    """Depth, length and number cost time in proportion, and are told in at most a hundred sentences that are short."""
    began = time.process_time()
    problems = problems_of(text)

    assert time.process_time() - began < 10.0
    assert 0 < len(problems) <= MOST_TOLD + 1
    assert max(map(len, problems)) < 400
    if "{}" in text or "k9" in text:
        assert problems[-1].startswith("There are about ")


def test_variables_put_in_again_and_again(problems_of, least):
    """A variable of 100 KB that is named a thousand times does not become 100 MB."""
    text = least.replace("/var/log/app.log", "/" + "${LONG}" * 1000)
    (problem,) = problems_of(text, {"LONG": "x" * 100_000})

    assert "is longer than 1048576 characters with what its variables hold" in problem
    assert len(problem) < 300


@pytest.mark.parametrize("value", ["[" * 5000, '"/a\\u0000b"', '"~x"', '""', "7", '"${NONE}"'])
def test_a_run_dir_that_is_none(write, value):
    """Of a broken configuration only a run_dir that can be one is believed; the default is looked at otherwise."""
    settings, warning = find_master(write("main.toml", f"broken\nrun_dir = {value}\n"), {})

    assert settings == MasterSettings()
    assert "cannot be read" in warning


def test_a_shell_configuration_with_a_nul_in_its_run_dir(write):
    """The same for the text of a script."""
    settings, _ = find_master(write("old.conf", "FLUENTLITE_RUN_DIR=/a\0b\n"), {})

    assert settings == MasterSettings()
