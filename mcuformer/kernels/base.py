"""What a kernel hands to the code generator: packed constant arrays, the fields of its C struct."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from numpy.typing import NDArray

CACHE_LINE = 32  # bytes, of a Cortex-M7: weights begin at one


@dataclass(frozen=True, slots=True, eq=False)
class CArray:
    """A constant C array. `weights` may live in QSPI; `const` stays in internal flash.

    `group_bytes`: of a matrix of packed weights, those of 4 output channels (0: it is none).
    """

    suffix: str
    ctype: str
    data: NDArray
    align: int = 4
    role: Literal["weights", "const"] = "const"
    group_bytes: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class KernelData:
    """`fields` of struct `ctype`: an int, the suffix of one of `arrays` (a pointer), or "NULL"."""

    ctype: str
    fields: dict[str, int | str]
    arrays: tuple[CArray, ...] = ()
