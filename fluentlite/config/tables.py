"""From what TOML says to what is meant: each key looked up, expanded, checked, and put together with the others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fluentlite.config import schema
from fluentlite.config.expand import ExpandError, expand, is_reference
from fluentlite.config.file_kinds import SecretFile
from fluentlite.config.kinds import UnfitError
from fluentlite.config.problems import Place, Problems, did_you_mean, quoted, shown, type_name
from fluentlite.config.schema import Key, Table

_LONGEST_NAME = 80

INVALID = object()
"""The value of a key that was given and refused: nothing else should complain that it is missing."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value and where it was written."""

    value: object
    place: Place


Found = dict[str, Given]
"""
Values by what they set (``forward.primary``). The name of a table itself is INVALID where something else
stands in its place; that of an optional one (``forward.tls``) is True where it was written, False where it
was switched off.
"""


class TableReader:
    """Reads tables; what is wrong goes to *problems*."""

    def __init__(self, environ: Mapping[str, str], problems: Problems) -> None:
        self._environ = environ
        self._problems = problems
        self.files_with_secrets: set[str] = set()
        """Files that hold a secret themselves, not only the name of a variable or of another file."""
        self.named_files: set[str] = set()
        """Files that a key names and that are read: lists of servers, certificates, secrets."""

    def read(self, table: Table, content: Mapping[str, object], place: Place) -> Found:
        """Read *content*, which stands at *place*, as a *table*."""
        found: Found = {}
        for name, value in content.items():
            if name in table.keys:
                self._read_key(table.keys[name], value, place, found)
            elif name in table.tables:
                found |= self._read_inner(table.tables[name], name, value, place)
            else:
                self._problems.add(place, _unknown(table, name, place))
        return found

    def read_log(self, content: Mapping[str, object], file: str, number: int) -> Found:
        """Read the [[log]] that is the *number*-th of *file*."""
        tag = content.get("tag")
        label = f"[[log]] number {number}"
        if isinstance(tag, str):
            label += f" (tag {shown(self._expanded_if_possible(tag))})"
        place = Place(file, label)
        found = {"log": Given(True, place)} | self.read(schema.LOG, content, place)
        for name, example in {"tag": '"nginx.access"', "path": '"/var/log/nginx/access.log"'}.items():
            if name not in found:
                self._problems.add(place, f"{name} is missing. Add a line such as {name} = {example}.")
        return found

    def _read_key(self, key: Key, value: object, place: Place, found: Found) -> None:
        name = place.prefix + key.name
        if key.target in found:
            other = key.target.rpartition(".")[2]
            self._problems.add(
                place, f"{place.prefix}{other} and {place.prefix}{other}_file are both given. Keep one."
            )
        if key.secret and isinstance(value, str) and not is_reference(value):
            self.files_with_secrets.add(place.file)
        is_hidden = key.secret or (isinstance(key.kind, SecretFile) and not key.kind.can_be_shown(value))
        what = name if is_hidden else f"{name} = {shown(value)}"
        found[key.target] = Given(INVALID, place)
        try:
            expanded = self._expanded(value)
            if not is_hidden and shown(expanded) != shown(value):
                what += f", which is {shown(expanded)},"
            if isinstance(key.kind, SecretFile):
                self.files_with_secrets.add(key.kind.path(expanded, place.directory))
            found[key.target] = Given(key.kind.read(expanded, place.directory), place)
            if name.endswith("_file") and name != "log_file" and isinstance(expanded, str) and expanded:
                self.named_files.add(os.path.abspath(os.path.join(place.directory, expanded)))
        except ExpandError as exc:
            self._problems.add(place, f"{what} {exc}")
        except UnfitError as exc:
            for reason in exc.reasons:
                self._problems.add(place, f"{what} {reason}")

    def _read_inner(self, table: Table, name: str, value: object, place: Place) -> Found:
        inner = place.inside(name, table.name)
        if isinstance(value, dict):
            marker = {table.name: Given(True, inner)} if table.optional else {}
            return marker | self.read(table, value, inner)
        if table.optional and value is False:
            return {table.name: Given(False, inner)}
        how = f"{inner.prefix}KEY = ..." if inner.prefix else f"[{table.name}], in single brackets,"
        # Its value stays out of the text: whoever wrote security = "..." wrote the secret there.
        self._problems.add(
            place, f"{place.prefix}{name} is {type_name(value)}, not a table. Write {how} instead."
        )
        return {table.name: Given(INVALID, inner)}

    def _expanded(self, value: object) -> object:
        if isinstance(value, str):
            return expand(value, self._environ)
        if isinstance(value, list):
            return [expand(item, self._environ) if isinstance(item, str) else item for item in value]
        return value

    def _expanded_if_possible(self, text: str) -> str:
        try:
            return expand(text, self._environ)
        except ExpandError:
            return text


def join(parts: Iterable[Found], problems: Problems) -> Found:
    """Put together what several files say; one key set by two of them is a problem."""
    joined: Found = {}
    for part in parts:
        for target, given in part.items():
            before = joined.setdefault(target, given)
            is_table = any(target == table.name for table in schema.OPTIONAL) and before.value is given.value
            if before is not given and not is_table:
                name = target.rpartition(".")[2]
                problems.add(
                    given.place,
                    f"{name} is set in {before.place} as well. Remove it from one of the two files.",
                )
    return joined


def _unknown(table: Table, name: str, place: Place) -> str:
    """Name an unknown key and what was probably meant; never its value, which may be a misspelt secret."""
    what = f"{place.prefix}{quoted(name[:_LONGEST_NAME])[1:-1]} is unknown"
    if table is schema.LOG and name in schema.FORWARD.keys:
        return f"{what} here. In a [[log]], write it as forward.{name}."
    homes = [header for header, keys in schema.HEADERS.items() if name in keys]
    if homes:
        return f"{what} here. It is a key of {' and '.join(homes)}: move it there."
    known = [*table.keys, *table.tables, *(["log"] if table is schema.FILE else [])]
    return f"{what}. {did_you_mean(name, known) or 'Known are ' + ', '.join(known) + '.'}"
