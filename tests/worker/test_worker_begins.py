"""What a worker's process does before there is a worker."""

import os
import resource

from fluentlite.config.model import ForwardSettings, LogSettings, Server
from fluentlite.daemon import _Work
from fluentlite.master.plan import Spec
from fluentlite.scoreboard import Scoreboard
from fluentlite.signals import fork_child


def test_there_is_no_descriptor_to_begin_with(capfd, tmp_path):
    """A worker that cannot even begin ends with 1, and tells its master why; that is no error in it."""
    log = LogSettings(
        tag="a", path=str(tmp_path / "a.log"), forward=ForwardSettings(primary=(Server("127.0.0.1", 9),))
    )
    spec, slot = Spec(log, str(tmp_path), 1.0, None, 0, "-", "error"), Scoreboard(1).take()

    def work():
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        return _Work(0)(spec, slot, -1)

    status = os.waitstatus_to_exitcode(os.waitpid(fork_child(work, []), 0)[1])

    assert (status, slot.read().last_error) == (
        1,
        "the worker cannot begin ([Errno 24] Too many open files); raise its limits",
    )
    assert capfd.readouterr().err == ""
