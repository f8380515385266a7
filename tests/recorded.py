"""Recorded conversations of Fluentd 1.16.9 and Fluent Bit 5.1.1 with servers of their own kind, byte for byte."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

DIRECTORY = Path(__file__).parent / "wire" / "vectors"

SHARED_KEY = "correct horse battery staple"
CLIENT_HOSTNAME = "web1.example"
SERVER_HOSTNAME = "aggregator.example"
USERNAME = "alice"
PASSWORDS = {"fluentd-handshake-user-auth": "wonder land", "fluentbit-handshake-user-auth": "wonder"}

NAMES = sorted(path.stem for path in DIRECTORY.glob("*.json"))


@dataclass(frozen=True)
class Conversation:
    """What one file holds: ``("client" or "server", bytes)`` in the order in which they were sent."""

    name: str
    turns: list[tuple[str, bytes]]

    def sent_by(self, side: str) -> bytes:
        """Everything that *side* sent, joined."""
        return b"".join(data for who, data in self.turns if who == side)

    def message(self, index: int) -> Any:
        """The turn at *index*, decoded; strings stay bytes."""
        return msgpack.unpackb(self.turns[index][1], raw=True)


def load(name: str) -> Conversation:
    """Read the file ``NAME.json``."""
    recorded = json.loads((DIRECTORY / f"{name}.json").read_text())
    return Conversation(
        name, [(turn["from"], bytes.fromhex(turn["hex"])) for turn in recorded["conversation"]]
    )
