"""The trained files of rapidocr-onnxruntime, as PyPI has them, and what surrounds them in PaddleOCR's own code.

The package (Apache-2.0; `pip install rapidocr-onnxruntime==1.4.4`, or the extra `ocr`) is looked for,
not imported: nothing of it runs here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

READER = "ch_PP-OCRv4_rec_infer.onnx"
DIRECTION = "ch_ppocr_mobile_v2.0_cls_infer.onnx"
SQUEEZED = 192  # pixels of a line that the direction is told from


def model_file(name: str) -> Path:
    """FileNotFoundError says what to install."""
    package = importlib.util.find_spec("rapidocr_onnxruntime")
    if package is None or package.origin is None:
        raise FileNotFoundError(
            "no rapidocr_onnxruntime: pip install --no-deps rapidocr-onnxruntime==1.4.4"
        )
    return Path(package.origin).parent / "models" / name


def characters(file: Path) -> list[str]:
    """Of classes 1, 2, ...: those of the file's metadata, and a space; class 0 is CTC's blank."""
    metadata = {p.key: p.value for p in onnx.load(str(file)).metadata_props}
    return [*metadata["character"].splitlines(), " "]


def decode(classes: Sequence[int], known: Sequence[str]) -> str:
    """The largest class of every step as text: repeats and blanks left out (the Python of ctc.c)."""
    steps = zip([0, *classes], classes, strict=False)
    return "".join(known[now - 1] for before, now in steps if now and now != before)


def squeezed(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[N, H, W, 3] -> [N, H, 192, 3], of each pixel the column that lies nearest (as app.c)."""
    columns = np.arange(SQUEEZED) * pixels.shape[2] // SQUEEZED
    return np.ascontiguousarray(pixels[:, :, columns])


def turned(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Upside down."""
    return np.ascontiguousarray(pixels[:, ::-1, ::-1])
