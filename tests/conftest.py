"""
What all tests share. Its being here also makes ``tests/`` importable: ``import servers``, ``import recorded``.
"""

import signal

import pytest
from certificates import Authority

# Whoever runs the tests in the background ignores SIGINT, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# The same with nohup; whoever wants the tests to survive a logout still gets that.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda _signum, _frame: None)


@pytest.fixture
def authority(tmp_path):
    """Signs certificates of servers and clients."""
    return Authority(tmp_path)


@pytest.fixture
def other(tmp_path):
    """An authority that nobody has heard of."""
    return Authority(tmp_path, "other")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Names of files that are no UTF-8 get into what was captured, and processes that share the tests speak UTF-8."""
    report = yield
    report.sections = [(name, _sendable(text)) for name, text in report.sections]
    if report.longrepr is not None and _sendable(text := str(report.longrepr)) != text:
        report.longrepr = _sendable(text)
    return report


def _sendable(text):
    return text.encode("utf-8", "backslashreplace").decode()
