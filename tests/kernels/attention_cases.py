"""Random q_attention layers inside the definition's proved bounds, often at their edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from mcuformer.ir.graph import Builder, Graph, Op
from mcuformer.ir.types import TensorType
from mcuformer.operators.interpreter import run_op

VALUES = ("random", "lowest", "highest", "mixed")


@dataclass(frozen=True)
class Spec:
    tq: int
    tk: int
    d: int
    dv: int
    heads: int = 1
    q: str = "int8"
    k: str = "int8"
    v: str = "int8"
    y: str = "int8"
    shared: bool = False
    zero_points: bool = False
    bias: int = 0  # 0 none, 1 shared by the heads, 2 one per head
    spread: float = 3.0  # standard deviation of the scores, in units of e
    gain: float = 1.0  # > 1: outputs saturate
    pre_shift: int = 0
    values: str = "random"
    seed: int = 0


@dataclass(frozen=True)
class Case:
    graph: Graph
    op: Op
    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    expected: np.ndarray


@st.composite
def specs(draw: st.DrawFn, max_t: int = 21, max_d: int = 37) -> Spec:
    small, wide = st.sampled_from(("int8", "int8", "int16")), st.integers(1, max_d)
    heads = draw(st.integers(1, 3))
    k = draw(small)
    return Spec(
        tq=draw(st.integers(1, max_t)),
        tk=draw(st.integers(1, max_t)),
        d=draw(wide),
        dv=draw(wide),
        heads=heads,
        q=draw(small),
        k=k,
        v=draw(small),
        y=draw(small),
        shared=heads > 1 and draw(st.booleans()),
        zero_points=draw(st.booleans()),
        bias=draw(st.integers(0, 2)),
        spread=draw(st.sampled_from((0.1, 3.0, 60.0))),
        gain=draw(st.sampled_from((0.5, 1.0, 8.0))),
        pre_shift=draw(st.sampled_from((0, 0, 3))),
        values=draw(st.sampled_from(VALUES)),
        seed=draw(st.integers(0, 99)),
    )


def fill(rng: np.random.Generator, shape: tuple[int, ...], bound: int, values: str) -> np.ndarray:
    """Integers in -bound-1..bound."""
    if values == "random":
        return rng.integers(-bound - 1, bound + 1, shape)
    if values == "mixed":
        return np.where(rng.integers(0, 2, shape), bound, -bound - 1)
    return np.full(shape, bound if values == "highest" else -bound - 1)


def make_case(spec: Spec) -> Case:
    """The layer, its inputs and what the interpreter makes of them."""
    rng = np.random.default_rng(spec.seed)
    kv_heads = 1 if spec.shared else spec.heads
    k_zp, v_zp = (int(rng.integers(-20, 20)) if spec.zero_points else 0 for _ in range(2))
    k_bound, v_bound = (127 if t == "int8" else 1023 for t in (spec.k, spec.v))
    limit = (2**31 - 1) >> spec.pre_shift  # of the scores
    q_bound = min(127 if spec.q == "int8" else 32767, limit // (spec.d * (k_bound + 21)) - 1)
    q = fill(rng, (spec.tq, spec.heads * spec.d), q_bound, spec.values).astype(spec.q)
    k = fill(rng, (spec.tk, kv_heads * spec.d), k_bound, spec.values).astype(spec.k)
    v = fill(rng, (spec.tk, kv_heads * spec.dv), v_bound, spec.values).astype(spec.v)
    p_shift = 0
    while (32767 >> p_shift) * spec.tk * (v_bound + 21) >= 2**31:
        p_shift += 1
    unit = q_bound * k_bound / 3 * np.sqrt(spec.d) * 2**spec.pre_shift
    step = spec.spread / unit * 2048 / 11 * 2**32
    m = tuple(int(min(2**31 - 1, step * rng.uniform(0.5, 1))) for _ in range(spec.heads))
    y_bound = 127 if spec.y == "int8" else 32767
    gain = spec.gain * y_bound / v_bound
    exponent = 30 - int(np.ceil(np.log2(gain)))
    attrs = {
        "heads": spec.heads,
        "m": m,
        "pre_shift": spec.pre_shift,
        "p_shift": p_shift,
        "o_mant": tuple(int(rng.integers(2**14, 2**15)) for _ in range(spec.heads)),
        "o_exp": (max(exponent, 18 + p_shift + 1),) * spec.heads,
        "k_zp": k_zp,
        "v_zp": v_zp,
    }
    if spec.shared:
        attrs["kv_heads"] = 1
    return build(spec, attrs, q, k, v, rng)


def build(
    spec: Spec, attrs: dict, q: np.ndarray, k: np.ndarray, v: np.ndarray, rng: np.random.Generator
) -> Case:
    b = Builder("attention", "int")
    names = [
        b.add_value(n, TensorType(x.shape, str(x.dtype))) for n, x in (("q", q), ("k", k), ("v", v))
    ]
    bias = None
    if spec.bias:
        shape = (1 if spec.bias == 1 else spec.heads, spec.tq, spec.tk)
        bias = b.const("bias", fill(rng, shape, 32767, spec.values).astype(np.int16))
    out = TensorType((spec.tq, spec.heads * spec.dv), spec.y)
    y = b.op("q_attention", "attention", [*names, bias], out, attrs)
    graph = b.done(names, [y], {})
    env = dict(zip(names, (q, k, v), strict=True))
    return Case(graph, graph.ops[0], q, k, v, run_op(graph, graph.ops[0], env))
