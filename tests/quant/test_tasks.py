"""Tasks of one network: everything but adapters and heads has the same integers and grids."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")

from util_tasks import MEAN, STD, write_tasks

from mcuformer.errors import UsageError
from mcuformer.frontend.load import load_model
from mcuformer.ir.interp_float import eval_steps
from mcuformer.ir.layout import to_canonical
from mcuformer.operators.interpreter import run_int
from mcuformer.quant import InputFormat, calibrate
from mcuformer.quant.tasks import AdaptedTask, adapters, even_codes, lower_tasks, own_layers

FORMAT = InputFormat(MEAN, STD)


def reals(folder, i):
    x = np.load(folder / f"t{i}/calibration.npz")["x"]
    mean, std = (np.array(v)[:, None, None] for v in (MEAN, STD))
    return x, ((x / 255 - mean) / std).astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    write_tasks(folder)
    tasks = []
    for i in range(3):
        graph = load_model(folder / f"t{i}/model.onnx", {}).replace(name=f"t{i}")
        tasks.append(AdaptedTask(graph, calibrate(graph, reals(folder, i)[1])))
    return folder, tasks, lower_tasks(tasks, "8", FORMAT)


def test_only_adapters_and_heads_differ(made):
    _, tasks, graphs = made
    pairs = adapters(tasks[0].stats.graph)
    assert len(pairs) == 4
    allowed = {op.name for pair in pairs for op in pair} | {"head"}
    for graph in graphs[1:]:
        assert [op.name for op in graph.ops] == [op.name for op in graphs[0].ops]
        for one, other in zip(graphs[0].ops, graph.ops, strict=True):
            for a, b in zip(one.inputs, other.inputs, strict=True):
                if a is not None and one.name not in allowed:
                    assert np.array_equal(graphs[0].const(a), graph.const(b)), one.name
            if one.name != "head":
                assert grid(graphs[0], one) == grid(graph, other)


def grid(graph, op):
    made = graph.type(op.outputs[0])
    q = made.qparams
    return made.shape, made.dtype, np.asarray(q.scale).tolist(), np.asarray(q.zero_point).tolist()


def test_blocks_share_the_codes_of_their_adapters(made):
    _, tasks, graphs = made
    for graph in graphs:
        ops = {op.name: op for op in graph.ops}
        for part in (0, 1):
            names = [pair[part].name for pair in adapters(tasks[0].stats.graph)]
            codes = {graph.const(ops[n].inputs[1]).tobytes() for n in names}
            assert len(codes) == 2  # of attention and of the MLPs


def test_each_task_computes_what_its_file_does(made):
    folder, tasks, graphs = made
    for i, (task, graph) in enumerate(zip(tasks, graphs, strict=True)):
        x, floats = reals(folder, i)
        for op, env in eval_steps(task.graph, to_canonical(task.graph, floats)):
            wanted = env[op.outputs[0]]
        out = graph.outputs[0]
        found = graph.type(out).qparams.dequantise(run_int(graph, [x.transpose(0, 2, 3, 1)])[out])
        error = np.square(found.reshape(wanted.shape) - wanted).sum()
        assert 10 * np.log10(np.square(wanted).sum() / error) > 25


def test_another_network_is_refused(made, tmp_path):
    write_tasks(tmp_path, seed=1)
    other = load_model(tmp_path / "t1/model.onnx", {}).replace(name="other")
    stats = calibrate(other, reals(tmp_path, 1)[1])
    with pytest.raises(UsageError, match="of other is not that of t0"):
        own_layers([made[1][0].stats.graph, stats.graph])
    plain = load_model(tmp_path / "t1/folded.onnx", {}).replace(name="plain")
    stats = calibrate(plain, reals(tmp_path, 1)[1])
    with pytest.raises(UsageError, match="plain has other layers"):
        own_layers([made[1][0].stats.graph, stats.graph])


def test_even_codes_do_not_know_the_factor():
    rng = np.random.default_rng(0)
    w, c = rng.normal(size=(12, 5)), np.array([2.0, -0.1, 3.0, -4.0, 1e-3])
    (one, s), (other, t) = even_codes(w, 8), even_codes(w * c, 8)
    assert np.array_equal(one, other) and np.allclose(s * c, t)
    assert np.abs(one * s - w).max() <= np.abs(s).max() / 2 + 1e-12
