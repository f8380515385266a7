"""
A real sshd on loopback, with keys of its own, that lets the user of the tests in and nobody else.

Everything it needs is in one directory; it is ended by its pid. It takes no part of this machine's configuration.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path

from clients import eventually

REMEDY = "say make test, which installs openssh-server, or install it yourself"

CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {directory}/host_key
PidFile none
AuthorizedKeysFile {directory}/user_key.pub
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM {use_pam}
PrintMotd no
PrintLastLog no
LogLevel VERBOSE
"""

PRIVILEGE_SEPARATION = Path("/run/sshd")
"""Where the sshd of root locks itself in; compiled in, and made by the service of the package, which may not run."""


class Sshd:
    """``with Sshd(directory) as sshd: subprocess.run(sshd.command("true"))``"""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.user = pwd.getpwuid(os.getuid()).pw_name
        for name in ("host_key", "user_key"):
            command = [_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", directory / name]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        self._made_directory = _make_privilege_separation()
        for _attempt in range(5):  # until nobody has taken the port between our look and its bind
            self.port = _free_port()
            self._process = self._start()
            if self._process.poll() is None:
                return
        raise AssertionError(f"sshd does not start:\n{self.said()}")

    def command(self, *words: str, options: tuple[str, ...] = ()) -> list[str]:
        """The command line of ssh that runs *words* there."""
        quiet = ["-q", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]
        keys = [
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "IdentitiesOnly=yes",
            "-i",
            self.directory / "user_key",
        ]
        where = ["-p", self.port, f"{self.user}@127.0.0.1"]
        return [_program("ssh"), *map(str, [*quiet, *keys, *options, *where, *words])]

    def sessions(self) -> list[int]:
        """The pids of its sessions."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def said(self) -> str:
        """Its log."""
        return (self.directory / "sshd.log").read_text(errors="replace")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._made_directory:
            with contextlib.suppress(OSError):  # somebody else uses it by now
                PRIVILEGE_SEPARATION.rmdir()

    def __enter__(self) -> Sshd:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.close()

    def _start(self) -> subprocess.Popen[bytes]:
        config = self.directory / "sshd_config"
        # Without PAM nothing of the machine's own rules is in the way; but then a locked password shuts root out.
        use_pam = "yes" if _is_locked(self.user) else "no"
        config.write_text(CONFIG.format(port=self.port, directory=self.directory, use_pam=use_pam))
        with open(self.directory / "sshd.log", "ab") as log:
            process = subprocess.Popen(
                [_program("sshd"), "-D", "-e", "-f", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        eventually(lambda: process.poll() is not None or self._listens())
        return process

    def _listens(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
                return sock.recv(4) == b"SSH-"
        except OSError:
            return False


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    assert found, f"{name} is missing: {REMEDY}"
    return found


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _make_privilege_separation() -> bool:
    if os.getuid() != 0 or PRIVILEGE_SEPARATION.exists():
        return False
    PRIVILEGE_SEPARATION.mkdir(mode=0o755)
    return True


def _is_locked(user: str) -> bool:
    if os.getuid() != 0:
        return False
    entries = (line.split(":") for line in Path("/etc/shadow").read_text().splitlines())
    return any(name == user and password.startswith("!") for name, password, *_ in entries)
