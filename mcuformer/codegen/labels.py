"""Class labels out of an ONNX file's metadata, as C strings."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

KEYS = ("labels", "classes", "names", "id2label")
_LONGEST_BYTES = 200  # of one label


def labels_of(metadata: Mapping[str, str], count: int) -> tuple[str, ...] | None:
    """`count` labels, or None where no key of KEYS holds so many.

    A value is a JSON or Python list, a dict of index to label, or words between commas.
    """
    for key in KEYS:
        for name, text in metadata.items():
            if name.lower().split(".")[-1] == key:
                found = _listed(_parsed(str(text)))
                if found is not None and len(found) == count:
                    return found
    return None


def c_string(text: str) -> str:
    """A C string literal: UTF-8, everything that is not plain ASCII as octal escapes."""
    raw = text.encode("utf-8", "replace")[:_LONGEST_BYTES]
    return '"' + "".join(_escaped(byte) for byte in _whole(raw)) + '"'


def _whole(raw: bytes) -> bytes:
    """Without a character that was cut in two at the end."""
    return raw.decode("utf-8", "ignore").encode()


def _escaped(byte: int) -> str:
    # "?" too: two of them would begin a trigraph
    plain = 0x20 <= byte < 0x7F and chr(byte) not in '"\\?'
    return chr(byte) if plain else f"\\{byte:03o}"


def _parsed(text: str) -> Any:
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return [word.strip() for word in text.split(",")]


def _listed(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, dict):
        try:
            value = {int(key): label for key, label in value.items()}
        except (TypeError, ValueError):
            return None
        if sorted(value) != list(range(len(value))):
            return None
        value = [value[i] for i in range(len(value))]
    if not isinstance(value, list | tuple):
        return None
    return tuple(map(str, value)) if all(isinstance(v, str | int | float) for v in value) else None
