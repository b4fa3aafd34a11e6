"""Lowering from shapes alone gives the outline of lowering with numbers, operation by operation."""

from __future__ import annotations

from typing import Any

import pytest
import util_models as models
from hypothesis import example, given, settings
from util_joins import Joins, joins, joins_model
from util_stems import Stem, stem_model, stems

from mcuformer.ir.graph import Graph
from mcuformer.ir.placeholders import constant
from mcuformer.ir.text import parse_graph
from mcuformer.operators.outline import outline
from mcuformer.quant import InputFormat, lower, synthetic_stats
from mcuformer.quant.absorb import absorb, absorbable
from mcuformer.quant.lower import lower_shapes
from mcuformer.quant.policy import Mode
from mcuformer.quant.rewrites.fuse_epilogue import PRODUCERS

PIXELS = InputFormat((0.5, 0.5, 0.5), (0.19, 0.19, 0.19))
MODES: tuple[Mode, ...] = ("8", "mixed", "16")
VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"pool": "mean"},
    {"pool": "none"},
    {"pre_norm": False, "activation": "relu"},
    {"qk_norm": True, "attention_bias": True},
    {"rank": 6},
    {"activation": "relu6", "heads": 1},
    {"heads": 3, "width": 15, "hidden": 29, "head_dim": 7, "bias": False},
    {"stem": True},
)


def bare(graph: Graph) -> Graph:
    """`graph` without its numbers."""
    values = {
        n: constant(n, "float32", v.type.shape) if v.is_const else v
        for n, v in graph.values.items()
    }
    return graph.replace(values=values, meta={**graph.meta, "shapes_only": True})


def structure(graph: Graph) -> list[tuple[Any, ...]]:
    """Operations with operands, types and attributes; names of all but constants."""
    values = graph.values
    told = {n: (None if v.is_const else n, v.type.shape, v.type.dtype) for n, v in values.items()}
    return [
        (op.kind, op.name, dict(op.attrs), op.origin, [n and told[n] for n in op.inputs],
         [told[n] for n in op.outputs])
        for op in graph.ops
    ]  # fmt: skip


def same(graph: Graph, mode: Mode, pixels: InputFormat | None = None, bits: int = 8) -> None:
    stats = synthetic_stats(graph)
    for value in map(stats.values.__getitem__, graph.inputs):
        value.low[:] = -2 * value.high.max()  # real ones are not as far below zero as above
    table = {op.name: bits for op in stats.graph.ops if op.kind in PRODUCERS}
    real = lower(graph, stats, mode, pixels, table)
    own = lower_shapes(bare(graph), mode, graph.inputs if pixels else (), table)
    assert structure(own) == structure(outline(real))
    assert all(not any(v.data.strides) for v in own.values.values() if v.data is not None)
    names = [n for n in absorbable(real) if n in absorbable(own)]
    assert structure(absorb(own, names)) == structure(outline(absorb(real, names)))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_transformers(variant: dict[str, Any], mode: Mode) -> None:
    config = models.VitConfig(**variant)
    same(models.vit(config), mode, PIXELS)
    same(models.sequence_model(config, 7), mode)


@pytest.mark.parametrize("mode", MODES)
def test_weights_of_four_bits(mode: Mode) -> None:
    same(models.vit(models.VitConfig()), mode, PIXELS, bits=4)


@settings(max_examples=15, deadline=None)
@given(joins())
@example(
    Joins((1, 3), 5, ("linear", "norm", "linear", "linear", "channels"), "mean", False, 0, False)
)
def test_joins(case: Joins) -> None:
    for mode in MODES:
        same(joins_model(case), mode)


@settings(max_examples=15, deadline=None)
@given(stems())
def test_stems(case: Stem) -> None:
    for mode in MODES:
        same(stem_model(case), mode)


STATISTICS = """
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, 9, 12),)
meta output_shapes = ((1,),)
input x: float32[9x12]
const w: float32[12x12] = rand(1)
const lift: float32[12] = 2.0
const mean: float32[12x1] = 0.1
a = linear(x, w, lift) {} : float32[9x12]
b = groupnorm(a, lift) {'eps': 1e-05, 'groups': 3} : float32[9x12]
c = linear(b, w) {} : float32[9x12]
d = add(c, a) {} : float32[9x12]
e = groupnorm(d) {'eps': 1e-05, 'groups': 12, 'centred': False} : float32[9x12]
g = rms(e) {'eps': 0.0, 'groups': 12} : float32[1x12]
m = linear(g, mean) {} : float32[1x1]
r = power(m) {'exponent': -1.0} : float32[1x1]
n = mul(g, r) {} : float32[1x12]
y = mul(e, n) {} : float32[9x12]
output y
"""


@pytest.mark.parametrize("mode", MODES)
def test_statistics_over_rows(mode: Mode) -> None:
    same(parse_graph(STATISTICS), mode)
