"""What the header says of every input and output: macros, and how to fill or to read the bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mcuformer.codegen.labels import c_string, labels_of
from mcuformer.codegen.lines import wrapped
from mcuformer.ir.types import DTYPES, QParams, TensorType
from mcuformer.program.program import IoTensor, Program
from mcuformer.util.names import c_comment

CTYPES: Mapping[str, str] = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t"}
_FEW = 8  # numbers that a comment lists

Role = Literal["input", "output"]


@dataclass(frozen=True, slots=True)
class TensorPort:
    """An input or output: `macros` by name behind `<NAME>_INPUT_<i>_`, `comment` in lines."""

    role: Role
    index: int
    tensor: IoTensor
    macros: Mapping[str, str]
    comment: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Labels:
    """Of the classes that output `output` scores; `strings` are C literals."""

    output: int
    strings: tuple[str, ...]


def ports(program: Program, macro: str) -> tuple[list[TensorPort], list[TensorPort]]:
    """Inputs and outputs in order; `macro` is the prefix of the model's macros."""
    found: dict[str, list[TensorPort]] = {"input": [], "output": []}
    roles: tuple[tuple[Role, Sequence[IoTensor]], ...] = (
        ("input", program.inputs),
        ("output", program.outputs),
    )
    for role, tensors in roles:
        for i, tensor in enumerate(tensors):
            type_ = program.graph.type(tensor.value)
            name = _onnx_name(program, role, i, tensor.value)
            lines = (
                *_head(program, role, i, name, type_),
                *_values(program, macro, role, i, type_),
            )
            comment = tuple(line for sentence in lines for line in wrapped(sentence))
            leaves = role == "output" and tensor.buffer is None
            macros = _macros(name, tensor, type_, leaves)
            found[role].append(TensorPort(role, i, tensor, macros, comment))
    return found["input"], found["output"]


def labels(program: Program) -> Labels | None:
    """The labels in the model's metadata, where an output has as many scores."""
    metadata = program.graph.meta.get("metadata_props", {})
    for i, tensor in enumerate(program.outputs):
        found = labels_of(metadata, program.graph.type(tensor.value).shape[-1])
        if found is not None:
            return Labels(i, tuple(map(c_string, found)))
    return None


def _macros(name: str, tensor: IoTensor, type_: TensorType, leaves: bool) -> dict[str, str]:
    shape = type_.shape
    table = {
        "NAME": c_string(name),
        "TYPE": CTYPES[type_.dtype],
        "SHAPE": f'"{"x".join(map(str, shape))}"',
        "RANK": str(len(shape)),
        "DIMS": ", ".join(map(str, shape)),
        "LAYOUT": f'"{layout(shape)}"',
        "COUNT": str(math.prod(shape)),
        "BYTES": str(tensor.size_bytes),
        "LINES": str(tensor.lines),
        "LINE_BYTES": str(tensor.line_bytes),
    }
    if leaves:
        table["FIRST_LINE"] = str(tensor.first_line)
    return table | grid_macros(type_)


def grid_macros(type_: TensorType) -> dict[str, str]:
    """Scale and zero point, where there are any."""
    if type_.qparams is None:
        return {}
    scale = _numbers("SCALE", type_.qparams.scale, float_always=True)
    return scale | _numbers("ZERO_POINT", type_.qparams.zero_point, float_always=False)


def layout(shape: Sequence[int]) -> str:
    """Names of the axes: image lines, token rows, or values."""
    return {3: "HWC", 2: "TC"}.get(len(shape), "C" if len(shape) == 1 else "")


def _numbers(name: str, values: NDArray, float_always: bool) -> dict[str, str]:
    """One number for all channels, or `<name>S` with one for each."""
    unique = np.unique(values)
    plain = not float_always and all(float(v).is_integer() for v in unique)
    texts = [str(int(v)) if plain else _literal(float(v)) for v in np.reshape(values, -1)]
    return {name: texts[0]} if unique.size == 1 else {f"{name}S": ", ".join(texts)}


def _literal(value: float) -> str:
    text = f"{value:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def _head(program: Program, role: Role, i: int, name: str, type_: TensorType) -> Iterator[str]:
    shape = "x".join(map(str, type_.shape))
    yield f"{role.capitalize()} {i}, {c_comment(name, 40)}: {type_.dtype} {shape}, {_axes(role, type_)}."
    onnx = _onnx_shape(program, role, i)
    if onnx is not None:
        yield f"The ONNX {role} is [{', '.join(map(str, onnx))}]{_moved(onnx, type_.shape)}."
    if role == "input" and i == 0 and program.input_mode == "bands":
        yield "Its lines are pulled through read; input(0) is NULL."
    if role == "input" and i == 0 and program.input_mode == "flash":
        yield "It is read where it lies, at ctx of invoke; input(0) is NULL."
    if role == "output" and program.outputs[i].buffer is None:
        yield f"Its lines are given to write, from number FIRST_LINE on; output({i}) is NULL."


