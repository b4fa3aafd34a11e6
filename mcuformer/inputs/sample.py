"""One sample from the command line: X.npy, an .npz with all inputs, or NAME=X.npy for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UsageError
from mcuformer.inputs.arrays import InputSpec, in_memory, keys_of, read_arrays
from mcuformer.inputs.codec import InputCodec
from mcuformer.inputs.doubts import finite_float32
from mcuformer.util.names import printable

_MOST_BYTES = 1 << 29  # of one input: no microcontroller takes a thousandth of it


def read_sample(codec: InputCodec, given: Sequence[str], raw: bool) -> tuple[NDArray, ...]:
    """Device integers [1, ...] per input; `raw`: the files hold them, else what the model takes."""
    arrays = _arrays(codec.inputs, given)
    if raw:
        return codec.raw(arrays)
    rows = zip(arrays, codec.inputs, codec.tensors, strict=True)
    return codec.to_int(codec.one([_bytes(x, s) if t.bytes_ else _float(x, s) for x, s, t in rows]))


def _arrays(inputs: tuple[InputSpec, ...], given: Sequence[str]) -> tuple[NDArray, ...]:
    named = [_named(inputs, text) for text in given]
    if len(given) == 1 and named[0] is None:
        path = Path(given[0])
        arrays = read_arrays(path)
        keys = keys_of(path, arrays, inputs)
        return tuple(in_memory(arrays[k], _MOST_BYTES, f"{path}: {k or 'it'}") for k in keys)
    table: dict[str, NDArray] = {}
    for text, pair in zip(given, named, strict=True):
        if pair is None:
            raise UsageError(f"--input {text}: no input of that name", _wanted(inputs))
        spec, path = pair
        if spec.name in table:
            raise UsageError(f"input {printable(spec.name)} is given twice")
        there = read_arrays(path).get("", np.empty(0))
        table[spec.name] = in_memory(there, _MOST_BYTES, f"{path}")
        if not table[spec.name].size:
            raise UsageError(f"{path} is no .npy of one array")
    missing = [spec.name for spec in inputs if spec.name not in table]
    if missing:
        raise UsageError(f"input {printable(missing[0])} is missing", _wanted(inputs))
    return tuple(table[spec.name] for spec in inputs)


def _named(inputs: tuple[InputSpec, ...], text: str) -> tuple[InputSpec, Path] | None:
    """NAME=PATH; None for a path (one with "=" in it, where no input has such a name)."""
    for raw in (True, False):  # an input's own name goes before another's other spelling
        for spec in inputs:
            for name in (spec.name,) if raw else spec.spellings:
                if text.startswith(f"{name}="):
                    return spec, Path(text[len(name) + 1 :])
    return None


def _wanted(inputs: tuple[InputSpec, ...]) -> str:
    words = " ".join(f"--input {printable(spec.name)}=X.npy" for spec in inputs)
    return f"{words}, or one .npz with {'all of them' if len(inputs) > 1 else 'it'}"


def _bytes(array: NDArray, spec: InputSpec) -> NDArray[np.uint8]:
    """Of an input that is uint8 in the file."""
    if array.dtype != np.uint8:
        raise UsageError(f"input {printable(spec.name)} holds {array.dtype}, the model takes uint8")
    return array


def _float(array: NDArray, spec: InputSpec) -> NDArray[np.float32]:
    if array.dtype.kind != "f":
        raise UsageError(
            f"input {printable(spec.name)} holds {array.dtype}, not floats",
            "give --raw for integers",
        )
    return finite_float32(array[None], f"input {printable(spec.name)}")[0]
