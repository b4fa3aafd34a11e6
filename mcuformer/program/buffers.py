"""Buffers, the bytes of them that a call touches, and what a C function is called with."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from mcuformer.program.expressions import Expr
from mcuformer.util.speed import record

Kind = Literal["activation", "scratch", "input", "output"]  # of a buffer
Hint = Literal["", "fast"]


@record(frozen=True, slots=True)
class Buffer:
    """Bytes in SRAM. `io` buffers hold the resident input or the output and stay readable at the end.

    `hint` "fast" asks for tightly coupled memory.
    """

    name: str
    size_bytes: int
    align: int = 8
    kind: Kind = "activation"
    hint: Hint = ""


@record(frozen=True, slots=True)
class Span:
    """`rows` pieces of `row_bytes`, `stride` apart, from byte `start` of `buffer`."""

    buffer: str
    start: Expr
    stride: int
    row_bytes: int
    rows: Expr

    @staticmethod
    def whole(buffer: Buffer) -> Span:
        return Span(buffer.name, Expr(), buffer.size_bytes, buffer.size_bytes, Expr(1))


IMAGE = "<image>"  # no value has this name


@record(frozen=True, slots=True)
class Addr:
    """A C argument: the address of byte `offset` of `buffer`; `constant` names a C array in flash instead.

    The constant IMAGE is input 0 in the caller's memory (input mode flash).
    """

    buffer: str | None
    offset: Expr = field(default_factory=Expr)
    constant: str | None = None
    ctype: str = "void"


Arg = Addr | Expr | str
