"""Write configurations into a directory of their own and load them."""

import pytest
from strangers import give_away

from fluentlite.config.toml import load
from fluentlite.errors import ConfigError

__all__ = ["give_away"]

LEAST = """
[forward]
primary = ["192.0.2.1"]
[[log]]
tag = "app"
path = "/var/log/app.log"
"""


@pytest.fixture
def least():
    """The shortest configuration that is one: one server, one log."""
    return LEAST


@pytest.fixture
def write(tmp_path):
    """Write a file below the directory of the configuration and return its path."""

    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def load_text(write):
    """Load a configuration from its text."""

    def load_text(text, environ=None):
        return load(write("main.toml", text), environ or {})

    return load_text


@pytest.fixture
def problems_of(load_text):
    """Return the problems of a configuration that has some."""

    def problems_of(text, environ=None):
        with pytest.raises(ConfigError) as caught:
            load_text(text, environ)
        return list(caught.value.problems)

    return problems_of
