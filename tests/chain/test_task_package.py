"""Tasks of one network in one package, through host C and Unicorn, and what a further one costs."""

import json
import re

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")

from util_tasks import CLASSES, write_tasks

from mcuformer.cli.model_options import tasks_of
from mcuformer.compile.options import CompileOptions
from mcuformer.compile.stages import compile_model
from mcuformer.compile.tasks import plan_tasks
from mcuformer.errors import UsageError
from mcuformer.operators.interpreter import run_int
from mcuformer.package.compiled import open_package, variant_of
from mcuformer.package.execution import Executor


def quiet(*_):
    pass


def options(folder, names, mode, **more):
    points = tasks_of(folder, (), names, mode)
    return CompileOptions(
        model=points[-1].model, board="stm32f746", points=points, adapter_mode=mode, **more
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("tasks")
    write_tasks(made)
    return made


@pytest.mark.parametrize("mode", ["runtime", "fold"])
def test_each_task_is_its_integer_graph(folder, tmp_path, mode):
    compile_model(options(folder, "t0,t1,t2", mode), tmp_path / "out", quiet)
    package = open_package(tmp_path / "out")
    text = (tmp_path / "out/model.h").read_text()
    assert re.search(r"int \w+_set_task\(void \*arena, unsigned k\);", text)
    runs = len(
        re.findall(
            r"^static int \w+__run__own\(", (tmp_path / "out/model.c").read_text(), re.MULTILINE
        )
    )
    assert runs == 2 or mode == "fold"
    for i, classes in enumerate(CLASSES):
        own = variant_of(package, f"t{i}")
        assert re.search(rf"_TASK_{i}_OUTPUT_0_COUNT {classes}\n", text)
        x = np.load(folder / f"t{i}/calibration.npz")["x"][:4].transpose(0, 2, 3, 1)
        wanted = run_int(own.graph, [x])[own.graph.outputs[0]].reshape(4, -1)
        for emulator in ("host", "unicorn"):
            with Executor(own, emulator) as executor:
                found = executor.run([np.ascontiguousarray(one).tobytes() for one in x])
            bytes_of = [i.output for i in found.inferences]
            assert bytes_of == [row.tobytes() for row in wanted]


def test_a_further_task_brings_its_own_numbers_alone(folder, tmp_path):
    compile_model(options(folder, "t0,t1", "runtime", emit_only=True), tmp_path / "two", quiet)
    compile_model(options(folder, "t0,t1,t2", "runtime", emit_only=True), tmp_path / "three", quiet)
    weights = [
        json.loads((tmp_path / n / "report.json").read_text())["flash"]["weights_bytes"]
        for n in ("two", "three")
    ]
    assert weights[1] - weights[0] < 0.3 * weights[0]


def test_what_does_not_go_together_is_refused(folder):
    with pytest.raises(UsageError, match="two or more different names"):
        tasks_of(folder, (), "t0", "fold")
    with pytest.raises(UsageError, match="2 files for 3 tasks"):
        tasks_of(folder / "t0/model.onnx", (folder / "t1/model.onnx",), "a,b,c", "runtime")
    with pytest.raises(UsageError, match="8-bit weights"):
        plan_tasks(options(folder, "t0,t1", "runtime", activations="auto"), quiet)
