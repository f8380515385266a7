"""Files of ours that others rename and remove: kept as they should be, without a word from anybody."""

from __future__ import annotations

import logging

from fluentlite.config.model import MasterSettings
from fluentlite.errors import ConfigError, StateError
from fluentlite.logfile import start_log
from fluentlite.master.account import Account
from fluentlite.master.control import ControlServer
from fluentlite.master.directories import open_log
from fluentlite.master.places import Places

log = logging.getLogger(__name__)


def start_own_log(master: MasterSettings, account: Account | None) -> None:
    """
    Write our log to log_file from now on, a file of *account*, also after it was renamed.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        start_log(master.log_file, master.log_level, lambda path: open_log(path, account))
    except OSError as exc:
        raise ConfigError(
            f"log_file {master.log_file}: it cannot be written ({exc.strerror}). Correct its owner or mode, or name another."
        ) from exc


def keep_run_dir(places: Places, control: ControlServer) -> None:
    """Stay within reach: somebody may have emptied run_dir."""
    if places.mend() and not control.is_there():
        try:
            control.replace()
        except StateError as exc:
            log.error("%s", exc)
