"""What a program sees of each trouble of a line: ``unshare --net python network_child.py`` prints it, as ``test_network`` wants it."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from faults import network
from faults.receptions import Disturbance

_ECHO = """
import socket, sys
server = socket.create_server((sys.argv[1], 7))
print("ready", flush=True)
while True:
    with server.accept()[0] as peer:
        while data := peer.recv(100):
            peer.sendall(data)
"""


def _talk(address: str) -> str:
    """Connect, and send something that has to come back; returns how that went."""
    try:
        with socket.create_connection((address, 7), timeout=1.5) as client:
            client.sendall(b"there?")
            return "well" if client.recv(100) == b"there?" else "ended"
    except OSError as exc:
        return errno.errorcode[exc.errno] if exc.errno else "silence"


def _main() -> None:
    network.set_up()
    notes: list[Disturbance] = []
    line = network.Line(0, "a", notes.append)
    command = [*line.prefix, sys.executable, "-c", _ECHO, line.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        print("before:", _talk(line.address))
        for act in (line.slow, line.cut, line.swallow, line.deafen):
            act()
            print(f"{line.trouble}:", _talk(line.address))
            line.mend()
            print("mended:", _talk(line.address))
        server.kill()
    print([note.what for note in notes])
    line.close()


if __name__ == "__main__":
    _main()
