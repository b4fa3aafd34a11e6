"""Values that calibration sees at one number only: a LayerNorm of one channel, weights of zero."""

import re
from dataclasses import replace

import numpy as np
import pytest
import util_models as models
from numpy.typing import NDArray

from mcuformer.errors import UnsupportedModelError, UsageError
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import eval_steps
from mcuformer.ir.layout import dequantise, quantise_input, to_canonical
from mcuformer.ir.text import parse_graph
from mcuformer.operators.interpreter import run_int
from mcuformer.quant import calibrate, lower

SMALL = models.VitConfig(image=(12, 12), width=8, hidden=6, blocks=1)
ONE_CHANNEL = replace(SMALL, head_dim=1, qk_norm=True, pre_norm=False, pool="mean")
DEAD = {
    "nothing": "^$", "equal rows": "^(patch.w|pos|cat)", "rows of zeros": "^(patch|pos|cat)",
    "gamma": "gamma", "gamma and beta": "gamma|beta", "weights": r"\.w$",
    "k": r"\.k\.", "q, k and v": r"\.[qkv]\.", "proj": "proj", "fc1": "fc1", "everything": ".",
}  # fmt: skip


def deadened(graph: Graph, pattern: str) -> Graph:
    """The constants whose names match are all zeros."""
    values = {
        name: v if v.data is None or not re.search(pattern, name)
        else replace(v, data=np.zeros_like(v.data))
        for name, v in graph.values.items()
    }  # fmt: skip
    return graph.replace(values=values)


def outputs(graph: Graph, mode: str) -> tuple[NDArray, NDArray]:
    """Of the float graph and of the integer graph, for images that calibration did not see."""
    seen, unseen = models.images(SMALL, 16), models.images(SMALL, 3, seed=2)
    done = lower(graph, calibrate(graph, seen), mode, None)  # type: ignore[arg-type]
    *_, (_, env) = eval_steps(graph, to_canonical(graph, unseen))
    name = graph.outputs[0]
    got = run_int(done, quantise_input(done, unseen))[name]
    return env[name], dequantise(done, name, got)


@pytest.mark.parametrize("mode", ["8", "mixed", "16"])
@pytest.mark.parametrize("dead", DEAD)
@pytest.mark.parametrize("config", [SMALL, ONE_CHANNEL], ids=["tokens", "one channel"])
def test_what_never_moves_still_lowers(config: models.VitConfig, dead: str, mode: str) -> None:
    want, got = outputs(deadened(models.vit(config), DEAD[dead]), mode)
    assert np.abs(got - want).max() <= 0.25 * np.abs(want).max() + 0.01


def test_values_that_no_grid_holds_are_refused() -> None:
    graph = parse_graph("""
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, 2, 3),)
input x: float32[2x3]
const c: float32[3] = [1e38, 1e38, 1e38]
y = mul(x, c) {} : float32[2x3]
output y""")
    with pytest.raises(UsageError, match="y becomes NaN, infinite or larger"):
        calibrate(graph, np.full((2, 1, 2, 3), 2.0, np.float32))


def _db(graph: Graph, mode: str, seen: NDArray, unseen: NDArray) -> float:
    done = lower(graph, calibrate(graph, seen), mode, None)  # type: ignore[arg-type]
    *_, (_, env) = eval_steps(graph, to_canonical(graph, unseen))
    want = env[graph.outputs[0]]
    got = dequantise(
        done, done.outputs[0], run_int(done, quantise_input(done, unseen))[done.outputs[0]]
    )
    return float(10 * np.log10(np.square(want).sum() / np.square(got - want).sum()))


def _tokens(net: models.Net, y: str) -> Graph:
    meta = {"input_layouts": ("tokens",), "input_shapes": ((1, 4, 8),)}
    return net.b.done(("x",), (y,), meta)


@pytest.mark.parametrize(("mode", "least"), [("8", 20), ("16", 30)])
def test_a_gate_is_no_coarser_for_a_steep_layer(mode: str, least: float) -> None:
    """Its arguments reach hundreds of thousands; it reaches one."""
    net = models.Net("gate", 0)
    net.tokens("x", 4, 8)
    gate = net.emit("unary", "fn", [net.linear("x", 8, "steep", gain=3e4)], (4, 8), fn="sigmoid")
    graph = _tokens(net, net.emit("mul", "y", ["x", gate], (4, 8)))
    x = np.random.default_rng(0).normal(size=(40, 1, 4, 8)).astype(np.float32)
    assert _db(graph, mode, x[:32], x[32:]) > least


@pytest.mark.parametrize("mode", ["8", "16"])
def test_a_product_whose_factors_are_never_large_together_has_steps_that_int32_holds(
    mode: str,
) -> None:
    net = models.Net("product", 0)
    net.tokens("x", 4, 8)
    a, b = (
        net.emit("slice", n, ["x"], (4, 4), axis=1, start=s, stop=s + 4)
        for n, s in (("a", 0), ("b", 4))
    )
    small = net.b.const("small", np.full(4, 1e-3, np.float32))
    parts = [net.emit("mul", f"{n}.small", [n, small], (4, 4)) for n in (a, b)]
    graph = _tokens(net, net.emit("mul", "y", parts, (4, 4)))
    rng = np.random.default_rng(0)
    x = rng.uniform(0.5, 1, (40, 1, 4, 8)).astype(np.float32)
    large = rng.random((40, 1, 4, 4)) < 0.5
    x *= np.concatenate([np.where(large, 1e6, 1), np.where(large, 1, 1e6)], axis=-1)
    lower(graph, calibrate(graph, x[:32]), mode, None)  # type: ignore[arg-type]


def test_a_given_grid_that_is_nothing() -> None:
    """A quantiser gives the mean of an InstanceNorm, which is 0, what its float sums left."""
    graph = parse_graph("""
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, 9, 4),)
meta output_shapes = ((1,),)
input x: float32[9x4]
n = groupnorm(x) {'eps': 1e-05, 'groups': 4} : float32[9x4]
m = mean(n) {} : float32[1x4]
w = mean(x) {} : float32[1x4]
y = add(m, w) {} : float32[1x4]
output y
""")
    grids = {"m": (4e-10, 8, "int8"), "w": (0.01, -3, "int8")}
    graph = graph.replace(meta={**graph.meta, "qdq": grids})
    x = np.random.default_rng(0).normal(size=(12, 9, 4)).astype(np.float32)
    done = lower(graph, calibrate(graph, x), "8", None)
    got = dequantise(done, "y", run_int(done, quantise_input(done, x))["y"])
    assert np.abs(got.reshape(12, 4) - x.mean(1)).max() < 0.03


def test_a_mask_that_hides_too_little_is_refused() -> None:
    graph = parse_graph("""
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, 9, 9),)
meta output_shapes = ((9, 9),)
input x: float32[9x9]
const hide: float32[9x9] = rand(1)
s = add(x, hide) {'masks': True} : float32[9x9]
p = softmax(s) {} : float32[9x9]
output p
""")
    x = np.random.default_rng(0).normal(size=(4, 9, 9)).astype(np.float32)
    lower(graph, calibrate(graph, 5 * x), "8", None)
    with pytest.raises(
        UnsupportedModelError, match="hides only keys that score less than 116 above"
    ):
        lower(graph, calibrate(graph, 100 * x), "8", None)
