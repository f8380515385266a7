"""A log and somebody who follows it."""

import gc
import logging
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from following import Descriptors, Follower, Log, open_descriptors

from fluentlite.signals import SignalInbox

SOMEBODY = 54321
"""A user that is nobody else."""


@pytest.fixture
def directory(tmp_path):
    """The directory of the log, alone in it."""
    directory = tmp_path / "logs"
    directory.mkdir()
    return directory


@pytest.fixture
def log(directory):
    return Log(directory / "app.log")


@pytest.fixture
def make_follower(log, tmp_path):
    """Make followers, not started, with their settings; what they open is closed, and nothing is left open."""
    gc.collect()  # what tests before this one have left open is no affair of ours
    before, made = open_descriptors(), []

    def make(path=None, **settings):
        made.append(Follower(path or log.path, tmp_path / "state", **settings))
        return made[-1]

    yield make
    for follower in made:
        follower.close()
    assert open_descriptors() == before, "a descriptor was left open"


@pytest.fixture
def follower(make_follower):
    """Reads from the head of the log; not started."""
    return make_follower()


@pytest.fixture
def make_descriptors():
    """Limits of descriptors, given back at the end."""
    made = []

    def make(count):
        made.append(Descriptors(count))
        return made[-1]

    yield make
    for descriptors in made:
        descriptors.close()


@pytest.fixture
def as_user():
    """A directory in which this process is a common user, also when the tests run as root: no file is open to it by right."""
    directory = Path(tempfile.mkdtemp())
    was_root = os.geteuid() == 0
    if was_root:
        os.chown(directory, SOMEBODY, SOMEBODY)
        os.seteuid(SOMEBODY)
    yield directory
    if was_root:
        os.seteuid(0)
    shutil.rmtree(directory)


@pytest.fixture
def guarded(as_user):
    """A log and a follower in that directory."""
    (as_user / "logs").mkdir()
    log = Log(as_user / "logs" / "app.log")
    follower = Follower(log.path, as_user / "state")
    yield log, follower
    follower.close()
    log.path.parent.chmod(0o755)  # so that it can be removed


@pytest.fixture
def said(caplog):
    """What the agent said so far at a level or above, as a list of texts."""
    caplog.set_level(logging.DEBUG)

    def said(level="WARNING"):
        said.was_asked = True
        records = caplog.get_records("call")  # also while the test is being taken down
        return [r.getMessage() for r in records if r.levelno >= logging.getLevelName(level)]

    said.was_asked = False
    return said


@pytest.fixture(autouse=True)
def nothing_unexpected(said):
    """A test that does not ask what was said expects no warning and no error."""
    yield
    assert said.was_asked or said() == []


@pytest.fixture
def inbox():
    """Signals as a worker gets them; the handlers of the tests come back."""
    before = signal.getsignal(signal.SIGTERM)
    reader = SignalInbox([signal.SIGTERM])
    yield reader
    signal.signal(signal.SIGTERM, before)
    os.close(signal.set_wakeup_fd(-1))
    os.close(reader.fileno())
