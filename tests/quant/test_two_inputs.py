"""Quantisation with several inputs and outputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from util_models import VitConfig, images, sequence_model, tokens, two_input_model, with_outputs

from mcuformer.errors import UsageError
from mcuformer.ir.interp_float import eval_steps
from mcuformer.ir.layout import dequantise, quantise_input, to_canonical
from mcuformer.operators.interpreter import run_int
from mcuformer.quant import InputFormat, calibrate, lower, synthetic_stats
from mcuformer.quant.absorb import absorbable
from mcuformer.quant.rewrites import prepare
from mcuformer.quant.sensitivity import sensitivities
from mcuformer.validate.metrics import sqnr_db

CFG = VitConfig(width=24, heads=2, hidden=48, blocks=1)
LENGTH = 5
PIXELS = InputFormat((0.5,) * 3, (0.25,) * 3)


def data(count: int, seed: int) -> tuple:
    return images(CFG, count, seed), tokens(CFG, count, LENGTH, seed)


@pytest.mark.parametrize("formats", [None, PIXELS, (PIXELS, None)])
def test_two_inputs_and_two_outputs(formats: object) -> None:
    """Every output stays near the float graph; pixels for the image, a grid of its own for the text."""
    graph, unseen = two_input_model(CFG, LENGTH), data(8, 7)
    done = lower(graph, calibrate(graph, data(32, 1)), "8", formats)  # type: ignore[arg-type]
    assert done.type("image").dtype == ("int8" if formats is None else "uint8")
    assert done.type("text").dtype == "int8"
    assert [i["mean"] for i in done.meta["inputs"]] == [formats and [0.5] * 3, None]
    *_, (_, env) = eval_steps(graph, to_canonical(graph, unseen))
    got = run_int(done, quantise_input(done, unseen))
    assert len(done.outputs) == 2
    for name, wanted in zip(done.outputs, graph.outputs, strict=True):
        error = sqnr_db(env[wanted], dequantise(done, name, got[name]))
        assert error is not None and error > 22


def test_samples_of_one_input_are_not_enough() -> None:
    graph = two_input_model(CFG, LENGTH)
    with pytest.raises(UsageError, match="has 2 inputs, given are 1"):
        calibrate(graph, data(4, 1)[0])
    image, text = data(4, 1)
    with pytest.raises(UsageError, match="as many samples"):
        calibrate(graph, (image, text[:3]))


def test_without_data_and_by_sensitivity() -> None:
    graph = two_input_model(CFG, LENGTH)
    lower(graph, synthetic_stats(graph))
    stats = calibrate(graph, data(4, 1))
    layers = [op for op in stats.graph.ops if op.kind in ("linear", "patch_embed")]
    found = sensitivities(stats, layers, {op.name: 1000 for op in layers})
    assert all(0 < error < 1 for error in found.values())


def test_an_input_passed_through_is_copied() -> None:
    """Its output is another value, of the same grid, that holds the same integers."""
    graph = sequence_model(replace(CFG, pool="mean"), LENGTH)
    shapes = (*graph.meta["output_shapes"], (1, LENGTH, CFG.width))
    graph = graph.replace(
        outputs=(*graph.outputs, "x"), meta={**graph.meta, "output_shapes": shapes}
    )
    assert prepare(graph).outputs[1] != "x"
    done = lower(graph, calibrate(graph, tokens(CFG, 4, LENGTH)))
    x = quantise_input(done, tokens(CFG, 2, LENGTH, 9))
    values = run_int(done, x)
    assert np.array_equal(values[done.outputs[1]], values["x"])


def test_k_that_is_an_output_is_not_absorbed() -> None:
    graph = sequence_model(replace(CFG, pool="mean"), LENGTH)
    done = lower(graph, synthetic_stats(graph))
    (name,) = absorbable(done)
    k = next(str(op.inputs[1]) for op in done.ops if op.name == name)
    assert not absorbable(done.replace(outputs=(*done.outputs, k)))


@pytest.mark.parametrize("seed", range(6))
def test_any_activation_may_be_an_output(seed: int) -> None:
    """However many: the rewrites keep their values."""
    graph, unseen = with_outputs(two_input_model(CFG, LENGTH), seed, 6), data(6, 5)
    done = lower(graph, calibrate(graph, data(8, 2)))
    env = dict(zip(graph.inputs, to_canonical(graph, unseen), strict=True))
    for _, alive in eval_steps(graph, to_canonical(graph, unseen)):
        env |= {name: alive[name] for name in graph.outputs if name in alive}
    got = run_int(done, quantise_input(done, unseen))
    for name, wanted in zip(done.outputs, graph.outputs, strict=True):
        error = sqnr_db(env[wanted], dequantise(done, name, got[name]))
        assert error is not None and error > 15
