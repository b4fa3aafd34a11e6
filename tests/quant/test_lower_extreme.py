"""Operands of a max on its result's grid, where nothing else reads them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from util_models import Net

from mcuformer import quant
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.interp_float import eval_steps
from mcuformer.operators.interpreter import run_int
from mcuformer.quant.classes import choices, outshone, value_classes

ROWS, WIDTH = 9, 6


def larger(net: Net, a: str, b: str, name: str = "y") -> str:
    return net.emit("max", name, [a, b], net.b.values[a].type.shape)


def started(seed: int = 0) -> Net:
    net = Net("larger", seed)
    net.tokens("x", ROWS, WIDTH)
    return net


def finished(net: Net, *outputs: str, **more: object) -> Graph:
    meta = {"input_layouts": ("tokens",), "input_shapes": ((1, ROWS, WIDTH),), **more}
    return net.b.done(["x"], list(outputs), meta)


def lowered(graph: Graph) -> Graph:
    samples = np.random.default_rng(0).normal(size=(60, ROWS, WIDTH)).astype(np.float32)
    return quant.lower(graph, quant.calibrate(graph, samples))


def db(graph: Graph, made: Graph) -> float:
    x = np.random.default_rng(1).normal(size=(60, ROWS, WIDTH)).astype(np.float32)
    *_, (_, env) = eval_steps(graph, (x,))
    grid, out = made.type("x").qparams, made.type(graph.outputs[0]).qparams
    assert grid is not None and out is not None
    y = out.dequantise(run_int(made, (grid.quantise(x, "int8"),))[graph.outputs[0]])
    want = env[graph.outputs[0]]
    return float(10 * np.log10(np.square(want).sum() / np.square(y - want).sum()))


def test_two_layers_write_the_grid_of_the_larger() -> None:
    net = started()
    graph = finished(net, larger(net, net.linear("x", 8, "a"), net.linear("x", 8, "b", gain=3.0)))
    made = lowered(graph)
    op = made.ops[-1]
    assert op.kind == "q_max" and len(op.inputs) == 2 and not op.attrs
    assert len({id(made.type(n).qparams) for n in (*op.inputs, *op.outputs)}) == 1


@pytest.mark.parametrize("gain", [1.0, 3.0])
def test_it_rounds_less_than_with_grids_of_their_own(
    gain: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for seed in range(6):
        net = started(seed)
        a, b = net.linear("x", 8, "a"), net.linear("x", 8, "b", gain=gain)
        graph = finished(net, larger(net, a, b))
        shared = db(graph, lowered(graph))
        with monkeypatch.context() as patch:
            patch.setattr("mcuformer.quant.classes.choices", lambda graph: [])
            patch.setattr("mcuformer.quant.policy.choices", lambda graph: [])
            found.append(shared - db(graph, lowered(graph)))
    assert min(found) > 0.5 and np.mean(found) > 0.8


def test_what_is_never_the_larger_takes_no_steps() -> None:
    """b reaches almost a hundred times as far down as the result does."""
    net = started()
    deep = net.unary(net.linear("x", 8, "l", gain=9.0), "relu", "r")
    w = net.b.const("turned", (-10 * np.eye(8)).astype(np.float32))
    b = net.emit("linear", "b", [deep, w], (ROWS, 8))
    graph = finished(net, larger(net, net.linear("x", 8, "a"), b))
    made = lowered(graph)
    grid = made.type("y").qparams
    assert grid is not None and float(grid.scale.max()) * 255 < 12
    assert db(graph, made) > 20


def test_chains_and_halves_share_one_grid() -> None:
    net = started()
    wide = net.linear("x", 16, "wide")
    halves = [net.columns(wide, i * 8, i * 8 + 8, f"half{i}") for i in range(2)]
    c = net.linear("x", 8, "c")
    graph = finished(net, larger(net, larger(net, *halves, "first"), c))
    assert set(value_classes(graph)["y"]) == {"wide", "half0", "half1", "first", "c", "y"}
    assert outshone(graph, choices(graph)) == {"wide", "half0", "half1", "first", "c"}
    assert [len(op.inputs) for op in lowered(graph).ops if op.kind == "q_max"] == [2, 2]


@pytest.mark.parametrize(
    "who", ["another reader", "the input", "an output", "one row", "a file's grid"]
)
def test_whose_grid_is_its_own(who: str) -> None:
    net = started()
    a = "x" if who == "the input" else net.linear("x", WIDTH, "a")
    b = net.linear("x", WIDTH, "b")
    if who == "one row":
        b = net.emit("mean", "row", [b], (1, WIDTH))
    y = larger(net, a, b)
    outputs = [y, a] if who == "an output" else [y]
    if who == "another reader":
        outputs = [net.add(net.linear(y, WIDTH, "l"), a, "sum")]
    qdq = {"qdq": {"a": (0.1, 0, "int8")}} if who == "a file's grid" else {}
    graph = finished(net, *outputs, **qdq)
    assert choices(graph) == [] and value_classes(graph)["y"] == ("y",)
    op = next(op for op in lowered(graph).ops if op.kind == "q_max")
    assert len(op.inputs) == 6 and op.attrs["shift"] >= 1


def test_a_file_may_give_one_grid() -> None:
    net = started()
    graph = finished(net, larger(net, net.linear("x", 8, "a"), net.linear("x", 8, "b")),
                     qdq=dict.fromkeys(("a", "b", "y"), (0.05, 0, "int8")))  # fmt: skip
    made = lowered(graph)
    grid = made.type("y").qparams
    assert len(made.ops[-1].inputs) == 2 and grid is not None
    assert float(grid.scale) == pytest.approx(0.05)


def test_a_choice_that_another_one_reads_too_early_is_none() -> None:
    """b is an operand of two: once beside the input, which keeps its grid."""
    net = started()
    a, b = net.linear("x", WIDTH, "a"), net.linear("x", WIDTH, "b")
    graph = finished(net, larger(net, a, b), larger(net, "x", b, "z"))
    assert choices(graph) == []


def test_constants() -> None:
    """One number a channel is an offset beside x; rows of their own are stored."""
    net = started()
    x = net.linear("x", 8, "a")
    least = net.weights("least", 8, scale=1.0)
    table = net.weights("table", ROWS, 8, scale=1.0)
    graph = finished(net, larger(net, larger(net, x, least, "first"), table))
    made = lowered(graph)
    first, second = (op for op in made.ops if op.kind == "q_max")
    assert first.inputs[0] == first.inputs[1] and not made.const(first.inputs[3]).any()
    assert made.type(second.inputs[1]).dtype == "int16"
    assert db(graph, made) > 30


def test_a_ladder_falls_from_one_end() -> None:
    """Each max shares an operand with the next one; something else reads the first."""
    net = started()
    rungs = [net.linear("x", WIDTH, f"r{i}") for i in range(6)]
    tops = [larger(net, a, b, f"m{i}") for i, (a, b) in enumerate(pairwise(rungs))]
    assert len(choices(finished(net, *tops))) == 5
    assert choices(finished(net, *tops, net.unary(rungs[0], "tanh", "other"))) == []


def test_what_the_choices_are_is_asked_once_and_not_of_every_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def counted(graph: Graph) -> list[Op]:
        asked.append(len(graph.ops))
        return choices(graph)

    for place in ("classes", "policy"):
        monkeypatch.setattr(f"mcuformer.quant.{place}.choices", counted)
    times = []
    for count in (3, 9):
        net = started()
        y = net.linear("x", WIDTH, "l")
        for i in range(count):
            y = larger(net, net.unary(y, "relu", f"r{i}"), net.linear(y, WIDTH, f"l{i}"), f"y{i}")
        asked.clear()
        lowered(finished(net, y))
        times.append(len(asked))
    assert times[0] == times[1]
