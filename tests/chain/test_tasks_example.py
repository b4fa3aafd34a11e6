"""The trained tasks in examples/: one package with the flagship's weights once, as right as each is in float."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")
pytest.importorskip("onnxruntime")

from mcuformer.cli.model_options import tasks_of
from mcuformer.compile.options import CompileOptions
from mcuformer.compile.stages import compile_model
from mcuformer.operators.interpreter import run_int
from mcuformer.package.compiled import CompiledPackage, open_package, variant_of
from mcuformer.package.execution import Executor
from mcuformer.search.backbone import load_backbone
from mcuformer.validate.reference import FloatReference

EXAMPLES = Path(__file__).parents[2] / "examples"
TASKS = ("digits", "fashion")
FLASH = 1 << 20  # the board's internal one
IMAGES, MOST_POINTS = 20, 1.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, in which the tasks' ONNX files are written."""
    place = tmp_path_factory.mktemp("examples")
    shutil.copy(EXAMPLES / "cifar10_flagship.onnx", place)
    made = shutil.ignore_patterns("*.onnx")
    return Path(shutil.copytree(EXAMPLES / "cifar10_tasks", place / "cifar10_tasks", ignore=made))


@pytest.fixture(scope="module")
def package(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> CompiledPackage:
    points = tasks_of(folder, (), ",".join(TASKS), "runtime")
    asked = CompileOptions(
        model=points[-1].model,
        board="stm32f746",
        points=points,
        adapter_mode="runtime",
        check=False,
    )
    place = tmp_path_factory.mktemp("package")
    compile_model(asked, place, lambda *_: None)
    return open_package(place)


def judged(folder: Path, task: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    with np.load(folder / task / "test.npz") as data:
        return data["x"], data["y"]


def right(answers: NDArray, y: NDArray[np.int64]) -> float:
    return 100 * float((answers.reshape(len(y), -1).argmax(axis=1) == y).mean())


@pytest.mark.long
def test_both_tasks_fit_beside_one_network(package: CompiledPackage) -> None:
    flash = package.report["flash"]
    assert flash["total_bytes"] <= FLASH
    assert [row["label"] for row in package.report["variants"]] == list(TASKS)


@pytest.mark.long
@pytest.mark.parametrize("task", TASKS)
def test_bits_are_equal_in_unicorn(package: CompiledPackage, folder: Path, task: str) -> None:
    own = variant_of(package, task)
    x = judged(folder, task)[0][:IMAGES].transpose(0, 2, 3, 1)
    wanted = run_int(own.graph, [x])[own.graph.outputs[0]].reshape(IMAGES, -1)
    with Executor(own, "unicorn") as executor:
        found = executor.run([np.ascontiguousarray(one).tobytes() for one in x])
    assert [i.output for i in found.inferences] == [row.tobytes() for row in wanted]


@pytest.mark.long
@pytest.mark.parametrize("task", TASKS)
def test_tasks_lose_little_by_rounding(package: CompiledPackage, folder: Path, task: str) -> None:
    own = variant_of(package, task)
    x, y = judged(folder, task)
    base = load_backbone(folder.parent / "cifar10_flagship.onnx")
    mean, std = (np.array(v)[:, None, None] for v in (base.mean, base.std))
    pixels = ((x / 255 - mean) / std).astype(np.float32)
    file = folder / task / "model.onnx"
    wanted = FloatReference(file, [(1, 3, 32, 32)], threads=1).run([pixels])[0]
    found = run_int(own.graph, [x.transpose(0, 2, 3, 1)])[own.graph.outputs[0]]
    assert right(found, y) >= right(wanted, y) - MOST_POINTS


def test_trained_numbers_are_few() -> None:
    kept = [p for p in (EXAMPLES / "cifar10_tasks").rglob("*.*") if p.suffix != ".onnx"]
    assert {p.parent.name for p in kept} == set(TASKS)
    assert max(p.stat().st_size for p in kept) < 200_000
    assert all(p.stat().st_size < 50_000 for p in kept if p.name == "last.pt")
