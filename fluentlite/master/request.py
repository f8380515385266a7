"""What can be asked of a master, and how it is written."""

from __future__ import annotations

import json

COMMANDS = ("status", "reload", "stop")
FOR_OWNER = ("reload", "stop")
"""Commands of our owner and root alone."""

REMEDY = 'Send one line such as {"command": "status"}.'


def problem(text: str) -> dict[str, object]:
    """Return the answer to what cannot be done; *text* names object, reason and remedy."""
    return {"ok": False, "problems": [text]}


def command_of(request: bytes) -> str:
    """
    Return the command that *request*, one line of JSON, asks for.

    Raises:
        ValueError: It is none, or no command that we know; with what to say of it.
    """
    try:
        asked = json.loads(request)
    except (ValueError, RecursionError) as exc:
        raise ValueError(f"the request is no JSON. {REMEDY}") from exc
    command = asked.get("command") if isinstance(asked, dict) else None
    if not isinstance(command, str):
        raise ValueError(f"the request names no command. {REMEDY}")
    if command not in COMMANDS:
        raise ValueError(f"there is no command {command[:40]!r}. Known are: {', '.join(COMMANDS)}.")
    return command
