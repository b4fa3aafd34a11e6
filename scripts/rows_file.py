"""Figures of finished trainings in one JSON file, to which several processes add rows."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcuformer.files.atomic import atomic_file, check_file
from mcuformer.files.kept import read_json

Row = dict[str, Any]
NUMBER = (int, float)


@dataclass(frozen=True)
class RowsFile:
    """`fields`: what every row has, and of which types; `key`: the fields that say which figure it is."""

    path: Path
    fields: Mapping[str, tuple[type, ...]]
    key: Sequence[str]

    def check(self) -> None:
        """UsageError before the training, where its figures could not be written."""
        check_file(self.path)
        self.read()

    def read(self) -> list[Row]:
        """UsageError for a file of anything else."""
        if not self.path.exists():
            return []
        return read_json(self.path, self._rows, "restore it, or name another file with --rows")

    def add(self, rows: Sequence[Row]) -> list[Row]:
        """All rows, those of other processes among them; of two with one key the first stays."""
        with _alone(self.path.parent):
            merged = {self._key(r): r for r in self.read()}
            for row in rows:
                merged.setdefault(self._key(row), row)
            found = [*merged.values()]
            with atomic_file(self.path) as part:
                part.write_text(json.dumps(found, indent=1))
        return found

    def _key(self, row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in self.key)

    def _rows(self, document: Any) -> list[Row]:
        if not isinstance(document, list):
            raise ValueError("no list of rows")
        for number, row in enumerate(document):
            if not isinstance(row, dict) or not row.keys() >= self.fields.keys():
                raise ValueError(f"row {number} has not {', '.join(self.fields)}")
            if wrong := [n for n, kinds in self.fields.items() if not isinstance(row[n], kinds)]:
                raise ValueError(f"{wrong[0]} of row {number} is {row[wrong[0]]!r}")
        return document


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process is in this block for the same folder; nothing is left there."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
