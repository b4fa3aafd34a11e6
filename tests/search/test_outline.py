"""The search's graphs are what the frontend, the passes and the lowering make of exports."""

import math
from dataclasses import replace

import pytest
from test_figures import drawn, exported, quiet, varied

from mcuformer.compile.options import CompileOptions
from mcuformer.compile.quantise import measured, quantised
from mcuformer.compile.source import read_source
from mcuformer.frontend import load_model
from mcuformer.operators.outline import outline
from mcuformer.operators.verify import verify
from mcuformer.passes import run_float_passes
from mcuformer.quant.absorb import absorb, absorbable
from mcuformer.search.float_graph import float_graph, parts
from mcuformer.search.outline import short_outline, whole_outline
from mcuformer.search.space import load_space


def structure(graph):
    """Operations with their operands by order of appearance: equal for equal networks."""
    index = {}
    rows = []
    for op in graph.ops:
        names = [*op.inputs, *op.outputs]
        types = [None if n is None else (graph.type(n).shape, graph.type(n).dtype) for n in names]
        who = [
            n
            if n is None
            else "const"
            if graph.values[n].is_const
            else index.setdefault(n, len(index))
            for n in names
        ]
        attrs = {k: _plain(v) for k, v in op.attrs.items()}
        rows.append((op.kind, who, types, sorted(attrs.items())))
    return rows


def _plain(value):
    """The file has eps and scale in float32."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    return tuple(value) if isinstance(value, list) else value


def same(one, other, arch):
    a, b = structure(one), structure(other)
    assert len(a) == len(b), arch
    for x, y in zip(a, b, strict=True):
        assert x == y, arch


def same_graphs(arch, tmp_path):
    path = exported(arch, tmp_path / f"{arch.key()}.onnx")
    c = arch.image[2]
    options = CompileOptions(model=path, board="stm32f746", mean=(0.4,) * c, std=(0.3,) * c)
    read = load_model(path, {})
    same(verify(run_float_passes(float_graph(arch, parts(arch)))), read, arch)
    graph = quantised(measured(read_source(options), read, False, quiet))[0]
    same(verify(whole_outline(arch)), outline(graph), arch)
    names = tuple(absorbable(graph))
    assert bool(names) == (arch.tokens > 1)  # one token is of int16 throughout
    same(outline(absorb(graph, names)), absorb(outline(graph), names), arch)


RANKS = ("rank_qkv", "rank_proj", "rank_fc1", "rank_fc2")
LOW_RANK = {"dim": 24, "hidden": (48, 96), "heads": 2, "head_dim": 12}
CASES = {
    "padded": {"patch": 5},
    "conv": {"stem": "8/2-12", "patch": 4},
    "cls": {"pool": "cls"},
    "one token": {"patch": 24, "hidden": (16, 32)},
    "one token conv": {"stem": "8/3-8/2-8/2", "patch": 24, "hidden": (16, 32)},
    "cls conv": {"pool": "cls", "stem": "8/2", "patch": 4, "hidden": (16, 32)},
    "all low": {"hidden": (48, 96), "dim": 48, **dict.fromkeys(RANKS, 0.25)},
    "relative padded cls": {"pool": "cls", "patch": 7, "relative": True, "heads": 2},
    "relative conv": {"stem": "8/2-12/2", "patch": 8, "relative": True, "rank_fc1": 0.25},
    **{f"{r} {p}": {r: 0.25, "pool": p, **LOW_RANK} for r in RANKS for p in ("mean", "cls")},
}


@pytest.mark.parametrize("case", CASES)
def test_the_graphs_are_those_of_the_export(tmp_path, case):
    arch = replace(load_space("tiny").smallest(), **{**dict.fromkeys(RANKS, 1.0), **CASES[case]})
    low = [r for r in RANKS if CASES[case].get(r, 1.0) < 1]
    assert low == [r for r in RANKS if getattr(arch.ranks(0), r.removeprefix("rank_"))]
    same_graphs(arch, tmp_path)


@pytest.mark.parametrize("preset", ["tiny", "cifar", "imagenet"])
def test_the_graphs_of_random_networks(tmp_path, preset):
    for arch in drawn(varied(preset), 17, 2 if preset != "imagenet" else 1):
        same_graphs(arch, tmp_path)


@pytest.mark.parametrize("preset", ["tiny", "cifar", "imagenet"])
def test_equal_halves_of_blocks_are_lowered_once(preset):
    """The short outline is that of the network with one block of each kind, whatever was known."""
    known = {}
    one = {
        "patch": 24,
        "hidden": (16, 32, 16, 16),
    }  # token: its sums are wider than what the stem gives
    ones = [
        load_space("tiny").smallest(),
        replace(load_space("tiny").smallest(), stem="8/3-8/2-8/2"),
    ]
    for arch in [*drawn(varied(preset), 3, 60), *(replace(a, **one) for a in ones)]:
        *body, last = arch.hidden
        kinds = sorted(set(body), key=lambda h, body=body: -body[::-1].index(h))
        short, own = short_outline(arch, known), replace(arch, hidden=(*kinds, last))
        same(verify(short), whole_outline(own), arch)
        counts = short.meta["times"]
        assert list(counts.values()) == [body.count(h) for h in kinds for _ in "am"]
        at = [op.origin[0] for op in short.ops if op.origin and op.origin[0] in counts]
        assert list(dict.fromkeys(at)) == list(counts)


def test_no_number_is_stored():
    """A network of five million weights: every constant is one number, seen often."""
    graph = short_outline(load_space("imagenet").largest())
    weights = [v.data for v in graph.values.values() if v.is_const]
    assert sum(math.prod(w.shape) for w in weights) > 1e6
    assert all(not any(w.strides) for w in weights)
