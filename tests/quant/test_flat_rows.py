"""LayerNorm on rows of which some are flat (padding): the others keep their precision."""

from __future__ import annotations

import numpy as np
import pytest
from util_models import Net

from mcuformer import quant
from mcuformer.ir.interp_float import eval_steps
from mcuformer.ir.types import TensorType, Value
from mcuformer.operators.interpreter import run_int
from mcuformer.validate.metrics import sqnr_db


@pytest.mark.parametrize("activations", ["8", "mixed", "16"])
def test_rows_of_zeros_beside_others(activations: str) -> None:
    """Gamma spans all of int16, and the zero rows have no more than epsilon."""
    net = Net("flat", 5)
    x = "tokens"
    net.b.values[x] = Value(x, TensorType((8, 12), "float32"))
    meta = {
        "input_layouts": ("tokens",),
        "input_shapes": ((1, 8, 12),),
        "output_shapes": ((8, 12),),
    }
    graph = net.b.done([x], [net.layernorm(x, "norm")], meta)
    samples = np.random.default_rng(3).normal(size=(32, 8, 12)).astype(np.float32)
    samples[:, 5:] = 0
    integers = quant.lower(graph, quant.calibrate(graph, samples), activations)  # type: ignore[arg-type]
    (grid, out) = (integers.type(n) for n in (integers.inputs[0], integers.outputs[0]))
    assert grid.qparams is not None and out.qparams is not None
    values = run_int(integers, grid.qparams.quantise(samples, grid.dtype))
    *_, (_, env) = eval_steps(graph, samples)
    found = sqnr_db(env["norm"], out.qparams.dequantise(values[integers.outputs[0]]))
    assert found is not None and found > (35 if activations == "8" else 60)


def test_rows_flatter_than_the_few_that_were_seen() -> None:
    """One row a sample, of which calibration had 24: int16 results have room for rows as flat as epsilon."""
    net = Net("flatter", 5)
    x = "tokens"
    net.b.values[x] = Value(x, TensorType((1, 12), "float32"))
    meta = {
        "input_layouts": ("tokens",),
        "input_shapes": ((1, 1, 12),),
        "output_shapes": ((1, 12),),
    }
    graph = net.b.done([x], [net.layernorm(x, "norm")], meta)
    samples = np.random.default_rng(3).normal(size=(48, 1, 12)).astype(np.float32)
    integers = quant.lower(graph, quant.calibrate(graph, samples[:24]), "16")
    samples *= 0.02
    (grid, out) = (integers.type(n) for n in (integers.inputs[0], integers.outputs[0]))
    assert grid.qparams is not None and out.qparams is not None
    values = run_int(integers, grid.qparams.quantise(samples, grid.dtype))
    *_, (_, env) = eval_steps(graph, samples)
    found = sqnr_db(env["norm"], out.qparams.dequantise(values[integers.outputs[0]]))
    assert found is not None and found > 40


@pytest.mark.parametrize("rows", [1, 3])
def test_samples_flatter_than_all_of_them_together(rows: int) -> None:
    """A group of few rows is as flat as one sample can be, not as all are."""
    net = Net("flat_groups", 5)
    x = "tokens"
    net.b.values[x] = Value(x, TensorType((rows, 4), "float32"))
    meta = {
        "input_layouts": ("tokens",),
        "input_shapes": ((1, rows, 4),),
        "output_shapes": ((rows, 4),),
    }
    y = net.b.op(
        "groupnorm", "norm", [x], TensorType((rows, 4), "float32"), {"eps": 1e-5, "groups": 2}
    )
    graph = net.b.done([x], [y], meta)
    rng = np.random.default_rng(3)
    samples = rng.normal(size=(96, rows, 4)) * rng.choice([0.02, 1.0], (96, 1, 1))
    samples = samples.astype(np.float32)
    integers = quant.lower(graph, quant.calibrate(graph, samples[:48]), "16")
    (grid, out) = (integers.type(n) for n in (integers.inputs[0], integers.outputs[0]))
    assert grid.qparams is not None and out.qparams is not None
    values = run_int(integers, grid.qparams.quantise(samples, grid.dtype))
    *_, (_, env) = eval_steps(graph, samples)
    found = sqnr_db(env[y], out.qparams.dequantise(values[integers.outputs[0]]))
    assert found is not None and found > 40
