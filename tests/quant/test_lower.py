"""Whole small models through calibration and lowering: close to float, proved, refused."""

import numpy as np
import pytest
import util_models as models
from numpy.typing import NDArray

from mcuformer.errors import UnsupportedModelError, UsageError
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import eval_steps
from mcuformer.ir.layout import dequantise, quantise_input, to_canonical
from mcuformer.operators.interpreter import run_int
from mcuformer.quant import InputFormat, calibrate, lower, synthetic_stats

PIXELS = InputFormat((0.5, 0.5, 0.5), (0.19, 0.19, 0.19))
VARIANTS = [
    {},
    {"pool": "mean"},
    {"pool": "none"},
    {"pre_norm": False, "activation": "relu"},
    {"qk_norm": True, "attention_bias": True},
    {"rank": 6},
    {"activation": "relu6", "heads": 1},
    {"heads": 3, "width": 15, "hidden": 29, "head_dim": 7, "bias": False},
    {"stem": True},
]


def sqnr(want: NDArray, got: NDArray) -> float:
    return float(10 * np.log10(np.sum(want**2) / np.sum((got - want) ** 2)))


def lowered(cfg: models.VitConfig, mode: str, sequence: bool = False) -> tuple[Graph, float]:
    """The int graph and its SQNR on inputs that calibration did not see."""
    if sequence:
        graph = models.sequence_model(cfg, 7)
        seen, unseen = models.tokens(cfg, 48, 7), models.tokens(cfg, 24, 7, seed=2)
    else:
        graph = models.vit(cfg)
        seen, unseen = models.images(cfg, 48), models.images(cfg, 24, seed=2)
    done = lower(graph, calibrate(graph, seen), mode, None if sequence else PIXELS)
    *_, (_, env) = eval_steps(graph, to_canonical(graph, unseen))
    name = graph.outputs[0]
    got = run_int(done, quantise_input(done, unseen))[name]
    return done, sqnr(env[name], dequantise(done, name, got))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize(("mode", "least"), [("8", 22), ("mixed", 26), ("16", 31)])
def test_images(variant: dict, mode: str, least: float) -> None:
    assert lowered(models.VitConfig(**variant), mode)[1] > least


@pytest.mark.parametrize("variant", [{}, {"pre_norm": False, "pool": "none"}], ids=str)
@pytest.mark.parametrize(("mode", "least"), [("8", 19), ("mixed", 26), ("16", 32)])
def test_sequences(variant: dict, mode: str, least: float) -> None:
    assert lowered(models.VitConfig(**variant), mode, sequence=True)[1] > least


@pytest.mark.parametrize("mode", ["8", "mixed", "16"])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_no_input_leaves_the_proved_bounds(variant: dict, mode: str) -> None:
    """The interpreter raises where an int32 or int16 would overflow."""
    graph = models.vit(models.VitConfig(**variant))
    done = lower(graph, synthetic_stats(graph), mode, PIXELS)
    shape = done.type(done.inputs[0]).shape
    rng = np.random.default_rng(0)
    extremes = [np.zeros(shape), np.full(shape, 255), rng.integers(0, 2, shape) * 255]
    run_int(done, np.array([*extremes, rng.integers(0, 256, shape)], np.uint8))


def test_element_types_follow_the_mode() -> None:
    cfg = models.VitConfig(blocks=2)
    types = {}
    for mode in ("8", "mixed", "16"):
        done = lowered(cfg, mode)[0]
        types[mode] = {op.outputs[0]: done.type(op.outputs[0]).dtype for op in done.ops}
    rows = {n: done.type(n).shape[0] for n in types["8"]}
    assert {types["8"][n] for n in rows if rows[n] > 1} == {"int8"}
    tail = [n for n in rows if n.startswith(("blocks.1.norm2", "blocks.1.mlp", "norm"))]
    assert {rows[n] for n in tail} == {1} and {types["8"][n] for n in tail} == {"int16"}
    assert types["8"]["head"] == "int8"  # what the C interface hands out
    norms = [n for n in rows if "norm" in n]
    assert {types["mixed"][n] for n in norms} == {"int16"}
    assert {types["mixed"][n] for n in rows if n.endswith((".q", ".k", ".v"))} == {"int8"}
    assert set(types["16"].values()) == {"int16"}


