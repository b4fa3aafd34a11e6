"""What a network takes of the flash, from its int graph or outline: nothing is packed or linked.

The one model of it: `--flash` is judged by it before the build, weights give up bits by it, and the search
rules candidates out by it. tests/search/test_linked.py and tests/cli/test_bits_option.py compare it with
what is linked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import repeat

from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import TensorType
from mcuformer.kernels.relative import stored_small
from mcuformer.kernels.shapes import packed_channels, round4, segments_of
from mcuformer.operators.macs import op_weight_bits
from mcuformer.operators.outline import STAGE, times
from mcuformer.operators.row import IntOp, OperandFacets
from mcuformer.operators.table import INT_OPS, operand
from mcuformer.util.speed import record

CODE_BYTES = 44 * 1024  # start-up, port, kernels and their tables: no firmware here needs more
_STRUCT_BYTES = 96  # of a layer's numbers, in which its arrays are named
_PER_CHANNEL = ("bias", "mult", "rmult")


@record(frozen=True, slots=True)
class FlashBytes:
    """`weights`: packed matrices at their bits; `constants`: biases, multipliers, tables, structs."""

    weights: int
    constants: int

    @property
    def total(self) -> int:
        """With code."""
        return self.weights + self.constants + CODE_BYTES


def flash_bytes(graph: Graph) -> FlashBytes:
    weights = constants = 0
    for op in graph.ops:
        count = times(graph, op)
        weights += count * matrix_bytes(graph, op)
        constants += count * constant_bytes(graph, op)
    return FlashBytes(weights, constants)


def matrix_bytes(graph: Graph, op: Op, bits: int | None = None) -> int:
    """Of the packed matrix of a weighted layer: output channels and pieces of K padded to fours; 0 of
    other operations. `bits` other than the operation's own may be asked for."""
    name = INT_OPS[op.kind].weights
    if not name:
        return 0
    n, k = graph.type(str(operand(op, name))).shape
    if op.kind == "q_dwconv2d":
        return n * k
    pieces, segment, _ = segments_of(op, graph)
    wide = bits or op_weight_bits(op)
    return packed_channels(op, n) * pieces * round4(segment) * wide // 8


def constant_bytes(graph: Graph, op: Op) -> int:
    """Of all that an operation has in flash beside its matrix."""
    total = _STRUCT_BYTES
    for value, bytes_of in zip(op.inputs, _SIZES[op.kind], strict=False):
        if value is not None and graph.values[value].data is not None:
            total += bytes_of(op, graph.values[value].type)
    return total - _saved(graph, op)


def _saved(graph: Graph, op: Op) -> int:
    """What a bias by relative positions takes less than one number for every query and key."""
    bias = graph.values[str(op.inputs[3])] if op.kind == "q_attention" and op.operand(3) else None
    if bias is None or bias.data is None:
        return 0
    if graph.stage == STAGE:  # whoever made a graph without numbers may know
        return int(graph.meta.get("bias_saved", {}).get(op.origin[0], 0)) if op.origin else 0
    return relative_saving(bias.data, op.attrs["heads"])


def relative_saving(bias: NDArray, heads: int) -> int:
    """Bytes that a bias in int16 steps takes less where it is stored by relative positions."""
    small = stored_small(bias, heads)
    if small is None:
        return 0
    return 2 * bias.nbytes - sum(a.nbytes for a in (small.table, small.masks, small.mask_of))


def _size_of(row: IntOp, operand: OperandFacets) -> Callable[[Op, TensorType], int]:
    """How many bytes a constant operand has, as packed."""
    if operand.name == row.weights:
        return lambda op, t: 0
    if row.weights:
        per_channel = operand.name in _PER_CHANNEL
        if per_channel:
            return lambda op, t: 4 * packed_channels(op, t.shape[0])
        return lambda op, t: t.size_bytes
    return lambda op, t: 2 * t.size_bytes


_SIZES: Mapping[str, Iterable[Callable[[Op, TensorType], int]]] = {
    kind: repeat(_size_of(row, row.operands[0]))
    if row.repeated
    else tuple(_size_of(row, o) for o in row.operands)
    for kind, row in INT_OPS.items()
}
