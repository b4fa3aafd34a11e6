"""Files that an earlier command left: they make sense as a whole, or are refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mcuformer.errors import McuformerError, UsageError
from mcuformer.util.names import printable

T = TypeVar("T")
DAMAGED = "damaged, or of another kind"


@contextmanager
def making_sense_of(path: Path, todo: str, what: str = DAMAGED) -> Iterator[None]:
    """Whatever the block cannot make of `path` is a UsageError: it is `what`, and `todo`.

    Parsers raise what they like on a file that was cut or overwritten. What the system says of the
    disk (it has an errno) stays as it is.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        said = error.message if isinstance(error, McuformerError) else str(error)
        first = (said.strip().splitlines() or [""])[0].split(". ")[0]
        why = printable(first, 200) or type(error).__name__
        raise UsageError(f"{path} is {what}: {why}", todo) from error


def read_json(path: Path, parse: Callable[[Any], T], todo: str, what: str = DAMAGED) -> T:
    """What `parse` makes of the document in `path`."""
    content = path.read_bytes()
    with making_sense_of(path, todo, what):
        return parse(json.loads(content.decode("utf-8")))
