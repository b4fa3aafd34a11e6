"""What the network's outputs lose when one layer's weights get 4 bits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.float_ops.arithmetic import windows
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.interp_float import eval_op
from mcuformer.quant.calibrate import CalibrationStats
from mcuformer.quant.gptq import feedback, gptq, round_weights, weight_scale

_MACS = 5e11  # of all trials together: half a minute of one core
_MOST_SAMPLES = 32


def sensitivities(
    stats: CalibrationStats, ops: Iterable[Op], macs: Mapping[str, int]
) -> dict[str, float]:
    """Per layer of `ops` the relative squared error of the outputs when it alone is rounded to 4
    bits, on calibration samples; without samples that of its own weights, which needs no data.

    `macs` of each layer bound the number of samples.
    """
    chosen = list(ops)
    if stats.samples is None:
        return {op.name: weight_error(stats, op) for op in chosen}
    work = sum(macs.values()) * len(chosen) / 2  # half of the network is behind a layer, on average
    count = int(np.clip(_MACS / max(work, 1.0), 1, min(_MOST_SAMPLES, stats.count)))
    picked = np.linspace(0, stats.count - 1, count).round().astype(int)
    total = dict.fromkeys((op.name for op in chosen), 0.0)
    coarse = {op.name: rounded(stats, op) for op in chosen}
    for i in picked:
        for name, error in _errors(stats.graph, stats.some(slice(i, i + 1)), coarse).items():
            total[name] += error / count
    return total


def rounded(stats: CalibrationStats, op: Op) -> NDArray[np.float32]:
    """Its weights at 4 bits: by GPTQ where the rows that it reads are at hand, else to nearest."""
    w = stats.graph.const(op.inputs[1])
    assert w is not None
    flat = w.reshape(-1, w.shape[-1]).astype(np.float64)
    x = _rows(stats, op)
    if x is None:
        scale = weight_scale(flat, 4)
        q = round_weights(flat, scale, 4)
    else:
        x = x - x.mean(axis=0)
        hessian = (x.T @ x).astype(np.float64) / len(x)
        scale = weight_scale(flat, 4, np.diag(hessian))
        q = gptq(flat, feedback(hessian), scale, 4)
    return (scale * q).reshape(w.shape).astype(np.float32)


def _rows(stats: CalibrationStats, op: Op) -> NDArray[np.float32] | None:
    """Rows [R, K] of a linear layer, or of a convolution of one group that reads the calibration samples."""
    if stats.samples is None:
        return None
    x = str(op.inputs[0])
    if op.kind == "linear":
        return stats.values[x].rows
    if x not in stats.graph.inputs or op.attrs.get("group", 1) > 1:
        return None
    kernel = stats.graph.type(str(op.inputs[1])).shape[:2]
    pads = op.attrs.get("pads", (0, 0, 0, 0))
    seen = stats.samples[stats.graph.inputs.index(x)][:_MOST_SAMPLES]
    taken = windows(seen, kernel, op.attrs["strides"], pads)
    return taken.reshape(-1, taken.shape[-2] * taken.shape[-1])


def weight_error(stats: CalibrationStats, op: Op) -> float:
    """Squared rounding error of the weights relative to their energy."""
    w = stats.graph.const(op.inputs[1])
    assert w is not None
    return float(np.square(rounded(stats, op) - w).sum() / max(float(np.square(w).sum()), 1e-30))


def _errors(graph: Graph, x: Sequence[NDArray], coarse: Mapping[str, NDArray]) -> dict[str, float]:
    """Relative squared error of the outputs of one sample per layer that alone gets `coarse` weights."""
    env: dict[str, NDArray] = {
        n: np.asarray(a, np.float32) for n, a in zip(graph.inputs, x, strict=True)
    }
    for op in graph.ops:
        env[op.outputs[0]] = eval_op(graph, op, env)
    return {
        op.name: _trial(graph, i, coarse[op.name], env)
        for i, op in enumerate(graph.ops) if op.name in coarse
    }  # fmt: skip


def _trial(graph: Graph, index: int, coarse: NDArray, env: Mapping[str, NDArray]) -> float:
    op = graph.ops[index]
    weight = str(op.inputs[1])
    value = replace(graph.values[weight], data=coarse)
    changed_graph = graph.replace(values={**graph.values, weight: value})
    changed = {op.outputs[0]: eval_op(changed_graph, op, env)}
    for later in graph.ops[index + 1 :]:
        if any(name in changed for name in later.inputs):
            changed[later.outputs[0]] = eval_op(graph, later, {**env, **changed})
    power = error = 0.0
    for name in graph.outputs:
        power += float(np.square(env[name]).sum())
        error += float(np.square(changed.get(name, env[name]) - env[name]).sum())
    return error / max(power, 1e-30)
