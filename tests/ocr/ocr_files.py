"""Files of examples/ocr, which is no package, and why what they need may be absent."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

EXAMPLE = Path(__file__).parents[2] / "examples" / "ocr"


def example(name: str) -> ModuleType:
    """A module of examples/ocr."""
    if str(EXAMPLE) not in sys.path:
        sys.path.insert(0, str(EXAMPLE))
    return importlib.import_module(name)


def missing() -> str | None:
    """What the reader needs and this machine does not have."""
    for name in ("rapidocr_onnxruntime", "onnxruntime", "PIL"):
        if importlib.util.find_spec(name) is None:
            return f"no {name}: pip install -e .[ocr,validate]"
    font = example("lines").FONT
    return None if font.is_file() else f"no {font}: apt-get install fonts-wqy-microhei"
