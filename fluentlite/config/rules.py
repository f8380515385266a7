"""Rules that look at several keys, or at several logs, at once."""

from __future__ import annotations

import os
from collections.abc import Sequence

from fluentlite.config import schema
from fluentlite.config.problems import Place, Problems, quoted
from fluentlite.config.tables import INVALID, Found, Given

_NAMED_AT_MOST = 3

_TOGETHER = (
    ("forward.security.username", "forward.security.password"),
    ("forward.security.password", "forward.security.username"),
    ("forward.tls.cert_file", "forward.tls.key_file"),
    ("forward.tls.key_file", "forward.tls.cert_file"),
)
"""(present, absent): a contradiction, as each is of no use alone."""


def check_nothing_missing(logs: Sequence[Found], path: str, problems: Problems) -> None:
    """There is a log, each has a server, and each optional table that is there has its required keys."""
    if not logs:
        problems.add(
            path, "there is no [[log]], so nothing would be followed. Add one, with its tag and its path."
        )
    without_server = [
        found["log"].place.table for found in logs if not found.keys() & {"forward.primary", "forward"}
    ]
    if without_server:
        problems.add(
            Place(path, "[forward]"),
            f"primary is missing, so {_listed(without_server)} would have nowhere to send to. Add a line such as "
            'primary = ["fluentd.example:24224"].',
        )
    for found in logs:
        for table in schema.OPTIONAL:
            _check_required(table, found, problems)


def check_combinations(found: Found, problems: Problems) -> None:
    """No two values contradict each other. *found* is what holds for one log."""
    if _value(found, "forward.format") == "json" and _value(found, "forward.compress") == "gzip":
        place = _nearest(found["forward.format"], found["forward.compress"])
        problems.add(
            place,
            f'{place.prefix}format = "json" does not go with {place.prefix}compress = "gzip": no server reads '
            "compressed JSON. Remove one of the two.",
        )
    if _value(found, "forward.format") == "json" and _is_given(found, "forward.security.shared_key"):
        place = _nearest(found["forward.format"], found["forward.security.shared_key"])
        problems.add(
            place,
            f'{place.prefix}format = "json" does not go with {place.prefix}security: the handshake is msgpack, and a '
            "connection speaks one of the two. Remove one of them.",
        )
    for present, absent in _TOGETHER:
        if _is_given(found, present) and not _is_given(found, absent):
            place = found[present].place
            there, missing = (place.prefix + target.rpartition(".")[2] for target in (present, absent))
            problems.add(place, f"{there} is given without {missing}. Add {missing}, or remove {there}.")


def check_files(logs: Sequence[Found], log_file: str, problems: Problems) -> None:
    """No file is followed twice, under whatever names, and nobody follows the agent's own log."""
    own = identities(log_file)
    seen: dict[object, Found] = {}
    for found in logs:
        path, place = _value(found, "path"), found["log"].place
        if not isinstance(path, str):
            continue
        names = identities(path)
        if not names.isdisjoint(own):
            problems.add(
                place,
                f"path = {quoted(path)} is the log of fluentlite itself (log_file = {quoted(log_file)}), and "
                "following it would never end. Remove this [[log]], or set another log_file in [master].",
            )
        for other in [seen[name] for name in names if name in seen][:1]:
            problems.add(
                place,
                f"path = {quoted(path)} {_already(path, other, place)}; each line would be sent twice. "
                "Remove one of the two [[log]] tables.",
            )
        seen |= dict.fromkeys(names - seen.keys(), found)


def identities(path: str) -> set[object]:
    """
    What *path* is known by: its name without symbolic links and, where it exists, (device, inode).

    Two paths whose sets share an element are one file.
    """
    names: set[object] = {os.path.realpath(path)}
    try:
        status = os.stat(path)
    except OSError:
        return names  # not there yet, or not ours to see: only its name can tell
    return names | {(status.st_dev, status.st_ino)}


def log_file_of(shared: Found) -> str:
    """The agent's own log, as configured."""
    return str(_value(shared, "master.log_file") or schema.KEYS["master.log_file"].default)


def _already(path: str, other: Found, place: Place) -> str:
    """Who follows the file at *path* already, and under what name."""
    where = other["log"].place
    whom = where.table if where.file == place.file else where
    other_path = str(other["path"].value)
    if path == other_path:
        return f"is also the path of {whom}"
    return f"is the same file as {quoted(other_path)}, the path of {whom}"


def _check_required(table: schema.Table, found: Found, problems: Problems) -> None:
    marker = found.get(table.name)
    if marker is None or marker.value is not True:
        return
    for key in table.keys.values():
        if key.default is schema.REQUIRED and key.target not in found:
            name = marker.place.prefix + key.name
            problems.add(marker.place, f'{name} is missing. Add a line such as {name} = "...".')


def _value(found: Found, target: str) -> object:
    """None where nothing valid was given."""
    given = found.get(target)
    return None if given is None or given.value is INVALID else given.value


def _is_given(found: Found, target: str) -> bool:
    """Also when what was given is invalid; an empty text is the same as nothing."""
    return target in found and bool(found[target].value)


def _nearest(first: Given, second: Given) -> Place:
    """The place that is the log's own, if one of them is."""
    return second.place if second.place.prefix else first.place


def _listed(places: Sequence[str]) -> str:
    more = len(places) - _NAMED_AT_MOST
    return ", ".join(places[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
