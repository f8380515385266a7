"""What the master does before it forks, for its workers to share."""

import contextlib
import logging
import os
import resource
import signal
import subprocess
import sys

import pytest
from following import Descriptors

from fluentlite.worker import warm
from fluentlite.worker.warm import warm_up

MEASURE = """
import gc, os, sys
from fluentlite.signals import fork_child
from fluentlite.worker import main, warm

def private():
    with open("/proc/self/smaps_rollup", "rb", buffering=0) as file:
        return int(file.read().split(b"Private_Dirty:")[1].split()[0])

def live():
    warm._live(warm.Path(sys.argv[1]), "again.log")
    os.write(1, b"%d" % private())
    return 0

if sys.argv[2] == "warm":
    warm.warm_up()
gc.collect()
gc.freeze()
sys.stdout.flush()
os.waitpid(fork_child(live, []), 0)
"""


@pytest.fixture(autouse=True)
def limit():
    """A worker raises the limit of descriptors, in whatever process it lives."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)


def test_no_descriptor_is_left(monkeypatch):
    """Nothing depends on it: a master that has no descriptor for it begins all the same."""
    monkeypatch.setattr(warm, "PATIENCE", 0.05)
    with contextlib.closing(Descriptors(0)) as none_left, none_left:
        warm_up()

    assert logging.root.manager.disable == logging.NOTSET


def test_it_leaves_nothing_behind(caplog, monkeypatch, tmp_path):
    """No descriptor, no thread, no child, no file, no message, and the signals as they were (P16)."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(warm, "MEMORY", str(tmp_path))
    handlers = {signum: signal.getsignal(signum) for signum in signal.valid_signals()}
    wakeup = signal.set_wakeup_fd(-1)
    warm_up()  # the first one finds the C library, and keeps it
    before, threads = os.listdir("/proc/self/fd"), len(os.listdir("/proc/self/task"))
    warm_up()

    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/task")) == threads
    assert {signum: signal.getsignal(signum) for signum in signal.valid_signals()} == handlers
    assert signal.set_wakeup_fd(wakeup) == -1
    assert caplog.records == []
    assert logging.root.manager.disable == logging.NOTSET
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("what", ["no place", "no server"])
def test_nothing_depends_on_it(monkeypatch, tmp_path, what):
    """Where there is no place for its files, or its server ends at once, it goes without."""
    if what == "no place":
        monkeypatch.setattr(warm, "MEMORY", str(tmp_path / "none"))
        monkeypatch.setattr(warm.tempfile, "tempdir", str(tmp_path / "neither"))
    else:
        monkeypatch.setattr(warm, "_serve", lambda _listener: 1)
    warm_up()

    assert logging.root.manager.disable == logging.NOTSET


def private_after(directory, how):
    """Kilobytes that a forked process has to itself after it was a worker."""
    directory.mkdir()
    done = subprocess.run([sys.executable, "-c", MEASURE, directory, how], capture_output=True, text=True, check=True)  # fmt: skip
    return int(done.stdout)


def test_it_saves_memory(tmp_path):
    """A worker that is forked afterwards writes to fewer of the pages that it shares (P25)."""
    cold, warm_ = private_after(tmp_path / "cold", "cold"), private_after(tmp_path / "warm", "warm")

    assert warm_ < cold - 300
