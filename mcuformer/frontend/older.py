"""A node of an opset from 7 to 17 as today's ONNX writes it: attributes become inputs, defaults are said.

`onnx.version_converter` knows most of this, but loses names, metadata and external data, refuses a file
for one node that it does not know, and trusts what it reads. Readers of attributes that became inputs and
mean the same (axes, split) take both, so they are not here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op

Gained = dict[str, NDArray]
_FLOAT_MAX = float(np.finfo(np.float32).max)
_SAMPLED_10: Mapping[str, str] = {
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "simple",
}


def modern(op: Op, opset: int) -> tuple[Op, Gained]:
    """`op`, read at `opset`, and the constants that it gains, by names of their own."""
    found = _CHANGES.get(op.kind)
    if found is None or opset >= found[0]:
        return op, {}
    return found[1](op, opset)


def _with_inputs(op: Op, first: int, arrays: Mapping[str, NDArray | None]) -> tuple[Op, Gained]:
    """Operand `first` and those behind it hold `arrays`; attributes of these names go."""
    inputs = [*op.inputs[:first], *[None] * (first - len(op.inputs))]
    made: Gained = {}
    for what, array in arrays.items():
        name = None if array is None else f"\0{op.outputs[0]}.{what}"
        if name is not None and array is not None:
            made[name] = array
        inputs.append(name)
    attrs = {k: v for k, v in op.attrs.items() if k not in arrays}
    return op.replace(inputs=tuple(inputs), attrs=attrs), made


def _ints(op: Op, name: str) -> NDArray | None:
    value = op.attrs.get(name)
    return None if value is None else np.asarray(value, np.int64)


def _clip(op: Op, opset: int) -> tuple[Op, Gained]:
    """Until 10; a bound at the end of float32 is none."""
    low, high = float(op.attrs.get("min", -_FLOAT_MAX)), float(op.attrs.get("max", _FLOAT_MAX))
    bounds = {
        "min": None if low <= -_FLOAT_MAX else np.asarray(low, np.float32),
        "max": None if high >= _FLOAT_MAX else np.asarray(high, np.float32),
    }
    return _with_inputs(op, 1, bounds)


def _pad(op: Op, opset: int) -> tuple[Op, Gained]:
    """Until 10."""
    value = np.asarray(op.attrs.get("value", 0.0), np.float32)
    return _with_inputs(op, 1, {"pads": _ints(op, "pads"), "value": value})


def _slice(op: Op, opset: int) -> tuple[Op, Gained]:
    """Until 9."""
    return _with_inputs(op, 1, {name: _ints(op, name) for name in ("starts", "ends", "axes")})


def _top_k(op: Op, opset: int) -> tuple[Op, Gained]:
    """Until 9."""
    k = _ints(op, "k")
    return _with_inputs(op, 1, {"k": None if k is None else k.reshape(1)})


def _upsample(op: Op, opset: int) -> tuple[Op, Gained]:
    """Until 9: scales an attribute in 7, an input in 9."""
    resize = op.replace(kind="Resize", attrs={**op.attrs, **_SAMPLED_10})
    if "scales" not in op.attrs:
        return resize.replace(inputs=(op.inputs[0], None, *op.inputs[1:])), {}
    scales = np.asarray(op.attrs["scales"], np.float32)
    return _with_inputs(resize, 1, {"roi": None, "scales": scales})


def _resize(op: Op, opset: int) -> tuple[Op, Gained]:
    """Of 10: no choice of coordinates, scales the second input."""
    if opset > 10:
        return op, {}
    inputs = (op.inputs[0], None, *op.inputs[1:])
    return op.replace(inputs=inputs, attrs={**op.attrs, **_SAMPLED_10}), {}


def _softmax(op: Op, opset: int) -> tuple[Op, Gained]:
    """Until 12: over all axes from `axis` on, as if they were one (`passes/joined_axes.py`)."""
    return op.replace(attrs={**op.attrs, "axis": op.attrs.get("axis", 1), "joined": True}), {}


def _batchnorm(op: Op, opset: int) -> tuple[Op, Gained]:
    """Until 8 spatial=0 meant statistics of every element."""
    if op.attrs.get("spatial", 1):
        return op, {}
    reason = (
        "looked for statistics per channel, found some per element (spatial=0): Mul and Add work"
    )
    return op.replace(attrs={**op.attrs, "error": reason}), {}


def _scatter(op: Op, opset: int) -> tuple[Op, Gained]:
    """The name that 11 changed."""
    return op.replace(kind="ScatterElements"), {}


# kind -> the first opset that writes it as we read it
_CHANGES: Mapping[str, tuple[int, Callable[[Op, int], tuple[Op, Gained]]]] = {
    "Clip": (11, _clip), "Pad": (11, _pad), "Slice": (10, _slice), "TopK": (10, _top_k),
    "Upsample": (99, _upsample), "Resize": (11, _resize), "BatchNormalization": (9, _batchnorm),
    "Softmax": (13, _softmax), "LogSoftmax": (13, _softmax), "Hardmax": (13, _softmax),
    "Scatter": (99, _scatter),
}  # fmt: skip
