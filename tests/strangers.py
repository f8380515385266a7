"""
Another user of the host, for the tests of what he may not lead us to.

As root he is real: files are given to him, and processes become him. Who is not root has nobody else's files: then
our files are another user's, because we believe to be somebody else.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import tempfile
from pathlib import Path

import pytest

from fluentlite.master.account import Account

IS_ROOT = os.geteuid() == 0
MALLORY = pwd.getpwnam("daemon")
"""Neither us nor the workers' user."""
WORKER = pwd.getpwnam("nobody")


def workers_account():
    """Whom workers run as; None without root, where they run as we do."""
    if not IS_ROOT:
        return None
    return Account(WORKER.pw_name, WORKER.pw_uid, WORKER.pw_gid, (WORKER.pw_gid,))


@contextlib.contextmanager
def open_directory():
    """A directory that every user can pass, unlike those of pytest."""
    path = Path(tempfile.mkdtemp(prefix="fluentlite-test-", dir="/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture
def give_away(monkeypatch):
    """Let a path belong to somebody who is neither root nor us; returns his uid."""

    def give_away(path):
        if IS_ROOT:
            os.chown(path, MALLORY.pw_uid, -1, follow_symlinks=False)
            return MALLORY.pw_uid
        us = os.getuid()
        monkeypatch.setattr(os, "geteuid", lambda: us + 1)
        return us

    return give_away


# -- what somebody puts in the place of a file, so that we write to his *victim*, or wait for ever --------------


def symbolic_link(path, victim):
    os.symlink(victim, path)


def hard_link(path, victim):
    os.link(victim, path)


def pipe(path, _victim):
    os.mkfifo(path)


def directory(path, _victim):
    os.mkdir(path)


# -- processes --------------------------------------------------------------------------------------------


def become(user):
    """Have this process be *user*, for good; without root it stays what it is."""
    if IS_ROOT:
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)


@contextlib.contextmanager
def process_of(user, run):
    """Run *run* in a child that is *user* (as root), until the end of the block; it may say when it is ready."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            become(user)
            run(lambda: os.write(writer, b"."))
        finally:
            os._exit(1)
    os.close(writer)
    try:
        assert os.read(reader, 1) == b".", "the other user's process has died"
        yield pid
    finally:
        os.close(reader)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def impostor(path, answer):
    """What answers *answer*, an object, to everybody who connects to *path*."""

    def run(ready):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        os.chmod(path, 0o666)
        listener.listen()
        ready()
        while True:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError):
                asked = client.recv(4096)
                if asked:
                    Path(f"{path}.asked").write_bytes(asked)
                client.sendall(json.dumps(answer(os.getpid())).encode() + b"\n")

    return run
