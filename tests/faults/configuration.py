"""The configuration of a daemon, as a file that is written anew before each reload."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Table = dict[str, Any]


@dataclass(slots=True)
class Configuration:
    """
    Attributes:
        path: Of the file.
        logs: Each ``[[log]]``, by the path of the log; keys with a dot belong to another table.
        removed: Those that are not in the file at present.
    """

    path: Path
    master: Table
    forward: Table
    tail: Table
    logs: dict[Path, Table] = field(default_factory=dict)
    removed: set[Path] = field(default_factory=set)

    def write(self) -> None:
        """Put the file in place; at no time is it half there."""
        tables = [("[master]", self.master), ("[forward]", self.forward), ("[tail]", self.tail)]
        tables += [
            ("[[log]]", {"path": str(path)} | table)
            for path, table in self.logs.items()
            if path not in self.removed
        ]
        draft = self.path.with_suffix(".draft")
        draft.write_text("\n".join(_text(header, table) for header, table in tables))
        os.replace(draft, self.path)

    def shape(self, path: Path) -> tuple[str, ...]:
        """Return tag, field and compression of the chunks of the log at *path*."""
        table = self.logs[path]
        compress = table.get("forward.compress", self.forward.get("compress", "none"))
        return table["tag"], table.get("field_name", self.tail.get("field_name", "message")), compress


def _text(header: str, table: Table) -> str:
    # What TOML and JSON have in common is enough: strings, numbers, booleans and lists of them.
    return "\n".join([header, *(f"{key} = {json.dumps(value)}" for key, value in table.items())]) + "\n"
