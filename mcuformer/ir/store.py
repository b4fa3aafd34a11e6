"""Graphs on disk: one .npz with the arrays and a JSON text that describes the rest. No pickle.

`compile` leaves the integer graph beside the C that was made from it; `run` and `validate` read it.
The same graph gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UsageError
from mcuformer.files.kept import making_sense_of
from mcuformer.files.npz import save_arrays
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import QParams, TensorType, Value

_FORMAT = 1
_PLAIN = (str, int, type(None), float, bool)


def save_graph(graph: Graph, path: Path) -> None:
    """Write `graph` to `path` (uncompressed: weights do not shrink)."""
    arrays: dict[str, NDArray] = {}
    text = json.dumps(_plain(_fields(graph), arrays), sort_keys=True, separators=(",", ":"))
    arrays["graph.json"] = np.frombuffer(text.encode(), np.uint8)
    with path.open("wb") as file:
        save_arrays(file, arrays)


def load_graph(path: Path) -> Graph:
    """Read what `save_graph` wrote; UsageError when the file is missing or damaged."""
    if not path.is_file():
        raise UsageError(f"{path} is missing", "compile the model again")
    with making_sense_of(path, "compile the model again"):
        with np.load(path, allow_pickle=False) as arrays:
            fields = _rebuilt(json.loads(bytes(arrays["graph.json"]).decode()), arrays)
        if fields["format"] != _FORMAT:
            raise ValueError(f"format {fields['format']}, this version reads {_FORMAT}")
        return _graph(fields)


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


def _plain(item: Any, arrays: dict[str, NDArray]) -> Any:
    """JSON for `item`; an array moves to `arrays`. Tuples and arrays are told apart from lists."""
    if isinstance(item, np.ndarray):
        arrays[f"a{len(arrays)}"] = item
        return {"$array": len(arrays) - 1}
    if isinstance(item, np.generic):
        return item.item()
    if isinstance(item, tuple):
        return {"$tuple": _all_plain(item, arrays)}
    if isinstance(item, list):
        return _all_plain(item, arrays)
    if isinstance(item, dict):
        return {"$dict": [_all_plain(pair, arrays) for pair in item.items()]}
    if isinstance(item, _PLAIN):
        return item
    raise TypeError(f"a graph cannot hold a {type(item).__name__}")


def _all_plain(items: Iterable[Any], arrays: dict[str, NDArray]) -> list[Any]:
    return [x if type(x) in _PLAIN else _plain(x, arrays) for x in items]


def _rebuilt(item: Any, arrays: Any) -> Any:
    if isinstance(item, list):
        return [_rebuilt(x, arrays) for x in item]
    if not isinstance(item, dict):
        return item
    ((tag, body),) = item.items()
    if tag == "$array":
        return arrays[f"a{body}"]
    if tag == "$tuple":
        return tuple(_rebuilt(x, arrays) for x in body)
    return {_rebuilt(k, arrays): _rebuilt(v, arrays) for k, v in body}
