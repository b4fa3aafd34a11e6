"""Programs written by hand: what a test says of bytes, and the rest filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mcuformer.ir.graph import Graph
from mcuformer.program.buffers import Addr, Buffer, Span
from mcuformer.program.calls import Call, Step
from mcuformer.program.expressions import Expr
from mcuformer.program.program import IoTensor, Layer, Program


def rows(
    buffer: Buffer,
    width: int,
    first: Expr | int = 0,
    count: Expr | int = 1,
    at: int = 0,
    stride: int | None = None,
) -> Span:
    """`count` rows of `width` bytes from row `first` (rows `stride` apart, column `at`)."""
    stride = stride or width
    start = (first if isinstance(first, Expr) else Expr(first)) * stride + at
    return Span(
        buffer.name, start, stride, width, count if isinstance(count, Expr) else Expr(count)
    )


@dataclass
class Maker:
    """Collects buffers and layers; `call` fills in what the tests do not care about."""

    buffers: dict[str, Buffer] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)

    def buffer(self, name: str, size: int, kind: str = "activation", align: int = 8) -> Buffer:
        self.buffers[name] = Buffer(name, size, align, kind)  # type: ignore[arg-type]
        return self.buffers[name]

    def layer(
        self, name: str, op: str, shape: tuple[int, ...] = (1, 1), macs: int = 0, weights: int = 0
    ) -> int:
        self.layers.append(
            Layer(len(self.layers), name, op, (name,), shape, macs, weights, "tiled")
        )
        return len(self.layers) - 1

    def call(
        self,
        kernel: str,
        layer: int,
        reads: list[Span],
        writes: list[Span],
        scratch: Sequence[Buffer] = (),
        overwrites: bool = False,
        instructions: int = 0,
        weights: int = 0,
    ) -> Call:
        spans = tuple(Span.whole(b) for b in scratch)
        args = tuple(Addr(s.buffer, s.start) for s in (*reads, *writes, *spans))
        return Call(
            kernel,
            layer,
            None,
            args,
            tuple(reads),
            tuple(writes),
            spans,
            overwrites=overwrites,
            instructions=instructions,
            weight_bytes_read=weights,
        )

    def program(
        self,
        steps: list[Step],
        output: str,
        source: str | None = None,
        more_outputs: Sequence[str] = (),
        more_inputs: Sequence[str] = (),
    ) -> Program:
        graph = Graph("net", "int", (), (), (), {})
        return Program(
            "net",
            "resident" if source else "bands",
            self.buffers,
            tuple(steps),
            tuple(self.layers),
            graph,
            {},
            (),
            (),
            tuple(self.tensor(name) for name in (source, *more_inputs)),
            tuple(self.tensor(name) for name in (output, *more_outputs)),
        )

    def tensor(self, name: str | None) -> IoTensor:
        size = self.buffers[name].size_bytes if name else 1
        return IoTensor(str(name), name, 0, 1, size)
