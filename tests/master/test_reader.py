"""Reading the configuration in a process of its own; with a daemon around it, it is tested with whole ones."""

import errno
import os

import pytest

from fluentlite.loop import Loop
from fluentlite.master.reader import Reading, _read
from fluentlite.signals import fork_child


def test_the_master_is_gone(capfd):
    """A reading whose master was killed meanwhile ends without a word: nobody wants its result."""
    reader, writer = os.pipe()
    pid = fork_child(lambda: _read(lambda: ("wrong",), writer), [writer])
    os.close(reader)
    os.close(writer)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert capfd.readouterr().err == ""


def test_no_memory_to_watch_it_with(monkeypatch):
    """A reading that cannot be watched is ended at once, and leaves no descriptor."""
    loop = Loop()

    def refuse(*_words):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(loop, "watch", refuse)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="Cannot allocate memory"):
        Reading(lambda: ("wrong",), loop, lambda _outcome: None)

    assert os.listdir("/proc/self/fd") == before
    os.waitpid(-1, 0)
    loop.close()
