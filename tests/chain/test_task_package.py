"""Tasks of one network in one package, through host C and Unicorn, and what a further one costs."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")

from onnx import helper
from util_called import switch
from util_tasks import CLASSES, write_tasks

from mcuformer.cli.model_options import tasks_of
from mcuformer.codegen.variants import STATE_BYTES
from mcuformer.compile import emitted, further
from mcuformer.compile.further import plan_further
from mcuformer.compile.options import CompileOptions
from mcuformer.compile.points import joined_points
from mcuformer.compile.stages import compile_model
from mcuformer.compile.tasks import measured_tasks, placed_tasks, plan_tasks
from mcuformer.compile.variant_bits import task_bits
from mcuformer.errors import DoesNotFitError, UsageError, ValidationError
from mcuformer.files.paths import BOARDS
from mcuformer.operators.interpreter import run_int
from mcuformer.package.compiled import open_package, variant_of
from mcuformer.package.execution import Executor
from mcuformer.quant.further_task import lower_further
from mcuformer.quant.tasks import GRIDS, AdaptedTask, lower_tasks

LONG = pytest.mark.long


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


@pytest.mark.parametrize(
    ("mode", "bits"), [("runtime", "8"), ("fold", "8"), pytest.param("runtime", "4", marks=LONG)]
)
def test_each_task_is_its_integer_graph(folder, tmp_path, mode, bits):
    asked = options(folder, "t0,t1,t2", mode, weight_bits=bits)
    result = compile_model(asked, tmp_path / "out", quiet)
    assert "<h2>Tasks</h2>" in result.page() and "<td>t2</td>" in result.page()
    package = open_package(tmp_path / "out")
    of_layers = {layer["name"]: layer["weight_bits"] for layer in package.report["layers"]}
    assert {of_layers["blocks.0.attn.q"], of_layers["blocks.1.fc2"]} == {int(bits)}
    assert of_layers["head"] == 8
    least = max(row["arena_bytes"] for row in package.report["variants"]) + STATE_BYTES
    assert package.report["memory"]["arena_bytes"] >= least
    text = (tmp_path / "out/model.h").read_text()
    assert re.search(r"int \w+_set_task\(void \*arena, unsigned k\);", text)
    runs = len(
        re.findall(
            r"^static int \w+__run__own\(", (tmp_path / "out/model.c").read_text(), re.MULTILINE
        )
    )
    assert runs == 2 or mode == "fold"
    switches = switch(tmp_path / "out", len(CLASSES))
    assert [status == 0 for status, _ in switches] == [True, True, True, False]
    assert max(count for _, count in switches) < 1000
    for i, classes in enumerate(CLASSES):
        own = variant_of(package, f"t{i}")
        assert re.search(rf"_TASK_{i}_OUTPUT_0_COUNT {classes}\n", text)
        x = np.load(folder / f"t{i}/calibration.npz")["x"][:4].transpose(0, 2, 3, 1)
        wanted = run_int(own.graph, [x])[own.graph.outputs[0]].reshape(4, -1)
        qemu = (
            ("qemu",)
            if (mode, bits) == ("runtime", "8") and shutil.which("qemu-system-arm")
            else ()
        )
        for emulator in ("host", "unicorn", *qemu):
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


def test_a_task_is_added_to_a_package(folder, tmp_path):
    two, three = tmp_path / "two", tmp_path / "three"
    first = options(folder, "t0,t1", "runtime", emit_only=True, check=False, name="eye")
    compile_model(first, two, quiet)
    more = {"onto": two, "emit_only": True, "check": False}
    new = tasks_of(folder, (), "t2", "runtime", 1)
    asked = CompileOptions(
        model=new[0].model, board="stm32f746", points=new, adapter_mode="runtime", **more
    )
    kept = {p: p.read_bytes() for p in two.rglob("*") if p.is_file()}
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(emitted, "save_graph", lambda *_: 1 // 0)  # half is written
        compile_model(asked, three, quiet)
    assert not three.exists() and all(p.read_bytes() == b for p, b in kept.items())
    compile_model(asked, three, quiet)
    before, after = ((p / "weights.c").read_text() for p in (two, three))
    arrays = re.findall(r"\w+\[\d+\][^;]*;", before)
    assert len(arrays) > 20 and all(a in after for a in arrays)
    assert (three / "eye.h").is_file()  # a program goes on calling it so
    package = open_package(three)
    for name in ("t0", "t1", "t2"):
        own = variant_of(package, name)
        x = np.load(folder / f"{name}/calibration.npz")["x"][:4].transpose(0, 2, 3, 1)
        wanted = run_int(own.graph, [x])[own.graph.outputs[0]].reshape(4, -1)
        with Executor(own, "host") as executor:
            found = executor.run([np.ascontiguousarray(one).tobytes() for one in x])
        assert [i.output for i in found.inferences] == [row.tobytes() for row in wanted]
    with pytest.raises(UsageError, match="is not one new task"):
        again = CompileOptions(
            model=new[0].model, board="stm32f746", points=new, adapter_mode="runtime",
            **(more | {"onto": three}),
        )  # fmt: skip
        plan_further(again, quiet)
    with pytest.raises(UsageError, match="keeps the network's weights as they are"):
        plan_further(replace(asked, weight_bits="4"), quiet)
    with pytest.raises(UsageError, match="keeps the network's activations as they are"):
        plan_further(replace(asked, activations="16"), quiet)
    with pytest.raises(UsageError, match="t2 normalises its input otherwise than t0"):
        plan_further(replace(asked, mean=(0.1,) * 3, std=(0.9,) * 3), quiet)
    file, kept_file = folder / "t0/model.onnx", folder / "t0/away.onnx"
    file.rename(kept_file)
    with pytest.raises(UsageError, match="is not there, from which task t0 of the package was"):
        plan_further(asked, quiet)
    file.write_bytes((folder / "t1/model.onnx").read_bytes())
    with pytest.raises(UsageError, match="is not what task t0 of the package was compiled from"):
        plan_further(asked, quiet)
    kept_file.replace(file)
    labels = np.load(folder / "t2/calibration.npz")
    np.savez(folder / "t2/validation.npz", x=labels["x"], y=np.full(len(labels["x"]), 99))
    plan_further(asked, quiet)  # nothing is right, and nothing is lost
    percents = iter((70.0, 71.5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(further, "_percent", lambda *_: next(percents))
        with pytest.raises(ValidationError, match="more than 1 point is lost"):
            plan_further(asked, quiet)


def test_all_tasks_together_keep_the_ram(folder):
    """The largest has three outputs more, which lie behind the plans of the others."""
    asked = options(folder, "t0,t1", "runtime")
    found = [plan_tasks(replace(asked, ram=ram), quiet) for ram in (2048, 65536)]
    assert found[0].error.message.startswith("task t") and found[1].error is None
    needs = found[0].error.needs
    assert needs % 8 == 0
    for ram in range(needs, needs + 16, 5):
        made = plan_tasks(replace(asked, ram=ram), quiet)
        total = made.plan.arena_bytes + made.static_bytes + made.board.stack_bytes
        assert made.error is None and total <= ram


@pytest.mark.parametrize(("mode", "bits"), [("fold", "4"), ("runtime", "auto or 4")])
def test_the_hint_is_of_what_the_mode_takes(folder, mode, bits):
    made = plan_tasks(options(folder, "t0,t1", mode, flash=46_000), quiet)
    assert made.error.hint.startswith(f"use --weight-bits {bits}, ")


def test_plans_that_fill_different_regions_are_added_up(folder):
    asked = options(folder, "t0,t1", "runtime", ram=65536)
    points = plan_tasks(asked, quiet).points
    first, second = points[0].plan.arenas[0], points[1].plan.arenas[0]
    apart = [((first, 3000), (second, 0)), ((first, 0), (second, 3000))]
    split = [
        replace(p, plan=replace(p.plan, arenas=tuple(replace(a, used_bytes=n) for a, n in uses)))
        for p, uses in zip(points, apart, strict=True)
    ]
    made = joined_points(asked, split, 0, ())
    assert made.error is None
    # three bytes are read behind the outputs of t0, wherever they lie
    assert [use.used_bytes for use in made.plan.arenas] == [3008 + STATE_BYTES, 3008]
    beside = split[0].static_bytes + split[0].board.stack_bytes
    made = joined_points(replace(asked, ram=beside + 4000), split, 0, ())
    assert made.error.needs == made.plan.arena_bytes + beside >= 6000


def test_lines_of_an_output_have_one_size(folder):
    asked = options(folder, "t0,t1", "runtime")
    points = plan_tasks(asked, quiet).points
    leaving = [
        replace(
            p, program=replace(p.program, outputs=(replace(p.program.outputs[0], buffer=None),))
        )
        for p in points
    ]
    joined_points(asked, (leaving[0], leaving[0]), 0, ())
    with pytest.raises(UsageError, match="a line of logits has 5 B in t0, 8 B in t1"):
        joined_points(asked, leaving, 1, ())


def _with_mean(source, target):
    """With an output behind the logits."""
    model = onnx.load(source / "model.onnx")
    logits, outputs = model.graph.output[0].name, model.graph.output
    mean = helper.make_node("ReduceMean", [logits], ["mean"], axes=[1], keepdims=1)
    model.graph.node.append(mean)
    outputs.append(helper.make_tensor_value_info("mean", onnx.TensorProto.FLOAT, [1, 1]))
    onnx.save(model, target)
    shutil.copyfile(source / "calibration.npz", target.with_suffix(".npz"))
    return target


def test_every_output_has_its_own_size(folder, tmp_path):
    """The second output lies behind as many bytes as the largest first one has."""
    files = [_with_mean(folder / t, tmp_path / f"{t}.onnx") for t in ("t0", "t1")]
    points = tasks_of(files[0], (files[1],), "few,many", "runtime")
    asked = replace(options(folder, "t0,t1", "runtime"), points=points, accept_sqnr=-99.0)
    compile_model(asked, tmp_path / "out", quiet)  # which compares all bits of both
    package = variant_of(open_package(tmp_path / "out"), "few")
    assert package.carried == (8, 1)
    assert package.own_output(bytes(range(9))) == bytes([0, 1, 2, 3, 4, 8])
    graphs = [p.graph for p in plan_tasks(asked, quiet).points]
    bare = graphs[0].replace(outputs=graphs[0].outputs[:1])
    with pytest.raises(UsageError, match=r"few gives int8\[1x5\], which do not fit"):
        placed_tasks(asked, (), [bare, graphs[1]], (), quiet)


def test_what_does_not_go_together_is_refused(folder):
    with pytest.raises(UsageError, match="two or more different names"):
        tasks_of(folder, (), "t0", "fold")
    with pytest.raises(UsageError, match="2 files for 3 tasks"):
        tasks_of(folder / "t0/model.onnx", (folder / "t1/model.onnx",), "a,b,c", "runtime")
    found = measured_tasks(
        options(folder, "t0,t1", "runtime"), tasks_of(folder, (), "t0,t1", "runtime"), quiet
    )
    tasks = [AdaptedTask(f.graph, f.widening.stats) for f in found]
    (kept, _) = lower_tasks(tasks, "8", found[0].formats)
    bare = kept.replace(meta={k: v for k, v in kept.meta.items() if k != GRIDS})
    with pytest.raises(UsageError, match="keeps no grids"):
        lower_further(tasks[1], tasks[0], bare, found[0].formats)
    with pytest.raises(UsageError, match="auto measures one network"):
        plan_tasks(options(folder, "t0,t1", "runtime", activations="auto"), quiet)
    with pytest.raises(UsageError, match="changes nothing: every task has samples"):
        plan_tasks(options(folder, "t0,t1", "fold", calibration=folder), quiet)
    with pytest.raises(UsageError, match="folded ones share nothing"):
        plan_tasks(options(folder, "t0,t1", "fold", weight_bits="auto"), quiet)


def test_as_few_layers_give_up_bits_as_the_flash_of_all_tasks_asks(folder):
    points, found = tasks_of(folder, (), "t0,t1,t2", "runtime"), []
    ready = measured_tasks(options(folder, "t0,t1,t2", "runtime"), points, quiet)
    layers = {op.name for op in ready[0].graph.ops if op.kind in ("conv2d", "linear")}
    shared = {name for name in layers if "adapter" not in name and name != "head"}
    for flash in (None, 72_000, 66_500, 62_000):
        asked = options(folder, "t0,t1,t2", "runtime", weight_bits="auto", flash=flash)
        three, one = (set(task_bits(asked, some, "8").bits) for some in (ready, ready[:1]))
        assert len(one) <= len(three) and three <= shared
        found.append(len(three))
    assert found[:2] == [0, 0] and 0 < found[2] < found[3] == len(shared)


def test_weights_lie_where_all_tasks_have_room(tmp_path):
    """One of three folded networks would leave code its room in the internal flash; all of them do not.
    Seconds of every task are of weights that come over QSPI."""
    write_tasks(tmp_path / "nets", dim=48, heads=3, mlp=4)
    board = tmp_path / "small_flash.toml"
    board.write_text(
        (BOARDS / "stm32f746g-disco.toml").read_text().replace('"1M"', '"208k"'), encoding="utf-8"
    )
    for names, place in (("t0,t1", "internal"), ("t0,t1,t2", "qspi")):
        asked = replace(options(tmp_path / "nets", names, "fold", check=False), board=str(board))
        report = compile_model(asked, tmp_path / place, quiet).report
        assert report["fits"] and report["options"]["weights_in"] == place
        for task in report["variants"]:
            alone = task["instructions"] / 216e6
            assert task["seconds"] > 1.05 * alone if place == "qspi" else task["seconds"] == alone
    asked = replace(asked, weights="internal")
    with pytest.raises(DoesNotFitError, match="flash of 212,992 B overflows") as caught:
        compile_model(asked, tmp_path / "none", quiet)
    assert "--weights qspi" in caught.value.hint
    assert not (tmp_path / "none").exists()
