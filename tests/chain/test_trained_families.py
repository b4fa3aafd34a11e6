"""The trained networks in examples/: their firmware in Unicorn on real images, bit by bit, and right."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mcuformer.compile.options import CompileOptions
from mcuformer.compile.stages import compile_model
from mcuformer.inputs.codec import device_bytes
from mcuformer.operators.interpreter import run_int
from mcuformer.package.compiled import CompiledPackage, open_package
from mcuformer.package.execution import Executor, codec_of, output_values
from mcuformer.package.outputs import split

EXAMPLES = Path(__file__).parents[2] / "examples"
BOARD, IMAGES = "stm32f746g-disco", 20
LARGEST = 3_000_000  # bytes of a file
PARTS = (("train", 64), ("test", IMAGES))  # of the composed images: to calibrate, to run


def compiled(work: Path, name: str, calibration: Path, **more: Any) -> CompiledPackage:
    """For least SRAM, all weights in the chip's own flash."""
    model = EXAMPLES / f"{name}.onnx"
    assert model.stat().st_size <= LARGEST
    options = CompileOptions(
        model=model, board=BOARD, calibration=calibration, optimize="ram", input_mode="bands",
        weights="internal", check=False, **more,
    )  # fmt: skip
    compile_model(options, work / "out", lambda *a: None)
    return open_package(work / "out")


def in_unicorn(package: CompiledPackage, pixels: NDArray[np.uint8]) -> list[list[NDArray]]:
    """What the outputs stand for, of each image; every byte is the interpreter's."""
    ints = codec_of(package).to_int([pixels])
    with Executor(package, "unicorn") as emulator:
        result = emulator.run(device_bytes(ints))
    values = run_int(package.graph, ints)
    for i, inference in enumerate(result.inferences):
        pairs = zip(package.outputs, split(package.outputs, inference.output), strict=True)
        for output, got in pairs:
            assert np.array_equal(got, values[output.value][i]), f"image {i}, {output.name}"
    assert result.sram_high_water_bytes is not None
    assert result.sram_high_water_bytes <= package.report["memory"]["sram_total_bytes"]
    return [[y for _, y in output_values(package, i.output)] for i in result.inferences]


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(p.stem for p in EXAMPLES.glob("fashion_*.onnx")))
def test_fashion(tmp_path: Path, name: str) -> None:
    package = compiled(tmp_path, name, EXAMPLES / "fashion_calibration.npz")
    data = np.load(EXAMPLES / "fashion_test.npz")
    found = in_unicorn(package, data["x"][:IMAGES])
    right = sum(y.argmax() == label for (y,), label in zip(found, data["y"], strict=False))
    assert right >= 17


@pytest.mark.long
def test_digits(tmp_path: Path) -> None:
    """A mask by lines and key points, on photographs unlike those of the training: as right as the float
    model, which is less so here than on its own test images (docs/families.md)."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    pytest.importorskip("onnxruntime")
    sys.path.append(str(EXAMPLES / "families"))
    from check_digits import by_onnx, together
    from digits import compose, in_bytes, mean_iou, pck, sources

    rng = torch.Generator().manual_seed(0)
    calibration, shown = (compose(sources(None, part), n, rng) for part, n in PARTS)
    np.savez(tmp_path / "calibration.npz", x=in_bytes(calibration))
    name = "digits_hrformer"
    package = compiled(tmp_path, name, tmp_path / "calibration.npz", output_mode="lines")
    found = together(in_unicorn(package, in_bytes(shown)))
    floats = by_onnx(package, EXAMPLES / f"{name}.onnx", in_bytes(shown))
    assert np.mean((found[0] > 0) == (floats[0] > 0)) >= 0.98
    ours, theirs = (
        (mean_iou(mask, shown.mask), pck(maps, shown.points, shown.side))
        for mask, maps in (map(torch.from_numpy, pair) for pair in (found, floats))
    )
    assert ours[0] >= max(70, theirs[0] - 2)
    assert ours[1] >= max(70, theirs[1] - 5), "five of the hundred points"