def _axes(role: Role, type_: TensorType) -> str:
    if len(type_.shape) == 3:
        channels = type_.shape[2]
        known = {1: "one channel", 3: "RGB order"} if role == "input" else {}
        return f"HWC: lines of pixels, {known.get(channels, f'{channels} channels each')}"
    if len(type_.shape) == 2 and type_.shape[0] > 1:
        return f"TC: {type_.shape[0]} rows of {type_.shape[1]} channels"
    return f"{type_.shape[-1]} values"


def _moved(onnx: Sequence[int], shape: Sequence[int]) -> str:
    channels_first = len(onnx) == 4 and len(shape) == 3 and onnx[1] == shape[2]
    return ", channels first" if channels_first else ""


def _values(program: Program, macro: str, role: Role, i: int, type_: TensorType) -> Iterator[str]:
    q = type_.qparams
    if q is None:
        return
    prefix = f"{macro}_{role.upper()}_{i}"
    pixels = _folded(program, i, type_) if role == "input" else None
    if pixels is not None:
        yield "Raw pixels 0 to 255 as a camera gives them: write them as they are. Folded into the"
        yield f"weights are mean {_few(pixels[0])} and std {_few(pixels[1])} of pixels over 0..1."
    yield "real = SCALE * (q - ZERO_POINT)" + _per_channel(q)
    if role == "input" and pixels is None:
        yield "To fill it from real numbers x:"
        yield "  " + _formula(prefix, type_)


def _per_channel(q: QParams) -> str:
    many = [n for n, v in (("SCALES", q.scale), ("ZERO_POINTS", q.zero_point)) if _differs(v)]
    return f"; the numbers differ by channel (last axis): {' and '.join(many)}." if many else "."


def _formula(prefix: str, type_: TensorType) -> str:
    """Round half up and saturate, as QParams.quantise does."""
    assert type_.qparams is not None
    info, ctype = np.iinfo(DTYPES[type_.dtype]), CTYPES[type_.dtype]
    scale, zero = (
        f"{name}S[c]" if _differs(values) else name
        for name, values in (
            ("SCALE", type_.qparams.scale),
            ("ZERO_POINT", type_.qparams.zero_point),
        )
    )
    if scale != "SCALE" or zero != "ZERO_POINT":
        prefix = ""  # tables: the caller makes arrays of the macros
    inner = f"floorf(x / {_joined(prefix, scale)} + {_joined(prefix, zero)} + 0.5f)"
    return f"q = ({ctype})fminf(fmaxf({inner}, {info.min}), {info.max});"


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}_{name}" if prefix else name


def _differs(values: NDArray) -> bool:
    return np.unique(values).size > 1


def _folded(
    program: Program, i: int, type_: TensorType
) -> tuple[Sequence[float], Sequence[float]] | None:
    """Mean and std that make raw uint8 pixels of input `i`'s numbers."""
    meta, q = program.graph.meta, type_.qparams
    known: Sequence[Any] = meta.get("normalisations", ())
    if i >= len(known) or known[i] is None or q is None or type_.dtype != "uint8":
        return None
    mean, std = (np.asarray(v, float) for v in known[i])
    same = np.allclose(q.scale * 255 * std, 1) and np.allclose(q.zero_point, 255 * mean)
    return (list(mean), list(std)) if same else None


def _few(values: Sequence[float]) -> str:
    if len(set(values)) == 1:
        return f"{values[0]:g}"
    shown = ", ".join(f"{v:g}" for v in values[:_FEW])
    return f"{shown}{', ...' if len(values) > _FEW else ''} (by channel)"


def _onnx_name(program: Program, role: Role, i: int, value: str) -> str:
    names: Sequence[Any] = program.graph.meta.get(f"{role}_names", ())
    return str(names[i]) if i < len(names) else value


def _onnx_shape(program: Program, role: Role, i: int) -> Sequence[int] | None:
    meta = program.graph.meta
    shapes = meta.get(f"{role}_shapes") or [meta[f"{role}_shape"]] * (f"{role}_shape" in meta)
    return shapes[i] if i < len(shapes) else None
