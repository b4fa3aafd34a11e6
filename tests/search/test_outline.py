"""The search's graph is the outline of what the lowering makes, operation by operation."""

from dataclasses import replace

import pytest
from test_figures import drawn, exported, quiet

from mcuformer.frontend import load_model
from mcuformer.options import CompileOptions
from mcuformer.pipeline_quant import quantised
from mcuformer.quant.absorb import absorb, absorbable
from mcuformer.schedule.outline import outline
from mcuformer.search.int_graph import int_graph
from mcuformer.search.space import load_space


def structure(graph):
    """Operations with their operands by order of appearance: equal for equal networks."""
    index = {}
    rows = []
    for op in graph.ops:
        names = [n for n in (*op.inputs, *op.outputs)]
        types = [None if n is None else (graph.type(n).shape, graph.type(n).dtype) for n in names]
        who = [
            n
            if n is None
            else "const"
            if graph.values[n].is_const
            else index.setdefault(n, len(index))
            for n in names
        ]
        attrs = {k: tuple(v) if isinstance(v, list) else v for k, v in op.attrs.items()}
        rows.append((op.kind, who, types, sorted(attrs.items())))
    return rows


def lowered(arch, tmp_path):
    path = exported(arch, tmp_path / f"{arch.key()}.onnx")
    c = arch.image[2]
    options = CompileOptions(
        model=path,
        board="stm32f746",
        mean=(0.4,) * c,
        std=(0.3,) * c,
    )
    return quantised(options, load_model(path, {}), False, quiet)[0]


def same_outline(arch, tmp_path):
    graph = lowered(arch, tmp_path)
    own, real = structure(int_graph(arch)), structure(outline(graph))
    assert len(own) == len(real), arch
    for a, b in zip(own, real, strict=True):
        assert a == b, arch
    names = tuple(absorbable(graph))
    assert names
    assert structure(outline(absorb(graph, names))) == structure(absorb(outline(graph), names))


CASES = {
    "padded": {"patch": 5},
    "conv": {"stem": "8/2-12", "patch": 4},
    "cls": {"pool": "cls"},
    "low rank cls": {"pool": "cls", "rank_qkv": 0.5, "hidden": (16, 32), "dim": 24},
    "relative padded cls": {"pool": "cls", "patch": 7, "relative": True, "heads": 2},
    "relative conv": {"stem": "8/2-12/2", "patch": 8, "relative": True, "rank_fc1": 1.0},
}


@pytest.mark.parametrize("case", CASES)
def test_the_outline_is_the_lowering_s(tmp_path, case):
    same_outline(replace(load_space("tiny").smallest(), **CASES[case]), tmp_path)


@pytest.mark.parametrize("preset", ["tiny", "cifar"])
def test_the_outline_of_random_networks(tmp_path, preset):
    for arch in drawn(load_space(preset), 17, 2):
        same_outline(arch, tmp_path)
