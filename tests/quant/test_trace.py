"""Samples on their way through lowering."""

import numpy as np
import util_models as models

from mcuformer.ir.graph import Op
from mcuformer.ir.interp_float import eval_steps
from mcuformer.ir.layout import to_canonical
from mcuformer.quant.rewrites import prepare
from mcuformer.quant.trace import Trace

CFG = models.VitConfig()


def test_the_float_trace_is_the_plain_evaluation() -> None:
    """Sums that the fit has made already come back with their residual and function."""
    graph, x = prepare(models.vit(CFG)), models.images(CFG, 3)
    inputs = to_canonical(graph, x)
    trace = Trace(graph, inputs, inputs)
    for index, (op, env) in enumerate(eval_steps(graph, inputs)):
        if op.kind in ("linear", "patch_embed"):
            trace.weighted_sum(op)
        want = env[op.outputs[0]]
        trace.advance(index, op)
        np.testing.assert_array_equal(trace.real.get(op.outputs[0], want), want)
    assert not trace.real or set(trace.real) <= set(graph.outputs)


def test_layers_in_a_row_share_what_they_read() -> None:
    graph, inputs = prepare(models.vit(CFG)), to_canonical(models.vit(CFG), models.images(CFG, 3))
    x = np.random.default_rng(0).integers(-128, 128, (3, 5, 8)).astype(np.int8)
    trace = Trace(graph, inputs, inputs)
    trace.ints |= {"a": x, "b": x}
    q, k, other = (
        Op("linear", name, (name[0], "w", None, None), (name,), {}) for name in ("aq", "ak", "b")
    )
    rows = trace.input_rows(q, {"x_zp": 3})
    assert trace.input_rows(k, {"x_zp": 3}) is rows
    assert trace.input_rows(k, {"x_zp": 4}) is not rows
    assert trace.input_rows(other, {"x_zp": 4}) is not rows
