"""Places that no longer round: epilogues on rows of a 1x1 convolution, ReLU behind a sum, BatchNorms."""

import numpy as np
import util_models as models

from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import eval_steps
from mcuformer.quant.assign import assign
from mcuformer.quant.calibrate import calibrate
from mcuformer.quant.followed_grids import followed_grid
from mcuformer.quant.rewrites.finish_rows import finish_rows
from mcuformer.quant.rewrites.fuse_epilogue import fuse_epilogue


def _layer(net: models.Net, x: str, name: str) -> str:
    """A 1x1 convolution of 4 channels on a 4x4 image as the importer leaves it."""
    rows = net.emit("reshape", f"{name}.rows", [x], (16, 4))
    made = net.linear(rows, 4, name)
    return net.emit("reshape", f"{name}.image", [made], (4, 4, 4))


def _block(relu_alone: bool = True) -> Graph:
    """relu(linear(x) + x), then a mul and an add per channel, of factors of both signs."""
    net = models.Net("block", 0)
    x = "x"
    net.image(x, 4, 4, 4)
    total = net.emit("add", "sum", [_layer(net, x, "a"), x], (4, 4, 4))
    y = net.emit("unary", "relu", [total], (4, 4, 4), fn="relu")
    if not relu_alone:
        y = net.emit("add", "more", [y, total], (4, 4, 4))
    factor = net.b.const("factor", np.array([0.5, -2.0, 1.5, -0.1], np.float32))
    moved = net.b.const("moved", np.array([3.0, -2.0, 0.0, 1.0], np.float32))
    y = net.emit("mul", "mul", [y, factor], (4, 4, 4))
    y = net.emit("add", "add", [y, moved], (4, 4, 4))
    return net.b.done(["x"], [_layer(net, y, "b")], {})


def _result(graph: Graph) -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 4)).astype(np.float32)
    *_, (_, env) = eval_steps(graph, [x])
    return env[graph.outputs[0]]


def test_sum_and_relu_of_rows_go_into_the_layer() -> None:
    graph = _block()
    done = fuse_epilogue(finish_rows(graph))
    np.testing.assert_allclose(_result(done), _result(graph), rtol=1e-4, atol=1e-5)
    first = next(op for op in done.ops if op.kind == "linear")
    assert first.inputs[3] is not None and first.attrs["fn"] == "relu"
    assert not any(op.kind == "unary" for op in done.ops)


def test_a_sum_that_others_read_keeps_its_sign() -> None:
    done = fuse_epilogue(finish_rows(_block(relu_alone=False)))
    first = next(op for op in done.ops if op.kind == "linear")
    assert first.inputs[3] is not None and first.attrs["fn"] is None


def test_constants_of_channels_move_grids_and_no_integers() -> None:
    x = np.random.default_rng(1).normal(size=(16, 4, 4, 4)).astype(np.float32)
    stats = calibrate(_block(), (x,))
    plan = assign(stats, "8", None)
    source, scaled, moved = (plan.qparams[n] for n in ("relu", "mul.rows", "add.rows"))
    factor = np.array([0.5, -2.0, 1.5, -0.1])
    np.testing.assert_allclose(scaled.scale, source.scale * np.abs(factor), rtol=1e-6)
    np.testing.assert_allclose(moved.scale, scaled.scale)
    ends = np.array([3.0, -2.0, 0.0, 1.0])
    here, there = (g.dequantise(np.zeros(4, np.int8)) for g in (scaled, moved))
    np.testing.assert_allclose(there, here + ends, rtol=1e-5, atol=1e-6)
    assert followed_grid(stats.graph, plan.policies["relu"], plan) is None