def test_pixels_are_exact() -> None:
    done, _ = lowered(models.VitConfig(), "8")
    raw = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 3)).astype(np.uint8)
    real = dequantise(done, done.inputs[0], raw).astype(np.float32)
    assert np.array_equal(quantise_input(done, np.moveaxis(real, -1, 1))[0], raw)
    assert (
        done.meta["inputs"][0]["dtype"] == "uint8" and done.meta["inputs"][0]["mean"] == [0.5] * 3
    )


def test_given_scales_are_used() -> None:
    """As in a QDQ model: no data, one scale per tensor, the integers those of the file."""
    graph = models.vit(models.VitConfig())
    stream = next(op.outputs[0] for op in graph.ops if op.kind == "add" and "blocks.0" in op.name)
    given = {stream: (0.05, 110, "uint8"), graph.inputs[0]: (0.02, 3, "int8")}
    graph = graph.replace(meta={**graph.meta, "qdq": given})
    done = lower(graph, synthetic_stats(graph))
    for name, (scale, zero) in {stream: (0.05, -18), graph.inputs[0]: (0.02, 3)}.items():
        qparams = done.type(name).qparams
        assert qparams is not None
        np.testing.assert_allclose(qparams.scale, scale, rtol=1e-6)
        np.testing.assert_allclose(qparams.zero_point, zero, atol=1e-3)


def test_everything_unsupported_in_one_message() -> None:
    net = models.Net("odd", 0)
    net.image("x", 6, 6, 4)
    y = net.emit(
        "avgpool", "pool", ["x"], (1, 1, 4), kernel=(150, 150), strides=(9, 9), pads=(72,) * 4
    )
    y = net.emit("roll", "up", [net.emit("tilt", "act", [y], (1, 1, 4))], (8, 8, 4))
    graph = net.b.done(["x"], [y], {})
    stats = synthetic_stats(models.vit(models.VitConfig()))
    with pytest.raises(UnsupportedModelError) as caught:
        lower(graph, stats.__class__(graph, "minmax", {}))
    for word in ("/pool", "/act", "/up", "tilt", "roll", "average"):
        assert word in caught.value.message


def test_a_model_that_computes_nothing() -> None:
    net = models.Net("none", 0)
    net.tokens("x", 6, 4)
    graph = net.b.done(["x"], [net.emit("reshape", "y", ["x"], (3, 8))], {})
    stats = synthetic_stats(models.vit(models.VitConfig()))
    with pytest.raises(UnsupportedModelError, match="computes nothing"):
        lower(graph, stats.__class__(graph, "minmax", {}))


@pytest.mark.parametrize("fmt", [InputFormat((0.5,), (0.2,)), InputFormat((0.5,) * 3, (0.0,) * 3)])
def test_bad_mean_and_std(fmt: InputFormat) -> None:
    graph = models.vit(models.VitConfig())
    with pytest.raises(UsageError, match="mean and std"):
        lower(graph, synthetic_stats(graph), "8", fmt)


@pytest.mark.parametrize("shape", [(4, 3, 12, 13), (12, 12, 3), (0, 3, 12, 12), (5,)])
def test_samples_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="do not match"):
        calibrate(models.vit(models.VitConfig()), np.zeros(shape, np.float32))


def test_samples_that_are_not_numbers_or_a_method_that_is_none() -> None:
    graph = models.vit(models.VitConfig())
    samples = models.images(models.VitConfig(), 2)
    with pytest.raises(UsageError, match="method"):
        calibrate(graph, samples, "best")
    samples[0, 0, 0, 0] = np.nan
    with pytest.raises(UsageError, match="NaN"):
        calibrate(graph, samples)
