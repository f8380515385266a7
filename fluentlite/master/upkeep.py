"""Files of ours that others rename and remove: kept as they should be, without a word from anybody."""

from __future__ import annotations

import contextlib
import logging

from fluentlite.config.model import MasterSettings
from fluentlite.errors import StateError
from fluentlite.logfile import reopen_log
from fluentlite.master.account import Account
from fluentlite.master.control import ControlServer
from fluentlite.master.directories import own_log_file
from fluentlite.master.places import Places

log = logging.getLogger(__name__)


def keep_log(master: MasterSettings, account: Account | None) -> None:
    """Write to the file at the log's path, and let the workers' user write to it: it may have been renamed."""
    if master.log_file != "-":
        with contextlib.suppress(OSError):  # there is nowhere to say it; it is tried again
            own_log_file(master.log_file, account)
        reopen_log()


def keep_run_dir(places: Places, control: ControlServer) -> None:
    """Stay within reach: somebody may have emptied run_dir."""
    if places.mend() and not control.is_there():
        try:
            control.replace()
        except StateError as exc:
            log.error("%s", exc)
