"""What a lowering function may ask and say, wherever it stands: in a row's own file, or in quant/."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.ir.types import QParams, TensorType
from mcuformer.util.speed import record

Numbers = tuple[Mapping[str, Any], Mapping[str, NDArray | None]]
"""Attributes, and the data of constants by name; None where there is to be no such operand."""


@record(frozen=True, slots=True, eq=False)
class Const:
    """An operand that lowering makes. `usual`: whether it is there, where numbers decide that and
    there are none."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    usual: bool = True


class Target(Protocol):
    """The integer graph under construction and the grids of its values (quant/context.py)."""

    def qparams(self, name: str) -> QParams: ...
    def dtype(self, name: str) -> str: ...
    def shape(self, name: str | None) -> tuple[int, ...]: ...
    def const(self, name: str | None) -> NDArray | None: ...
    def emit(
        self,
        kind: str,
        op: Op,
        operands: Sequence[str | Const | None],
        attrs: Mapping[str, Any],
        numbers: Callable[[], Numbers] | None = None,
        usual: Mapping[str, Any] | None = None,
        out: str | None = None,
        out_type: TensorType | None = None,
    ) -> str: ...
