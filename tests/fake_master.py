"""Something that looks like a master from outside: a locked pid file, and a control socket that answers as it is told."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
from pathlib import Path
from typing import Any


class FakeMaster:
    """
    Args:
        run_dir: Made if it is missing.
        said: The answer to ``status``; None: none, the connection stays open.

    Attributes:
        said: May be changed at any time.
        asked: How many questions have come.
    """

    def __init__(self, run_dir: Path, said: dict[str, Any] | None) -> None:
        run_dir.mkdir(exist_ok=True)
        self.said, self.asked = said, 0
        self.pid_path, self.socket_path = run_dir / "fluentlite.pid", run_dir / "fluentlite.sock"
        self._pid_file = self.pid_path.open("w")
        fcntl.flock(self._pid_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._pid_file.write(f"{os.getpid()}\n")
        self._pid_file.flush()
        self._open: list[socket.socket] = []
        self._thread: threading.Thread | None = None

    def listen(self) -> FakeMaster:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.socket_path))
        self._listener.listen(16)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._listener.accept()
                assert json.loads(connection.recv(4096)) == {"command": "status"}
                self.asked += 1
                if self.said is None:
                    self._open.append(connection)
                    continue
                with connection, contextlib.suppress(OSError):  # whoever asked has gone
                    connection.sendall(json.dumps(self.said).encode() + b"\n")

    def die(self) -> None:
        """Leave everything as it is, as SIGKILL does, but for the lock and the listening."""
        if self._thread is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._thread.join()
            self._listener.close()
            self._thread = None
        for connection in self._open:
            connection.close()
        self._pid_file.close()

    def stop(self) -> None:
        """End as it should be."""
        self.die()
        for path in (self.pid_path, self.socket_path):
            path.unlink(missing_ok=True)
