"""How a connection ended, as far as that says something about what was on its way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ending:
    """
    How an established connection ended.

    Attributes:
        begun: Id of the last chunk of which the kernel took something.
        is_answer: The server closed or reset it, or an ack was overdue: what a server does that refuses a chunk. Not
            so if the network failed, if the server took no bytes or sent nonsense.
        is_silence: An ack was overdue.
        reason: Of its end.
    """

    begun: str
    is_answer: bool
    is_silence: bool
    reason: str
