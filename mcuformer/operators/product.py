"""q_matmul: a batched product of two activations, which mcf_matmul reads wherever their axes lie."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import OutOfRangeError
from mcuformer.ir import product
from mcuformer.ir.epilogue import LIMIT, solve
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.int_ops_linear import Args, checked, hi, saturate
from mcuformer.ir.optable import CANONICAL, Shape
from mcuformer.ir.types import DTYPES, QParams, TensorType
from mcuformer.kernels.base import CArray, KernelData
from mcuformer.kernels.shapes import TYPES, Values
from mcuformer.operators.lowering import Const, Numbers, Target
from mcuformer.operators.row import Cost, IntOp, Kernel, Lowering, TypeOf, named

SOURCES = ("mcf_matmul.c",)
VECTORS, COLUMNS, SPAN = 16, 4, 256  # of mcf_matmul.h
MOST = 32767  # a factor: products of two pairs of them go into one sum
_LAYOUT = frozenset({"a", "b", "y", "sizes"})
_NUMBERS = frozenset({
    "a_zp", "b_zp", "a_shift", "b_shift", "acc_shift", "mult", "offset", "shift",
})  # fmt: skip
# Instructions of mcf_matmul's Cortex-M code, fitted to counts: a call, a batch, some vectors of it, four
# columns with them; a vector that is expanded, a number of it of 8 bits and of 16; two vectors with four
# columns, a pair of numbers of theirs, a result.
_CALL, _BATCH, _SOME, _FOUR = 67, 149, 134, 206
_VECTOR, _BYTE, _WORD = 29.4, 6.63, 9.22
_BLOCK, _PAIR, _RESULT = 42.2, 18.15, 15.7


def _shape(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    return CANONICAL["matmul"].infer(attrs, s)


def factor(x: NDArray, zero: int, shift: int) -> NDArray[np.int64]:
    """x less its zero point in steps of 2^shift: what is multiplied, 16 bits."""
    moved = x.astype(np.int64) - zero + (1 << shift >> 1)
    return np.clip(moved >> shift, -32768, 32767)


def q_matmul(op: Op, args: Args, out: TensorType) -> NDArray:
    """acc = sum over k of factors of a and b; sat((hi((acc << acc_shift)*mult) + offset) >> shift)."""
    a, b = args
    assert a is not None and b is not None
    attrs = op.attrs
    left = factor(a, attrs["a_zp"], attrs["a_shift"])
    right = factor(b, attrs["b_zp"], attrs["b_shift"])
    acc = checked(product.exact_product(attrs, left, right), f"{op.name}: accumulator")
    scaled = checked(acc << attrs["acc_shift"], f"{op.name}: scaled accumulator")
    mult = np.asarray(attrs["mult"], np.int64)
    t = checked(hi(scaled, mult) + attrs["offset"], f"{op.name}: t")
    return saturate(t >> attrs["shift"], out.dtype)


def lower_matmul(ctx: Target, op: Op) -> None:
    """One grid for each operand and for the result; a constant one is int16."""
    names, (a, b) = [str(n) for n in op.inputs], (str(n) for n in op.inputs)
    keys = int(op.attrs["sizes"][-1])

    def numbers() -> Numbers:
        grids = [_grid(ctx, n, data) for n, data in zip(names, map(ctx.const, names), strict=True)]
        (qa, ra), (qb, rb) = grids
        shifts = _shifts(ra, rb, keys, op.name)
        reach = [_stepped(r, s) for r, s in zip((ra, rb), shifts, strict=True)]
        bound = np.array([keys * math.prod(reach)], np.int64)
        acc_scale = qa.scale * qb.scale * 2.0 ** sum(shifts) * float(op.attrs["scale"])
        y = ctx.qparams(op.outputs[0])
        end = solve(np.asarray(acc_scale), bound, y.scale, y.zero_point, wide=True, where=op.name)
        attrs = {
            "a_zp": int(qa.zero_point), "b_zp": int(qb.zero_point),
            "a_shift": shifts[0], "b_shift": shifts[1], "acc_shift": end.acc_shift,
            "mult": int(end.mult[0]), "offset": int(end.offset[0]), "shift": end.shift,
        }  # fmt: skip
        data = ((n, q, ctx.const(n)) for n, (q, _) in zip(names, grids, strict=True))
        return attrs, {n: q.quantise(d, "int16") for n, q, d in data if d is not None}

    operands = [n if ctx.const(n) is None else Const(n, "int16", ctx.shape(n)) for n in (a, b)]
    attrs = {n: op.attrs[n] for n in ("a", "b", "y", "sizes")}
    ctx.emit("q_matmul", op, operands, attrs, numbers)


def _grid(ctx: Target, name: str, data: NDArray | None) -> tuple[QParams, int]:
    """Scale and zero point of an operand, and how far from it its numbers can be."""
    if data is not None:
        scale = max(float(np.abs(data).max()), 1e-12) / MOST
        return QParams(np.asarray(scale), np.asarray(0.0)), MOST
    qparams, info = ctx.qparams(name), np.iinfo(DTYPES[ctx.dtype(name)])
    zero = int(qparams.zero_point)
    return qparams, max(info.max - zero, zero - info.min)


def _stepped(reach: int, shift: int) -> int:
    """The largest factor."""
    return min(32768, (reach + (1 << shift >> 1)) >> shift)


def _shifts(a: int, b: int, keys: int, where: str) -> tuple[int, int]:
    """The least bits that operands give up so that no sum leaves int32: those of the wider one first."""
    shifts = [0, 0]
    reach = [a, b]
    while keys * math.prod(min(32768, r) for r in reach) > LIMIT:
        wider = int(reach[1] > reach[0])
        shifts[wider] += 1
        reach[wider] = _stepped((a, b)[wider], shifts[wider])
        if max(shifts) > 12:
            raise OutOfRangeError(where, f"sums of {keys:,} products do not fit int32")
    return shifts[0], shifts[1]


def pack(op: Op, graph: Values, **_: Any) -> KernelData:
    attrs, sizes = op.attrs, product.sizes_of(op.attrs)
    sides = (("a", product.A), ("b", product.B), ("y", product.Y))
    found = [product.steps(attrs[side], sizes, axes) for side, axes in sides]
    steps = np.array(found, np.int32).reshape(-1)
    fields: dict[str, int | str] = {"steps": "steps", **sizes}
    fields |= {n: int(attrs[n]) for n in ("mult", "offset", "acc_shift", "shift", "a_zp", "b_zp")}
    types = zip(("a_type", "b_type", "y_type"), (*op.inputs, *op.outputs), strict=True)
    fields |= {field: TYPES[graph.type(str(name)).dtype] for field, name in types}
    fields |= {n: int(attrs[n]) for n in ("a_shift", "b_shift")}
    fields["row_wise"] = int(product.is_row_wise(attrs))
    return KernelData("mcf_matmul_t", fields, (CArray("steps", "int32_t", steps),))


def scratch_bytes(op: Op, graph: Values, rows: int, **_: Any) -> int:
    """Vectors of a and four columns of b in 16 bits."""
    span = min(product.sizes_of(op.attrs)["k"], SPAN)
    vectors = min(_together(op, rows), VECTORS)
    return 2 * (((vectors + 1) & ~1) + COLUMNS) * ((span + 1) & ~1)


def _together(op: Op, rows: int) -> int:
    """Vectors of a of one batch that a call of so many rows meets."""
    m = product.sizes_of(op.attrs)["m"]
    return min(rows, m) if op.attrs["y"].split(".")[0].endswith("m") else m


def instructions(op: Op, graph: Values, rows: int, **_: Any) -> int:
    """Where no tile ends inside of a batch."""
    sizes, together = product.sizes_of(op.attrs), _together(op, rows)
    n, k = sizes["n"], sizes["k"]
    vectors = rows * product.matrix(op.attrs["y"], sizes)[1] // n
    batches, fours, spans = -(-vectors // together), -(-n // COLUMNS), -(-k // SPAN)
    some = batches * -(-together // VECTORS)
    a_count = 2 * batches * -(-together // 2) * (fours if spans > 1 else 1)
    b_count = COLUMNS * fours * some
    each = [_BYTE if graph.type(str(x)).dtype == "int8" else _WORD for x in op.inputs]
    expand = sum(
        c * (k * e + _VECTOR * spans) for c, e in zip((a_count, b_count), each, strict=True)
    )
    blocks = batches * -(-together // 2) * fours
    return round(
        _CALL + batches * _BATCH + some * (_SOME + fours * spans * _FOUR) + expand
        + blocks * (spans * _BLOCK + -(-k // 2) * _PAIR) + vectors * n * _RESULT
    )  # fmt: skip


def _macs(op: Op, type_of: TypeOf) -> int:
    return math.prod(op.attrs["sizes"])


def _nominal(op: Op, wide: bool, type_of: TypeOf) -> dict[str, Any]:
    return {
        "a_zp": 0, "b_zp": 0, "a_shift": 0, "b_shift": 0, "acc_shift": 0,
        "mult": 1 << 30, "offset": 0, "shift": 3,
    }  # fmt: skip


def whole_operands(op: Op) -> tuple[str, ...]:
    """b, and a unless row i of the result is of row i of a."""
    return ("b",) if product.is_row_wise(op.attrs) else ("a", "b")


def _refuse(graph: Graph, op: Op) -> str | None:
    constant = all(graph.const(n) is not None for n in op.inputs)
    return "a product of two constants" if constant else None


ROWS = (
    IntOp(
        kind="q_matmul",
        operands=named("a", "b"),
        movement="rows",
        shape=_shape,
        evaluate=q_matmul,
        lowered={"matmul": Lowering(
            lower_matmul, _refuse, ("MatMul", "Einsum", "Attention", "Conv"), one_scale="both"
        )},
        kernel=Kernel(
            "mcf_matmul", "mcf_matmul.h", pack, ("a", "b"), ("a", "b"), scratch_bytes, placed=True
        ),
        cost=Cost("matmul", instructions, _LAYOUT),
        numbers=_NUMBERS,
        nominal=_nominal,
        macs=_macs,
        counted=None,
        whole=whole_operands,
    ),
)  # fmt: skip
