"""The calibration samples on their way through a network that is being lowered, in float and integers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.int_ops_linear import im2col
from mcuformer.ir.interp_float import after_sum, arguments, eval_op, weighted_sum
from mcuformer.quant import refine


class Trace:
    """Float and integer activations of the refinement samples, operation by operation.

    `usual`: the variances (C,) of a value's integers in all calibration samples, where those are more.
    """

    def __init__(
        self,
        graph: Graph,
        x: Sequence[NDArray],
        x_int: Sequence[NDArray],
        usual: Callable[[str], NDArray] | None = None,
    ) -> None:
        self._graph, self._usual = graph, usual
        self._sums: dict[str, NDArray] = {}
        self._rows: tuple[Any, refine.InputRows] | None = None
        reals = [np.asarray(a, np.float32) for a in x]
        self.real: dict[str, NDArray] = dict(zip(graph.inputs, reals, strict=True))
        self.ints: dict[str, NDArray] = dict(zip(graph.inputs, x_int, strict=True))
        self._last = {n: i for i, op in enumerate(graph.ops) for n in op.inputs if n is not None}

    def input_rows(self, op: Op, window: Mapping[str, Any]) -> refine.InputRows:
        """What a layer reads, less x_zp; `window` has that and, of a convolution, its geometry.

        Made once for layers in a row that read the same (q, k and v).
        """
        key = (op.inputs[0], op.kind == "linear", tuple(window.items()))
        if self._rows is None or self._rows[0] != key:
            self._rows = None  # before the next ones take their memory
            x = self._arriving(op, window)
            self._rows = key, refine.InputRows(x, self._usually(op, x.shape[1], 1))
        return self._rows[1]

    def rows_apart(self, op: Op, window: Mapping[str, Any], groups: int) -> list[refine.InputRows]:
        """The same of each group's channels: K / groups inputs."""
        x = self._arriving(op, window)
        channels = self.ints[str(op.inputs[0])].shape[-1]
        columns = x.reshape(len(x), -1, groups, channels // groups)
        usual = self._usually(op, x.shape[1], groups)
        return [
            refine.InputRows(
                columns[:, :, g].reshape(len(x), -1), None if usual is None else usual[g]
            )
            for g in range(groups)
        ]

    def _usually(self, op: Op, inputs: int, groups: int) -> NDArray | None:
        """Variances of a layer's inputs (K,), or [groups, K / groups]."""
        if self._usual is None:
            return None
        of_channel = self._usual(str(op.inputs[0]))
        parts = of_channel.reshape(groups, -1)
        usual = np.tile(parts, (1, inputs // of_channel.size))
        return usual[0] if groups == 1 else usual

    def _arriving(self, op: Op, window: Mapping[str, Any]) -> NDArray[np.float32]:
        """The rows [R, K] that a layer reads, less x_zp."""
        x = self.ints[str(op.inputs[0])]
        if op.kind != "linear":
            patches = im2col(x, window)
            x = patches.reshape(*patches.shape[:-2], -1)
        x = x.reshape(-1, x.shape[-1])
        return x[refine.picked(len(x))].astype(np.float32) - np.float32(window["x_zp"])

    def weighted_sum(self, op: Op) -> NDArray:
        """In float, up to the bias; kept until `advance`."""
        y = weighted_sum(op, arguments(self._graph, op, self.real)[:3])
        self._sums[op.name] = y
        return y

    def advance(self, index: int, op: Op) -> None:
        """The float trace to behind the `index`-th operation."""
        y = self._sums.pop(op.name, None)
        self.real[op.outputs[0]] = (
            eval_op(self._graph, op, self.real)
            if y is None
            else after_sum(self._graph, op, y, self.real)
        )
        self._forget(index)

    def _forget(self, index: int) -> None:
        """Drop what no operation after the `index`-th reads."""
        for name in [n for n in self.real if self._last.get(n, -1) <= index]:
            self.real.pop(name)
            self.ints.pop(name, None)
