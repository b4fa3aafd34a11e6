"""The assignment of a network that was trained under rounding, kept as text in its model file.

Training fixed every scale and zero point; calibrating anew would move them and with them the grid
on which the weights lie.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import astuple
from typing import Any

import numpy as np

from mcuformer.errors import UsageError
from mcuformer.ir.graph import Graph
from mcuformer.ir.types import QParams
from mcuformer.quant.assignment import Assignment
from mcuformer.quant.attention_scales import Magnitudes
from mcuformer.quant.policy import policies

ROUNDED = "mcuformer.rounded"  # keys .0, .1, ... in the ONNX metadata
_PIECE = 9_000  # characters: the frontend cuts longer entries


def given(graph: Graph, mode: str, bits: Mapping[str, int], layers: Iterable[str]) -> str | None:
    """The text in a model file that has one for these activations and weights (`bits` of `layers`).

    Weights that were trained with it are to be found again, not refined.
    """
    notes = graph.meta.get("metadata_props", {})
    pieces = itertools.takewhile(bool, (notes.get(f"{ROUNDED}.{i}") for i in itertools.count()))
    text = "".join(pieces)
    asked = {bits.get(name, 8) for name in layers}
    return text if mode == "8" and asked == {_weight_bits(text)} else None


def _weight_bits(text: str) -> int | None:
    found = re.match(r'\{"weight_bits":(\d+)', text)
    return None if found is None else int(found[1])


def notes_of(text: str) -> dict[str, str]:
    """`text` as entries of a model's metadata."""
    starts = range(0, len(text), _PIECE)
    return {f"{ROUNDED}.{i}": text[at : at + _PIECE] for i, at in enumerate(starts)}


def stored(plan: Assignment, bits: int) -> str:
    """JSON; numbers come back bit for bit. `bits` of all weights."""
    table: dict[str, Any] = {
        "weight_bits": bits,
        "values": {
            name: [plan.dtypes[name], _list(q.scale), _list(q.zero_point)]
            for name, q in plan.qparams.items()
        },
        "multiples": {name: _list(v) for name, v in plan.multiples.items()},
        "ratios": {name: _list(v) for name, v in plan.ratios.items()},
        "limits": {name: list(astuple(v)) for name, v in plan.limits.items()},
    }
    return json.dumps(table, separators=(",", ":"))


def restored(graph: Graph, text: str) -> Assignment:
    """Of the prepared `graph`; UsageError where the text is of another one."""
    wanted = {name for name, v in graph.values.items() if not v.is_const}
    try:
        table = json.loads(text)
        values = {n: (d, np.array(s), np.array(z)) for n, (d, s, z) in table["values"].items()}
        plan = Assignment(
            policies(graph, "8"),
            {n: QParams(s, z) for n, (_, s, z) in values.items()},
            {n: d for n, (d, _, _) in values.items()},
            {n: np.array(v, np.int64) for n, v in table["multiples"].items()},
            {n: np.array(v) for n, v in table["ratios"].items()},
            {n: Magnitudes(*v) for n, v in table["limits"].items()},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{ROUNDED} in the model's metadata is damaged: {error}") from error
    if missing := sorted(wanted - set(plan.qparams)):
        raise UsageError(
            f"{ROUNDED} in the model's metadata is of another network: no {missing[0]}",
            "export the network again with mcuformer export",
        )
    return plan


def _list(values: Any) -> Any:
    return np.asarray(values).tolist()
