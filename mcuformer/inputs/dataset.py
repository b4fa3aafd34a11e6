"""Samples to calibrate or validate with: uint8 pixels, or floats as the model wants them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UsageError
from mcuformer.inputs.arrays import (
    CLASSES,
    LABELS,
    READ_ERRORS,
    InputSpec,
    essential,
    in_memory,
    keys_of,
    read_arrays,
)
from mcuformer.inputs.doubts import finite_float32
from mcuformer.inputs.images import list_images, read_image
from mcuformer.inputs.stored import Stored


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """`files` of images, or one of `arrays` [N, ...] per input: integers are pixels, floats the
    model's own."""

    path: Path
    files: tuple[Path, ...]
    arrays: tuple[NDArray | Stored, ...]
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    inputs: tuple[InputSpec, ...]

    def __len__(self) -> int:
        return len(self.files) if self.files else len(self.arrays[0])

    def spread(self, limit: int | None) -> NDArray[np.int64]:
        """Indices of at most `limit` samples, evenly spread over all (0 and None: all)."""
        count = min(limit or len(self), len(self))
        return np.linspace(0, len(self) - 1, count).round().astype(np.int64)

    def take(self, indices: Sequence[int] | NDArray) -> tuple[NDArray, ...]:
        """Per input: uint8 [n, *shape] pixels, or float32 [n, *shape]."""
        if not self.files:
            return tuple(self._taken(x, spec, indices) for x, spec in self._columns())
        c, h, w = self.inputs[0].shape
        images = [read_image(self.files[int(i)], h, w, c) for i in indices]
        return (np.stack(images).transpose(0, 3, 1, 2),)

    def _columns(self) -> Iterator[tuple[NDArray | Stored, InputSpec]]:
        return zip(self.arrays, self.inputs, strict=True)

    def _taken(
        self, x: NDArray | Stored, spec: InputSpec, indices: Sequence[int] | NDArray
    ) -> NDArray:
        """Samples of what stays in its file are checked when they are read."""
        wanted = np.asarray(indices, np.int64)
        if not isinstance(x, Stored):
            return x[wanted]
        try:
            rows = x.rows(wanted)
        except READ_ERRORS as error:
            raise UsageError(
                f"{self.path} is damaged: {error}", "copy or write it again"
            ) from error
        checked = _samples(self.path, spec.name, rows, spec.shape, wanted)
        assert not isinstance(checked, Stored)
        return checked


def load_dataset(path: Path, inputs: Sequence[InputSpec]) -> Dataset:
    """An image folder, an .npz with all inputs (and labels, classes), or an .npy; checked."""
    specs = tuple(inputs)
    if path.is_dir():
        return _image_folder(path, specs)
    arrays = read_arrays(path)
    keys = keys_of(path, arrays, specs)
    samples = tuple(
        _samples(path, key, arrays[key], s.shape) for key, s in zip(keys, specs, strict=True)
    )
    counts = [len(x) for x in samples]
    if len(set(counts)) > 1:
        found = ", ".join(f"{n} of {key}" for n, key in zip(counts, keys, strict=True))
        raise UsageError(f"{path}: every input wants as many samples, there are {found}")
    labels = _labels(path, arrays, keys, counts[0])
    named = in_memory(arrays.get(CLASSES, np.empty(0)), 1 << 24, f"{path}: {CLASSES}")
    classes = () if CLASSES in keys else tuple(str(c) for c in named)
    return Dataset(path, (), samples, labels, classes, specs)


def _image_folder(path: Path, inputs: tuple[InputSpec, ...]) -> Dataset:
    if len(inputs) > 1:
        raise UsageError(
            f"{path}: images, but the model has {len(inputs)} inputs",
            f"use .npz with {', '.join(spec.name for spec in inputs)}",
        )
    if len(inputs[0].shape) != 3:
        raise UsageError(f"{path}: images, but the model wants {list(inputs[0].shape)}", "use .npz")
    found = list_images(path)
    return Dataset(path, found.files, (), found.labels, found.classes, inputs)


def _samples(
    path: Path,
    key: str,
    x: NDArray | Stored,
    shape: tuple[int, ...],
    indices: NDArray | None = None,
) -> NDArray | Stored:
    """[N, *shape]; images may also come as [N, H, W, C]; axes of length 1 are of no account."""
    name = key or "x"
    if x.dtype.kind not in "uif":
        raise UsageError(f"{path}: {name} holds {x.dtype}, wanted are pixels or floats")
    found = _stacked(x, shape)
    if found is None:
        raise UsageError(
            f"{path}: {name} is {list(x.shape)}, the model wants samples of {list(shape)}"
        )
    if isinstance(found, Stored):
        return found
    x = found
    if x.dtype.kind == "f":
        return finite_float32(x, f"{path}: {name}", indices)
    if x.min() < 0 or x.max() > 255:
        raise UsageError(f"{path}: {name} holds integers outside 0..255, which are no pixels")
    return x.astype(np.uint8, copy=False)


def _stacked(x: NDArray | Stored, shape: tuple[int, ...]) -> NDArray | Stored | None:
    """`x` as [N, *shape], or None; what stays in its file takes its shape when it is read."""
    if isinstance(x, Stored):
        sizes = essential(x.shape[1:])
        fits = sizes == essential(shape) or sizes == essential((*shape[1:], shape[0]))
        alone = x.size and essential(x.shape) == essential(shape)
        return x if fits and x.size else x.reshaped((1, *shape)) if alone else None
    last = (*shape[1:], shape[0])
    if len(shape) == 3 and x.ndim == 4 and x.shape[1:] == last and last != shape:
        x = np.moveaxis(x, -1, 1)
    if x.ndim and x.size and essential(x.shape[1:]) == essential(shape):
        return x.reshape(len(x), *shape)
    if x.size and essential(x.shape) == essential(shape):
        return x.reshape(1, *shape)
    return None


def _labels(
    path: Path, arrays: Mapping[str, NDArray | Stored], inputs: Collection[str], count: int
) -> NDArray[np.int64] | None:
    """Of the first array that is named like labels and is no input."""
    name = next((n for n in LABELS if n in arrays and n not in inputs), None)
    if name is None:
        return None
    y = in_memory(arrays[name], 1 << 28, f"{path}: {name}")
    if y.dtype.kind not in "ui" or y.reshape(-1).shape != (count,):
        wanted = f"wanted are {count} class indices"
        raise UsageError(f"{path}: {name} is {y.dtype} {list(y.shape)}, {wanted}")
    return y.reshape(-1).astype(np.int64)
