"""Random q_linear layers inside the definition's proved bounds, often at their edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from mcuformer.ir.graph import Builder, Graph, Op
from mcuformer.ir.types import DTYPES, TensorType
from mcuformer.operators.interpreter import run_op
from mcuformer.quant.tables import INDEX_ENTRIES

VALUES = ("random", "lowest", "highest", "mixed")
TABLE_BITS = {"int8": (8, 10, 11, 12), "int16": (12, 13, 16, 20, 20)}


@dataclass(frozen=True)
class Spec:
    rows: int
    k: int
    n: int
    x: str = "int8"
    y: str = "int8"
    res: str | None = None
    res_const: bool = False
    table_bits: int = 0
    clamp: bool = False
    gain: float = 1.0  # > 1: outputs saturate
    shift: int = 8
    weight_bits: int = 8
    split: bool = False  # K in two parts, though not needed
    values: str = "random"
    seed: int = 0


@dataclass(frozen=True)
class Case:
    graph: Graph
    op: Op
    x: np.ndarray
    res: np.ndarray | None
    expected: np.ndarray


@st.composite
def specs(draw: st.DrawFn, max_k: int = 70, max_n: int = 21, max_rows: int = 7) -> Spec:
    """Layers of every kind; patches are tested on their own."""
    x = draw(st.sampled_from(("int8", "int8", "uint8", "int16")))
    y = draw(st.sampled_from(("int8", "int8", "int16")))
    table = draw(st.sampled_from((0, 0, *TABLE_BITS[y])))
    res = draw(st.sampled_from((None, "int8", "int16"))) if table == 0 else None
    return Spec(
        rows=draw(st.integers(1, max_rows)),
        k=draw(st.integers(1, max_k)),
        n=draw(st.integers(1, max_n)),
        x=x,
        y=y,
        res=res,
        res_const=draw(st.booleans()),
        table_bits=table,
        clamp=table == 0 and draw(st.sampled_from((False, False, True))),
        gain=draw(st.sampled_from((0.5, 1.0, 4.0))),
        shift=draw(st.integers(1, 14)),
        weight_bits=draw(st.sampled_from((8, 8, 4))),
        split=x == "int16" and draw(st.booleans()),
        values=draw(st.sampled_from(VALUES)),
        seed=draw(st.integers(0, 999)),
    )


def integers(rng: np.random.Generator, dtype: str, shape: tuple[int, ...], how: str) -> np.ndarray:
    info = np.iinfo(DTYPES[dtype])
    if how == "lowest":
        return np.full(shape, info.min, dtype)
    if how == "highest":
        return np.full(shape, info.max, dtype)
    if how == "mixed":
        return rng.choice(np.array([info.min, 0, info.max], dtype), shape)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


def make_weights(rng: np.random.Generator, spec: Spec, n: int, k: int) -> np.ndarray:
    w = integers(rng, "int8", (n, k), spec.values)
    return w if spec.weight_bits == 8 else (w >> 4).astype(np.int8)


def make_case(spec: Spec) -> Case:
    rng = np.random.default_rng(spec.seed)
    builder = Builder("case", "int")
    x_name = builder.add_value("x", TensorType((spec.rows, spec.k), spec.x))
    w = make_weights(rng, spec, spec.n, spec.k)
    inputs, attrs = layer(rng, builder, spec, w, (spec.rows, spec.n))
    out = builder.op(
        "q_linear", "fc", [x_name, *inputs], TensorType((spec.rows, spec.n), spec.y), attrs
    )
    graph = builder.done([x_name], [out], {})
    x = integers(rng, spec.x, (spec.rows, spec.k), spec.values)
    return finish_case(graph, rng, x, spec)


def finish_case(graph: Graph, rng: np.random.Generator, x: np.ndarray, spec: Spec) -> Case:
    op = graph.ops[0]
    env = {"x": x}
    res = None
    if op.inputs[5] is not None:
        res = graph.const(op.inputs[5])
        if res is None:
            res = integers(rng, spec.res or "", graph.type("res").shape, "random")
            env["res"] = res
    return Case(graph, op, x, res, run_op(graph, op, env))


def layer(
    rng: np.random.Generator, builder: Builder, spec: Spec, w: np.ndarray, out: tuple[int, ...]
) -> tuple[list[str | None], dict[str, object]]:
    """(w, bias, mult, offset, res, rmult, table) of a layer w[N,K], and its attributes."""
    n = w.shape[0]
    info = np.iinfo(DTYPES[spec.x])
    zp = int(rng.integers(info.min, info.max, endpoint=True)) if spec.x != "int16" else 0
    bias = rng.integers(-(2**15), 2**15, n).astype(np.int32)
    attrs: dict[str, object] = {"x_zp": zp, "shift": spec.shift}
    reach = np.abs(w.astype(np.int64)).sum(axis=1) * max(abs(info.min - zp), info.max - zp)
    unit = 16 if spec.weight_bits == 4 else 1  # int4 weights count 16 times in the kernel
    if unit * (reach + 2**15).max() >= 2**31:
        attrs["k_split"] = tuple(range(508, w.shape[1], 508))
    elif spec.split and w.shape[1] > 4:
        attrs["k_split"] = ((w.shape[1] + 4) // 8 * 4,)
    bits = 16 if spec.y == "int16" else 8
    # Real outputs reach `gain` times the output range (of the table's index).
    target = spec.gain * 2.0 ** ((spec.table_bits or bits) - 1 + spec.shift)
    target = np.minimum(target, 2**29)
    grow = np.maximum(reach + 2**15, 1) if spec.values != "random" else np.sqrt(reach * 300.0) + 9
    acc_shift = 0
    if spec.y == "int16":
        acc_shift = int(max(0, min(4, 30 - int(unit * (reach.max() + 2**15)).bit_length())))
    mult = np.minimum(target / grow * 2.0 ** (32 - acc_shift), 2**31 - 1)
    mult = np.minimum(mult, 2.0**29 / (reach + 2.0**15) * 2.0 ** (32 - acc_shift))
    mult = mult.astype(np.int64)
    if acc_shift:
        attrs["acc_shift"] = acc_shift
    if spec.weight_bits == 4:
        attrs["weight_bits"] = 4
        mult = mult // 16 * 16
    if spec.clamp:
        attrs |= {"clamp_min": -17, "clamp_max": 101}
    offset = rng.integers(-(2**20), 2**20, 1).astype(np.int32) >> max(0, 12 - spec.shift)
    inputs: list[str | None] = [
        builder.const("w", w),
        builder.const("bias", bias),
        builder.const("mult", mult.astype(np.int32)),
        builder.const("offset", offset.astype(np.int32)),
    ]
    inputs += _residual(rng, builder, spec, out)
    entries = 1 << spec.table_bits if spec.y == "int8" else INDEX_ENTRIES["int16"]
    table = integers(rng, spec.y, (entries,), "mixed" if spec.values == "mixed" else "random")
    if spec.table_bits:
        attrs["table_bits"] = spec.table_bits
    inputs.append(builder.const("table", table) if spec.table_bits else None)
    return inputs, attrs


def _residual(
    rng: np.random.Generator, builder: Builder, spec: Spec, out: tuple[int, ...]
) -> list[str | None]:
    if spec.res is None:
        return [None, None]
    size = 2**15 if spec.res == "int16" else 2**7
    rmult = rng.integers(-(2**28) // size, 2**28 // size, out[-1]).astype(np.int32)
    data = integers(rng, spec.res, out, "mixed") if spec.res_const else None
    name = builder.add_value("res", TensorType(out, spec.res), data)
    return [name, builder.const("rmult", rmult)]
