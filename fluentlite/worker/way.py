"""The names that lead from a path to its file: when one of them changes, the path may lead elsewhere."""

from __future__ import annotations

import os

MOST_LINKS = 40
"""What Linux follows before it says that there are too many (path_resolution(7))."""


def names_on_the_way(path: str) -> dict[str, set[str]]:
    """
    Follow *path*, which is absolute, through its symbolic links.

    Returns:
        Directory -> names in it: the path's own, every link on the way, and the name of what is at its end.
    """
    found: dict[str, set[str]] = {}
    at, links = "/", 0
    todo = path.split("/")[::-1]
    _add(found, path)
    while todo and links < MOST_LINKS:
        name = todo.pop()
        if name == "..":
            at = os.path.dirname(at)
        elif name not in ("", "."):
            here = os.path.join(at, name)
            try:
                target = os.readlink(here)
            except OSError:  # no link, or not there
                at = here
                continue
            _add(found, here)
            links += 1
            at = "/" if target.startswith("/") else at
            todo += target.split("/")[::-1]
    _add(found, at)
    return found


def _add(found: dict[str, set[str]], path: str) -> None:
    directory, name = os.path.split(path)
    found.setdefault(directory, set()).add(name)
