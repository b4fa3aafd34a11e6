"""Which array of a file belongs to which input of a model, and which are its labels."""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from numpy.typing import NDArray

from mcuformer.errors import UsageError
from mcuformer.inputs.stored import WHOLE_BYTES, Stored, stored_arrays
from mcuformer.util.names import c_identifier, printable

_USUAL = ("x", "image", "images", "input", "inputs", "x0")  # of a model with one input
LABELS = ("y", "label", "labels")
CLASSES = "classes"
READ_ERRORS = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error,
               NotImplementedError, RuntimeError)  # fmt: skip


@dataclass(frozen=True, slots=True)
class InputSpec:
    """`name` of the ONNX input, `value` of the graph's (no odd characters in it); `shape` of a
    sample: (C, H, W) of an image, (T, C) of a sequence."""

    name: str
    value: str
    shape: tuple[int, ...]

    @property
    def spellings(self) -> tuple[str, ...]:
        """As in the file, without odd characters, as an identifier."""
        return tuple(dict.fromkeys((self.name, self.value, c_identifier(self.name))))


def read_arrays(path: Path) -> dict[str, NDArray | Stored]:
    """The arrays of an .npz by name; that of a .npy is named "". Large ones stay in the file."""
    if not path.is_file():
        raise UsageError(f"{path} does not exist")
    try:
        found = stored_arrays(path)
        return {n: a if _is_large(a) else a.whole() for n, a in found.items()}
    except UsageError:
        raise
    except READ_ERRORS as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UsageError(f"{path} is no .npz or .npy: {reason}") from error


def _is_large(array: Stored) -> bool:
    return array.size * array.dtype.itemsize > WHOLE_BYTES


def in_memory(array: NDArray | Stored, most_bytes: int, what: str) -> NDArray:
    """All of it; UsageError where that is more than `most_bytes`."""
    if not isinstance(array, Stored):
        return array
    if array.size * array.dtype.itemsize > most_bytes:
        raise UsageError(f"{what} is {list(array.shape)}, which is more than one sample")
    return array.whole()


def keys_of(
    path: Path, arrays: Mapping[str, object], inputs: Sequence[InputSpec]
) -> tuple[str, ...]:
    """Per input, the name that it has in `arrays`; UsageError where one has none."""
    if len(inputs) == 1:
        return (_only_key(path, arrays, inputs[0]),)
    names = Counter(name for spec in inputs for name in spec.spellings)
    keys: list[str] = []
    for i, spec in enumerate(inputs):
        own = [n for n in spec.spellings if names[n] == 1 or n == spec.name]
        found = [n for n in (*own, f"x{i}") if n in arrays]
        if not found:
            raise UsageError(
                f"{path} has no array {printable(spec.name)} (or x{i}), {_there(arrays)}",
                f"the model's inputs are {_listed([s.name for s in inputs])}",
            )
        keys.append(found[0])
    return tuple(keys)


def _only_key(path: Path, arrays: Mapping[str, object], spec: InputSpec) -> str:
    found = [name for name in (*spec.spellings, *_USUAL, "") if name in arrays]
    others = [name for name in arrays if name not in (*LABELS, CLASSES)]
    if not found and len(others) == 1:
        found = others
    if not found:
        raise UsageError(
            f"{path} has no array x or {printable(spec.name)}, {_there(arrays)}",
            f"one of {_listed(dict.fromkeys((spec.name, *_USUAL[:-1])))} holds the samples",
        )
    return found[0]


def _there(arrays: Mapping[str, object]) -> str:
    if list(arrays) == [""]:
        return "but one array without a name"
    return f"only {_listed(sorted(arrays))}" if arrays else "it is empty"


def _listed(names: Sequence[str] | Mapping[str, None]) -> str:
    return printable(", ".join(names), 200)


def essential(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without axes of length 1, which move no byte."""
    return tuple(size for size in shape if size != 1)
