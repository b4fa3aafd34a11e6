"""Many small arrays to one .npz, byte for byte as numpy.savez writes it.

An integer graph has six arrays an operation, most of a few numbers, for each of which numpy and zipfile
open a file of its own.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import lru_cache
from struct import Struct
from typing import BinaryIO
from zlib import crc32

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

# PKWARE's APPNOTE.TXT 6.3.10: 4.3.7, 4.5.3, 4.3.12, 4.3.14, 4.3.15, 4.3.16
_LOCAL = Struct("<4s5H3L2H")
_SIZES = Struct("<2H2Q")
_CENTRAL = Struct("<4s6H3L5H2L")
_END_64 = Struct("<4sQ2H2L4Q")
_LOCATOR = Struct("<4sLQL")
_END = Struct("<4s4H2LH")
_VERSION, _UNIX = 45, 3 << 8
_DAY = 1 << 5 | 1  # the first of 1980
_READABLE = 0o600 << 16
_FULL, _FULL_LONG = (1 << 16) - 1, (1 << 32) - 1
_LARGE = 1 << 30  # bytes


def save_arrays(file: BinaryIO, arrays: Mapping[str, NDArray]) -> None:
    """Write `arrays` of numbers to the start of a file, for `numpy.load`."""
    if sum(array.nbytes for array in arrays.values()) > _LARGE:
        np.savez(file, allow_pickle=False, **arrays)
        return
    directory, at = list[bytes](), 0
    for key, array in arrays.items():
        name = f"{key}.npy".encode("ascii")
        turned = array.flags.f_contiguous and not array.flags.c_contiguous
        head = _head(array.dtype, array.shape, turned)
        data = array.tobytes("F" if turned else "C")
        size, check = len(head) + len(data), crc32(data, crc32(head))
        sizes = _SIZES.pack(1, 16, size, size)
        known = (_VERSION, 0, 0, 0, _DAY, check)
        local = _LOCAL.pack(b"PK\3\4", *known, _FULL_LONG, _FULL_LONG, len(name), len(sizes))
        file.write(b"".join((local, name, sizes, head, data)))
        made = _UNIX | _VERSION, *known, size, size, len(name), 0, 0, 0, 0, _READABLE, at
        directory += (_CENTRAL.pack(b"PK\1\2", *made), name)
        at += len(local) + len(name) + len(sizes) + size
    listed = b"".join(directory)
    file.write(listed + _end(len(arrays), len(listed), at))


def _end(count: int, size: int, at: int) -> bytes:
    """What follows the list of `count` members, of `size` bytes at `at`."""
    if count <= _FULL:
        return _END.pack(b"PK\5\6", 0, 0, count, count, size, at, 0)
    whole = _END_64.pack(b"PK\6\6", 44, _VERSION, _VERSION, 0, 0, count, count, size, at)
    locator = _LOCATOR.pack(b"PK\6\7", 0, at + size, 1)
    return whole + locator + _END.pack(b"PK\5\6", 0, 0, _FULL, _FULL, size, at, 0)


@lru_cache(maxsize=1 << 10)
def _head(dtype: np.dtype, shape: tuple[int, ...], turned: bool) -> bytes:
    """Of one array's file: its type, shape and order."""
    if dtype.hasobject:
        raise TypeError(f"no file for arrays of {dtype}")
    made = io.BytesIO()
    fields = {"shape": shape, "fortran_order": turned, "descr": npy.dtype_to_descr(dtype)}
    npy.write_array_header_1_0(made, fields)
    return made.getvalue()
