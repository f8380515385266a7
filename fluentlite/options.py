"""The options of the commands that have to do with the daemon."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import NoReturn

from fluentlite.config.model import DEFAULT_CONFIG_PATH
from fluentlite.config.reading import absolute
from fluentlite.errors import ConfigError


class Options(argparse.ArgumentParser):
    """
    Knows ``-c FILE``, and whatever is added.

    Args:
        command: Its name.
        text: Its help.
    """

    def __init__(self, command: str, text: str) -> None:
        super().__init__(prog=f"fluentlite {command}", add_help=False, allow_abbrev=False)
        self._command, self._text = command, text
        self.add_argument("-h", "--help", action="store_true")
        self.add_argument(
            "-c", "--config", default=os.environ.get("FLUENTLITE_CONFIG") or DEFAULT_CONFIG_PATH
        )

    def read(self, argv: Sequence[str]) -> argparse.Namespace | None:
        """
        Return the options, ``config`` absolute; None if help was asked for and has been given.

        Raises:
            ConfigError: They cannot be understood.
        """
        options = self.parse_args(argv)
        if options.help:
            print(self._text)
            return None
        options.config = absolute(options.config)
        return options

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f'{message}. Say "fluentlite {self._command} --help" for what it takes.')


def seconds(text: str) -> float:
    """Read a duration."""
    value = float(text)
    if not 0 <= value <= 86400:
        raise ValueError(text)
    return value
