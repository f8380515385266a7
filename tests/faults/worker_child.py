"""
One worker with settings that the flags of ``fluentlite agent`` cannot express: ``python worker_child.py JSON``.

It does what ``fluentlite agent`` does, with settings built from JSON: an object with "path", "state_dir",
"log_file", "stop_timeout", "primary" and "secondary" (ports), "forward" and "tail" (as the configuration's objects).
"""

from __future__ import annotations

import json
import sys
from typing import Any

from fluentlite.config.model import ForwardSettings, LogSettings, Server, TailSettings
from fluentlite.logfile import start_log
from fluentlite.signals import WORKER_SIGNALS, SignalInbox
from fluentlite.worker.main import run_worker


def _main(options: dict[str, Any]) -> int:
    inbox = SignalInbox(WORKER_SIGNALS)
    start_log(options["log_file"], "debug")
    primary, secondary = (
        tuple(Server("127.0.0.1", port) for port in options[kind]) for kind in ("primary", "secondary")
    )
    settings = LogSettings(
        tag="faults",
        path=options["path"],
        forward=ForwardSettings(primary=primary, secondary=secondary, **options["forward"]),
        tail=TailSettings(**options["tail"]),
    )
    return run_worker(settings, options["state_dir"], options["stop_timeout"], inbox)


if __name__ == "__main__":
    sys.exit(_main(json.loads(sys.argv[1])))
