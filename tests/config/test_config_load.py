"""Which kind of configuration a file is, and what is said when there is none."""

import os

import pytest

from fluentlite.config.load import load, read
from fluentlite.errors import ConfigError, NotConfiguredError


def problem_of(path):
    with pytest.raises(NotConfiguredError) as caught:
        read(path, {})
    [problem] = caught.value.problems
    return problem


def test_toml_is_read_by_its_name(write, least):
    """A name that ends in .toml is TOML."""
    path = write("main.toml", least)

    assert load(path, {}) == read(path, {}).settings
    assert [log.tag for log in load(path, {}).logs] == ["app"]


@pytest.mark.parametrize("name", ["gone.toml", "gone.conf", "file/below.conf"])
def test_nothing_at_the_path_is_not_configured(write, tmp_path, name):
    """Whatever the kind, a file that is not there is told apart from one that is wrong."""
    write("file", "")

    assert f"{tmp_path}/{name}: there is no configuration file. Correct the name" in problem_of(
        f"{tmp_path}/{name}"
    )


def test_a_link_to_nothing_is_not_configured(tmp_path):
    """The link is named with what is missing."""
    os.symlink("moved.toml", tmp_path / "main.toml")

    assert "is a symbolic link to moved.toml, which is missing" in problem_of(f"{tmp_path}/main.toml")


def test_the_first_start_is_told_where_a_configuration_comes_from(tmp_path, monkeypatch):
    """Nothing at the default path: the ways to one are named."""
    path = f"{tmp_path}/fluentlite.toml"
    monkeypatch.setattr("fluentlite.config.load.DEFAULT_CONFIG_PATH", path)
    problem = problem_of(path)

    assert "`fluentlite install`" in problem
    assert "`fluentlite import OLD.conf`" in problem


def test_a_relative_name_is_made_absolute(write, least, tmp_path, monkeypatch):
    """The settings name the file wherever the process goes later."""
    write("main.toml", least)
    monkeypatch.chdir(tmp_path)

    assert load("main.toml", {}).path == f"{tmp_path}/main.toml"


def test_a_path_that_is_none_is_refused():
    """An empty name and the home directory's abbreviation are explained."""
    for path, reason in {"": "is empty", "~/a.toml": 'begins with "~"'}.items():
        with pytest.raises(ConfigError, match=reason):
            read(path, {})
