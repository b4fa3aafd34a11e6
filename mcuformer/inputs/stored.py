"""Arrays that stay in their file: sizes are read first, numbers when they are asked for.

An .npz or .npy may be larger than the memory. What is small is read whole; of what is large, only
the samples that are taken.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mcuformer.errors import UsageError

WHOLE_BYTES = 1 << 27  # of one array: below, it is simply read
_PIECE_BYTES = 1 << 22  # numbers of one read


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """An array [N, ...] in a file: its sizes, and rows on demand."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    start: int  # bytes before the first number
    open: Callable[[], IO[bytes]]
    opened: list[IO[bytes]] = field(default_factory=list)  # kept: what is packed is read onwards

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def reshaped(self, shape: Sequence[int]) -> Stored:
        """The same numbers in other shapes; axis 0 stays, or is one more."""
        return replace(self, shape=tuple(shape), opened=[])

    def rows(self, indices: Sequence[int] | NDArray) -> NDArray:
        """Copies of some samples, read in one pass through the file."""
        wanted = np.asarray(indices, np.int64)
        made = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        row_bytes = self.dtype.itemsize * math.prod(self.shape[1:])
        if not self.opened:
            self.opened.append(self.open())
        (file,) = self.opened
        for place in np.argsort(wanted, kind="stable"):
            file.seek(self.start + int(wanted[place]) * row_bytes)
            self._fill(file, made[place])
        return made

    def whole(self) -> NDArray:
        return self.reshaped((1, *self.shape)).rows([0])[0]

    def _fill(self, file: IO[bytes], row: NDArray) -> None:
        flat = row.reshape(-1).view(np.uint8)
        for at in range(0, flat.size, _PIECE_BYTES):
            part = file.read(min(_PIECE_BYTES, flat.size - at))
            if len(part) < min(_PIECE_BYTES, flat.size - at):
                raise UsageError(f"{self.path} is cut off", "copy or write it again")
            flat[at : at + len(part)] = np.frombuffer(part, np.uint8)


def stored_arrays(path: Path) -> dict[str, Stored]:
    """Of an .npz by name, that of an .npy is named "". OSError, ValueError or BadZipFile where it
    is neither."""
    if not zipfile.is_zipfile(path):
        return {"": _stored(path, path.stat().st_size, lambda: path.open("rb"))}
    with zipfile.ZipFile(path) as archive:
        members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
    return {m.filename[:-4]: _stored(path, m.file_size, _opener(path, m.filename)) for m in members}


def _opener(path: Path, member: str) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        with zipfile.ZipFile(path) as archive:  # the member keeps the file open
            return archive.open(member)

    return opened


def _stored(path: Path, size_bytes: int, opened: Callable[[], IO[bytes]]) -> Stored:
    with opened() as file:
        shape, fortran, dtype = _header(file)
        start = file.tell()
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
    if min(shape, default=0) < 0 or start + dtype.itemsize * math.prod(shape) > size_bytes:
        raise ValueError(f"the header says {dtype} {list(shape)}, which the file is too short for")
    if fortran and len(shape) > 1:
        return _transposed(Stored(path, shape, dtype, start, opened))
    return Stored(path, shape, dtype, start, opened)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(file)
    readers: dict[tuple[int, int], Any] = {
        (1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0,
    }  # fmt: skip
    if version not in readers:
        raise ValueError(f"format {version} of .npy is not known")
    return readers[version](file)


def _transposed(stored: Stored) -> Stored:
    """Samples that lie across the whole file can only be read with all others."""
    if stored.size * stored.dtype.itemsize > WHOLE_BYTES:
        raise UsageError(
            f"{stored.path} is large and in Fortran order, so that no sample lies in one piece",
            "save numpy.ascontiguousarray of it",
        )
    flat = stored.reshaped((stored.size,)).whole()
    data = np.ascontiguousarray(flat.reshape(stored.shape, order="F")).tobytes()
    return replace(stored, start=0, open=lambda: io.BytesIO(data), opened=[])
