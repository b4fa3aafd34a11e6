"""Dense outputs by lines, through every link: what hands rows out as they are made, and what cannot."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from chain import follow, scheduled
from drawn_model import EVERYWHERE, imported, weights_of
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ends import GOALS, MODES, QUIET, configs, outputs_of, pair
from util_models import VitConfig

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.operators.line_outputs import by_lines
from mcuformer.plan.fit import Schedule

LAYERS = weights_of(
    {"w": (12, 3, 3, 3), "v": (7, 12, 1, 1), "p": (1, 12, 1, 1), "u": (12, 12, 3, 3), "g": (112, 5)}
)
HEAD = "a = Conv <pads = [1, 1, 1, 1]> (x, w)  r = Relu(a)"
MAP = f'{HEAD} b = Conv(r, v)  e = Resize <mode = "linear"> (b, , s)'
MODELS = {
    "a convolution": f"{HEAD} y = Conv <pads = [1, 1, 1, 1]> (r, u)",
    "a layer of pixels": f"{HEAD} y = Conv(r, v)",
    "an enlarged map": f'{HEAD} b = Conv(r, v)  y = Resize <mode = "linear"> (b, , s)',
    "a mask": f'{HEAD} b = Conv(r, p)  c = Resize <mode = "linear"> (b, , s)  y = Sigmoid(c)',
    "shares": f"{MAP} y = Softmax <axis = 1> (e)",
    "classes": f"{MAP} y = ArgMax <axis = 1, keepdims = 0> (e)",
    "tokens": f"{HEAD} b = Conv(r, v)  c = Reshape(b, t)  y = Transpose <perm = [0, 2, 1]> (c)",
    "two joined": f"{HEAD} b = Conv(r, v)  c = Conv(r, p)  y = Concat <axis = 1> (b, c)",
    "one of two": f"{HEAD} b = Conv <pads = [1, 1, 1, 1]> (r, u)  y = Add(b, r)",
}


def graph_of(tmp_path: Path, name: str, activations: str = "8") -> Graph:
    more = {"s": np.array([1, 1, 2, 2], np.float32), "t": np.array([1, 7, -1], np.int64)}
    graph = imported(tmp_path, MODELS[name], (1, 3, 8, 10), {**LAYERS, **more})
    return quant.lower(graph, quant.synthetic_stats(graph), activations)  # type: ignore[arg-type]


def leaving(made: Schedule) -> list[bool]:
    return [t.buffer is None for t in made.program.outputs]


@pytest.mark.parametrize("name", MODELS)
def test_maps_by_lines(tmp_path: Path, name: str) -> None:
    made = scheduled(by_lines(graph_of(tmp_path, name)), "bands", "ram")
    assert leaving(made) == [True]
    follow(made, tmp_path, EVERYWHERE)


@pytest.mark.parametrize("name", ["an enlarged map", "a layer of pixels"])
def test_maps_of_16_bits(tmp_path: Path, name: str) -> None:
    made = scheduled(by_lines(graph_of(tmp_path, name, "16")), "resident", "speed")
    follow(made, tmp_path, ("host", "unicorn"))


@pytest.mark.parametrize("name", ["a convolution", "a layer of pixels", "an enlarged map"])
def test_the_map_is_never_whole(tmp_path: Path, name: str) -> None:
    """Its bytes are in no buffer, and a window of it is smaller."""
    graph = by_lines(graph_of(tmp_path, name))
    made = scheduled(graph, "bands", "ram")
    size = graph.type(graph.outputs[0]).size_bytes
    windows = [b for n, b in made.program.buffers.items() if n.startswith(f"{graph.outputs[0]}.")]
    assert graph.outputs[0] not in made.program.buffers
    assert max(b.size_bytes for b in windows if b.name.endswith(".lines")) <= size // 2
    *_, sweep = (s for run in made.program.runs for s in run.sweeps)
    assert sweep.images[-1].room == 0  # as the report shows it


def test_a_map_that_layers_read_lies_whole_and_is_handed_out(tmp_path: Path) -> None:
    """From where the next layer reads it, strip by strip; scores stay in the arena."""
    nodes = f"{HEAD} b = Conv(r, u)  m = GlobalAveragePool(b)  f = Flatten(m)  y = MatMul(f, k)"
    k = np.ones((12, 5), np.float32)
    graph = imported(tmp_path, nodes, (1, 3, 8, 10), {**LAYERS, "k": k})
    whole = next(op.outputs[0] for op in reversed(graph.ops) if op.kind == "conv2d")
    shapes = (*graph.meta["output_shapes"], (1, *graph.type(whole).shape))
    graph = graph.replace(
        outputs=(*graph.outputs, whole), meta={**graph.meta, "output_shapes": shapes}
    )
    made = scheduled(by_lines(quant.lower(graph, quant.synthetic_stats(graph))), "bands", "ram")
    assert leaving(made) == [False, True]
    assert "write_lines" in [call.kernel for call, loops in made.program.calls() if loops]
    follow(made, tmp_path, EVERYWHERE)


def test_scores_stay(tmp_path: Path) -> None:
    nodes = f"{HEAD} m = GlobalAveragePool(r)  f = Flatten(m)  y = MatMul(f, k)"
    graph = imported(tmp_path, nodes, (1, 3, 8, 10), {**LAYERS, "k": np.ones((12, 5), np.float32)})
    lowered = quant.lower(graph, quant.synthetic_stats(graph), "8")
    assert by_lines(lowered) is lowered


@settings(max_examples=12, **QUIET)
@given(configs(), MODES, GOALS, st.integers(0, 999), st.booleans())
def test_drawn_outputs_by_lines(
    config: VitConfig, mode: str, goal: str, seed: int, sequence: bool
) -> None:
    """Activations that others read, views of them, inputs passed through."""
    with tempfile.TemporaryDirectory() as name:
        graph = by_lines(outputs_of(config, seed, sequence))
        follow(scheduled(graph, mode, goal), Path(name), ("host",))


def test_drawn_outputs_everywhere(tmp_path: Path) -> None:
    config = VitConfig(image=(8, 8), width=12, heads=2, head_dim=5, hidden=20, blocks=2, seed=3)
    made = scheduled(by_lines(pair(config, 5)), "bands", "ram")
    assert True in leaving(made)
    follow(made, tmp_path, EVERYWHERE)
