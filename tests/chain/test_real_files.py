"""Trained files as PyPI has them (rapidocr-onnxruntime, the extra `ocr`): PP-OCRv4 on rendered lines."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from util_lines import as_floats, lines

from mcuformer.compile.options import CompileOptions
from mcuformer.compile.stages import compile_model
from mcuformer.inputs.codec import device_bytes
from mcuformer.operators.interpreter import run_int
from mcuformer.package.compiled import open_package
from mcuformer.package.execution import Executor, codec_of
from mcuformer.package.outputs import split

_PACKAGE = importlib.util.find_spec("rapidocr_onnxruntime")
pytestmark = [
    pytest.mark.skipif(_PACKAGE is None, reason="no rapidocr-onnxruntime: pip install -e .[ocr]"),
    pytest.mark.skipif(
        importlib.util.find_spec("onnxruntime") is None, reason="no onnxruntime to compare with"
    ),
]
LINES, SEED = 50, 2


def model_file(name: str) -> Path:
    assert _PACKAGE is not None
    assert _PACKAGE.origin is not None
    return Path(_PACKAGE.origin).parent / "models" / name


def turned(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every second line upside down."""
    pixels = pixels.copy()
    pixels[::2] = pixels[::2, ::-1, ::-1]
    return pixels


def agreement(work: Path, file: Path, board: str, images: tuple[NDArray, NDArray]) -> float:
    """Share of rows of the output whose largest is onnxruntime's; bits of two samples are compared."""
    import onnxruntime as ort

    calibration, shown = (as_floats(x) for x in images)
    np.savez(work / "lines.npz", x=calibration)
    options = CompileOptions(
        model=file,
        board=board,
        calibration=work / "lines.npz",
        input_shapes={"x": (1, *shown.shape[1:])},
    )
    compile_model(options, work / "out", lambda *a: None)
    package = open_package(work / "out")
    ints = codec_of(package).to_int([shown])
    with Executor(package, "host") as host:
        got = [i.output for i in host.run(device_bytes(ints)).inferences]
    first = run_int(package.graph, [x[:2] for x in ints])[package.graph.outputs[0]]
    assert got[:2] == [np.ascontiguousarray(y).tobytes() for y in first]
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    expected = np.concatenate([session.run(None, {"x": x[None]})[0] for x in shown])
    ours = np.stack([split(package.outputs, data)[0] for data in got]).reshape(expected.shape)
    return float((ours.argmax(-1) == expected.argmax(-1)).mean())


@pytest.mark.long
def test_direction_classifier(tmp_path: Path) -> None:
    """Opset 11, weights in Constant nodes, "-1" and "?" as axes; it fits the STM32F746."""
    images = turned(lines(1, 24, 48, 192)), turned(lines(SEED, LINES, 48, 192))
    file = model_file("ch_ppocr_mobile_v2.0_cls_infer.onnx")
    assert agreement(tmp_path, file, "stm32f746", images) == 1.0


@pytest.mark.long
def test_recognition(tmp_path: Path) -> None:
    """Opset 12, 6,625 classes at each of 40 steps."""
    images = lines(1, 24, 48, 320), lines(SEED, LINES, 48, 320)
    file = model_file("ch_PP-OCRv4_rec_infer.onnx")
    assert agreement(tmp_path, file, "host", images) >= 0.97
