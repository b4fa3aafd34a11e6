"""Noise that gathers over many layers is no fault; one wrong layer among them is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.ir.layout import to_canonical
from mcuformer.ir.text import parse_graph
from mcuformer.operators.interpreter import run_int
from mcuformer.operators.verify import verify
from mcuformer.proof import layers
from mcuformer.proof.layers import Shortfall, compare_layers
from mcuformer.quant.policy import Mode
from mcuformer.quant.rewrites import prepare

ROWS, WIDTH, HIDDEN = 9, 16, 32
LOST = "clip(-1000.0, 1000.0)"
HEAD = f"""graph deep float
meta input_dtypes = ('float32',)
meta input_layouts = ('tokens',)
meta input_names = ('x',)
meta input_shapes = ((1, {ROWS}, {WIDTH}),)
meta output_names = ('y',)
meta output_shapes = ((1, {ROWS}, {WIDTH}),)
"""


def deep(blocks: int, attention: bool) -> str:
    """Blocks of an MLP, or of attention and an MLP, each behind its LayerNorm and with its residual."""
    t, h = f"float32[{ROWS}x{WIDTH}]", f"float32[{ROWS}x{HIDDEN}]"
    lines, seed, at = [f"input x: {t}"], 0, "x"
    for i in range(blocks):
        for name, shape in (
            *((f"{w}{i}", (WIDTH, WIDTH)) for w in ("wq", "wk", "wv", "wo")),
            (f"f{i}", (WIDTH, HIDDEN)),
            (f"g{i}", (HIDDEN, WIDTH)),
        ):
            seed += 1
            lines.append(f"const {name}: float32[{shape[0]}x{shape[1]}] = rand({seed})")
        middle = at
        if attention:
            middle = f"r{i}"
            lines += [
                f"l{i} = layernorm({at}) {{'eps': 1e-5, 'groups': 1}} : {t}",
                *(f"{x}{i} = linear(l{i}, w{x}{i}) {{}} : {t}" for x in "qkv"),
                f"a{i} = attention(q{i}, k{i}, v{i}) {{'heads': 2, 'scale': 0.35}} : {t}",
                f"o{i} = linear(a{i}, wo{i}) {{}} : {t}",
                f"r{i} = add({at}, o{i}) {{}} : {t}",
            ]
        lines += [
            f"m{i} = layernorm({middle}) {{'eps': 1e-5, 'groups': 1}} : {t}",
            f"h{i} = linear(m{i}, f{i}) {{}} : {h}",
            f"u{i} = unary(h{i}) {{'fn': 'FN{i}'}} : {h}",
            f"p{i} = linear(u{i}, g{i}) {{}} : {t}",
            f"y{i} = add({middle}, p{i}) {{}} : {t}",
        ]
        at = f"y{i}"
    return HEAD + "\n".join([*lines, f"output {at}", ""])


def graph_of(text: str, blocks: int, **wrong: str) -> Graph:
    for i in reversed(range(blocks)):
        text = text.replace(f"FN{i}'", f"{wrong.get(f'fn{i}', 'gelu')}'")
    return verify(parse_graph(text))


def faults(
    blocks: int, mode: Mode, attention: bool, method: str = "mse", **wrong: str
) -> list[Shortfall]:
    """What is said of so many blocks, of which `wrong` have other functions in the integer graph."""
    text = deep(blocks, attention)
    x = np.random.default_rng(2).normal(size=(8, ROWS, WIDTH)).astype(np.float32)
    right, graph = prepare(graph_of(text, blocks)), graph_of(text, blocks, **wrong)
    ints = quant.lower(graph, quant.calibrate(graph, x, method), mode)
    inputs = to_canonical(right, [x[:2]])
    fed: list[NDArray] = []
    for name, reals in zip(ints.inputs, inputs, strict=True):
        type_ = ints.type(name)
        assert type_.qparams is not None
        fed.append(type_.qparams.quantise(reals, type_.dtype))
    return compare_layers(right, ints, inputs, run_int(ints, fed)).faults


@pytest.mark.long
def test_noise_of_many_layers_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    assert faults(120, "mixed", attention=True) == []
    assert faults(120, "mixed", attention=True, method="minmax") == []
    monkeypatch.setattr(layers, "JUMP_DB", -1.0)  # there is such noise, of ranges without room
    assert faults(120, "mixed", attention=True, method="minmax") != []


@pytest.mark.parametrize("block", [0, 60, 119])
def test_a_lost_function_among_many_is_named(block: int) -> None:
    found = faults(120, "8", attention=False, **{f"fn{block}": LOST})
    assert [f.layer for f in found] == [f"h{block}"], found
