"""Graphs on disk: one .npz with the arrays and a JSON text that describes the rest. No pickle.

`compile` leaves the integer graph beside the C that was made from it; `run` and `validate` read it.
The same graph gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UsageError
from mcuformer.files.kept import making_sense_of
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import QParams, TensorType, Value

_FORMAT = 2
_NUMERIC = "biuf"  # kinds of dtypes
_PLAIN = (str, int, type(None), float, bool)


def save_graph(graph: Graph, path: Path) -> None:
    """Write `graph` to `path` (uncompressed: weights do not shrink)."""
    numbers = _Numbers()
    text = json.dumps(_plain(_fields(graph), numbers), sort_keys=True, separators=(",", ":"))
    parts = {"graph.json": text.encode(), "numbers": b"".join(numbers.parts)}
    with path.open("wb") as file:
        np.savez(file, **{n: np.frombuffer(data, np.uint8) for n, data in parts.items()})  # type: ignore[arg-type]


def load_graph(path: Path) -> Graph:
    """Read what `save_graph` wrote; UsageError when the file is missing or damaged."""
    if not path.is_file():
        raise UsageError(f"{path} is missing", "compile the model again")
    with (
        making_sense_of(path, "compile the model again"),
        np.load(path, allow_pickle=False) as arrays,
    ):
        fields = json.loads(bytes(arrays["graph.json"]).decode())
        found = dict(pair for pair in fields["$dict"] if pair[0] == "format")
        if found.get("format") != _FORMAT:
            raise ValueError(f"format {found.get('format')}, this version reads {_FORMAT}")
        return _graph(_rebuilt(fields, arrays["numbers"]))


@dataclass(slots=True)
class _Numbers:
    """All arrays behind each other, each at a multiple of 8 bytes: a member of the archive for each, of
    which most hold a few numbers, takes most of the time of writing."""

    parts: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, array: NDArray) -> list[Any]:
        """[type, shape, first byte] of its copy."""
        if array.dtype.kind not in _NUMERIC:
            raise TypeError(f"a graph cannot hold arrays of {array.dtype}")
        data = array.tobytes()
        at, pad = self.size, -len(data) % 8
        self.parts += [data, b"\0" * pad]
        self.size += len(data) + pad
        return [array.dtype.str, list(array.shape), at]


def _fields(graph: Graph) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "name": graph.name,
        "stage": graph.stage,
        "inputs": graph.inputs,
        "outputs": graph.outputs,
        "meta": dict(graph.meta),
        "values": [
            [v.name, v.type.shape, v.type.dtype, _qparams(v.type), v.data]
            for v in graph.values.values()
        ],
        "ops": [[o.kind, o.name, o.inputs, o.outputs, dict(o.attrs), o.origin] for o in graph.ops],
    }


def _qparams(type_: TensorType) -> list[NDArray] | None:
    if type_.qparams is None:
        return None
    return [np.asarray(type_.qparams.scale), np.asarray(type_.qparams.zero_point)]


def _graph(fields: dict[str, Any]) -> Graph:
    values = {
        name: Value(name, TensorType(tuple(shape), dtype, q and QParams(*q)), data)
        for name, shape, dtype, q, data in fields["values"]
    }
    ops = tuple(Op(*entry) for entry in fields["ops"])
    return Graph(
        fields["name"],
        fields["stage"],
        fields["inputs"],
        fields["outputs"],
        ops,
        values,
        fields["meta"],
    )


def _plain(item: Any, numbers: _Numbers) -> Any:
    """JSON for `item`; an array moves to `numbers`. Tuples and arrays are told apart from lists."""
    if isinstance(item, np.ndarray):
        return {"$array": numbers.add(item)}
    if isinstance(item, np.generic):
        return item.item()
    if isinstance(item, tuple):
        return {"$tuple": _all_plain(item, numbers)}
    if isinstance(item, list):
        return _all_plain(item, numbers)
    if isinstance(item, dict):
        return {"$dict": [_all_plain(pair, numbers) for pair in item.items()]}
    if isinstance(item, _PLAIN):
        return item
    raise TypeError(f"a graph cannot hold a {type(item).__name__}")


def _all_plain(items: Iterable[Any], numbers: _Numbers) -> list[Any]:
    return [x if type(x) in _PLAIN else _plain(x, numbers) for x in items]


def _rebuilt(item: Any, numbers: NDArray[np.uint8]) -> Any:
    if isinstance(item, list):
        return [_rebuilt(x, numbers) for x in item]
    if not isinstance(item, dict):
        return item
    ((tag, body),) = item.items()
    if tag == "$array":
        name, shape, first = body
        dtype = np.dtype(name)
        if dtype.kind not in _NUMERIC:
            raise TypeError(f"arrays of {dtype}")
        return np.ndarray(tuple(shape), dtype, numbers.data, first)
    if tag == "$tuple":
        return tuple(_rebuilt(x, numbers) for x in body)
    return {_rebuilt(k, numbers): _rebuilt(v, numbers) for k, v in body}
