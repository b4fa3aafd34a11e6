"""Samples to calibrate or validate with: uint8 pixels, or floats as the model wants them."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UsageError
from mcuformer.inputs.images import list_images, read_image


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """`items`: files, or an array [N, ...]: integers are pixels 0..255, floats the ONNX input's.

    `shape` is the model's input without batch: (C, H, W) of an image.
    """

    path: Path
    items: Sequence[Path] | NDArray
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.items)

    def spread(self, limit: int | None) -> NDArray[np.int64]:
        """Indices of at most `limit` samples, evenly spread over all (0 and None: all)."""
        count = min(limit or len(self), len(self))
        return np.linspace(0, len(self) - 1, count).round().astype(np.int64)

    def take(self, indices: Sequence[int] | NDArray) -> NDArray:
        """uint8 [n, *shape] pixels, or float32 [n, *shape]."""
        if not isinstance(self.items, np.ndarray):
            c, h, w = self.shape
            images = [read_image(self.items[int(i)], h, w, c) for i in indices]
            return np.stack(images).transpose(0, 3, 1, 2)
        return self.items[np.asarray(indices, np.int64)]


def load_dataset(path: Path, shape: tuple[int, ...]) -> Dataset:
    """An image folder, an .npz with x (and y, classes), or an .npy; checked against `shape`."""
    if path.is_dir():
        if len(shape) != 3:
            raise UsageError(f"{path}: images, but the model wants {list(shape)}", "use .npz")
        found = list_images(path)
        return Dataset(path, found.files, found.labels, found.classes, shape)
    arrays = _read_arrays(path)
    x = _samples(path, arrays["x"], shape)
    labels = _labels(path, arrays.get("y"), len(x))
    classes = tuple(str(c) for c in arrays.get("classes", np.empty(0)))
    return Dataset(path, x, labels, classes, shape)


def _read_arrays(path: Path) -> dict[str, NDArray]:
    """Arrays by name; a lone array counts as x."""
    if not path.is_file():
        raise UsageError(f"{path} does not exist")
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else {"x": loaded}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise UsageError(
            f"{path} is no image folder, .npz or .npy: {str(error).splitlines()[0][:200]}"
        ) from error
    if "x" not in arrays and len(arrays) == 1:
        arrays = {"x": next(iter(arrays.values()))}
    if "x" not in arrays:
        raise UsageError(f"{path} has no array x, only {', '.join(sorted(arrays))[:200]}")
    return arrays


def _samples(path: Path, x: NDArray, shape: tuple[int, ...]) -> NDArray:
    """[N, *shape]; images may also come as [N, H, W, C]; axes of length 1 are of no account."""
    if x.dtype.kind not in "uif":
        raise UsageError(f"{path}: x holds {x.dtype}, wanted are pixels or floats")
    found = _stacked(x, shape)
    if found is None:
        raise UsageError(f"{path}: x is {list(x.shape)}, the model wants samples of {list(shape)}")
    x = found
    if x.dtype.kind == "f":
        if not np.isfinite(x).all():
            raise UsageError(f"{path}: x holds NaN or infinite numbers")
        return x.astype(np.float32, copy=False)
    if x.min() < 0 or x.max() > 255:
        raise UsageError(f"{path}: x holds integers outside 0..255, which are no pixels")
    return x.astype(np.uint8, copy=False)


def _stacked(x: NDArray, shape: tuple[int, ...]) -> NDArray | None:
    """`x` as [N, *shape], or None."""
    last = (*shape[1:], shape[0])
    if len(shape) == 3 and x.ndim == 4 and x.shape[1:] == last and last != shape:
        x = np.moveaxis(x, -1, 1)
    if x.ndim and x.size and essential(x.shape[1:]) == essential(shape):
        return x.reshape(len(x), *shape)
    if x.size and essential(x.shape) == essential(shape):
        return x.reshape(1, *shape)
    return None


def essential(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without axes of length 1, which move no byte."""
    return tuple(size for size in shape if size != 1)


def _labels(path: Path, y: NDArray | None, count: int) -> NDArray[np.int64] | None:
    if y is None:
        return None
    if y.dtype.kind not in "ui" or y.reshape(-1).shape != (count,):
        wanted = f"wanted are {count} class indices"
        raise UsageError(f"{path}: y is {y.dtype} {list(y.shape)}, {wanted}")
    return y.reshape(-1).astype(np.int64)
