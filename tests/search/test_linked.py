"""What the search says of a network against its linked ELF and what Unicorn executes of it."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from test_figures import exported, quiet, varied

from mcuformer.compile.options import CompileOptions
from mcuformer.compile.stages import compile_model
from mcuformer.package.compiled import open_package
from mcuformer.package.execution import Executor
from mcuformer.search.figures import Limits, NetworkCost, Planner
from mcuformer.targets.board_file import load_board

BOARD = load_board("stm32f746")
NETWORKS = {  # what each has whatever else is drawn
    "tiny": (
        {"stem": "8/2", "patch": 4}, {"stem": "8/2-12/2", "patch": 8, "relative": True},
        {"pool": "cls", "patch": 3}, {"pool": "cls", "patch": 5}, {"patch": 7, "relative": True},
        {"pool": "cls", "patch": 7, "relative": True}, {"pool": "mean", "patch": 6},
    ),
    "cifar": ({"pool": "cls", "relative": True}, {"stem": "patch", "patch": 5}, {}),
}  # fmt: skip
CASES = [(preset, i) for preset, all_of in NETWORKS.items() for i in range(len(all_of))]
CASES += [(preset, i) for preset in ("focal", "twins", "s3") for i in range(2)]  # as they are drawn


def legal(preset, i, mode):
    """A random network that fits the board, and what the search says of it."""
    random, space, planner = Random(100 + i), varied(preset), Planner(BOARD, Limits(), mode)
    while True:
        arch = space.decode(space.draw(random))
        arch = replace(arch, **NETWORKS[preset][i]) if preset in NETWORKS else arch
        cost = planner.cost(arch)
        if isinstance(cost, NetworkCost):
            return arch, cost


@pytest.mark.long
@pytest.mark.parametrize(("preset", "i"), CASES, ids=[f"{p}-{i}" for p, i in CASES])
def test_a_linked_network_keeps_to_the_search_s_figures(tmp_path, preset, i):
    mode = ("bands", "resident")[i % 2]
    arch, cost = legal(preset, i, mode)
    h, w, c = arch.image
    images = np.random.default_rng(0).normal(size=(16, c, h // 4, w // 4)).astype(np.float32)
    images = images.repeat(4, axis=2).repeat(4, axis=3).clip(-2.5, 2.5)
    np.savez(tmp_path / "images.npz", x=images)
    options = CompileOptions(
        model=exported(arch, tmp_path / "network.onnx"), board="stm32f746", input_mode=mode,
        calibration=tmp_path / "images.npz", mean=(0.4,) * c, std=(0.3,) * c,
        accept_sqnr=0.0,  # weights are random: outputs nearly cancel, as no trained network's do
    )  # fmt: skip
    report = compile_model(options, tmp_path / "build", quiet).report
    assert report["memory"]["arena_bytes"] == cost.arena_bytes
    assert report["memory"]["static_bytes"] <= cost.static_bytes
    assert report["flash"]["total_bytes"] <= cost.flash_total_bytes
    package = open_package(tmp_path / "build")
    pixels = np.random.default_rng(1).integers(0, 256, arch.image, np.uint8)
    with Executor(package, "unicorn") as executor:
        result = executor.run([pixels.tobytes()])
    assert result.stack_high_water_bytes <= cost.stack_bytes
    assert result.sram_high_water_bytes <= cost.sram_total_bytes
    assert result.inferences[0].instructions == pytest.approx(cost.instructions, rel=0.03), arch
