"""What a finished search leaves for its user, and whether it is still as it was written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcuformer.errors import UsageError
from mcuformer.files.atomic import FILE_LIST, changed_files, sha256_of
from mcuformer.search.picture import PICTURES, page

MODEL, BUILD, DATA, PAGE = "model.onnx", "build", "calibration.npz", "search.html"
TESTS = ("test.npz", "test_emulated.npz")
_FILES = (MODEL, DATA, *PICTURES, *(f"{BUILD}/{name}" for name in TESTS))


def digests(directory: Path) -> dict[str, str]:
    """SHA-256 of the products by name, but for the package, which has a list of its own."""
    found = {name: directory / name for name in _FILES}
    return {name: sha256_of(path) for name, path in found.items() if path.is_file()}


def damaged(directory: Path, document: Mapping[str, Any]) -> list[Path]:
    """Products that are missing or not as `document` (search.json) and the package's list say."""
    kept, build = document.get("files", {}), directory / BUILD
    now = digests(directory)
    found = [directory / name for name, digest in kept.items() if now.get(name) != digest]
    if not (build / FILE_LIST).is_file():
        return [*found, build / FILE_LIST]
    return [*found, *changed_files(build)]


def refuse_training(lost: Path, trained: bool) -> None:
    """UsageError where making `lost` anew would begin with training, which nobody has asked for."""
    if not trained:
        raise UsageError(
            f"{lost} is damaged or missing, and so are the trained weights that it is made of",
            "bring the file back, or search again with another -o",
        )


def has_page(document: dict[str, Any], directory: Path) -> bool:
    path = directory / PAGE
    return path.is_file() and path.read_bytes() == page(document, directory).encode()


def places(directory: Path) -> dict[str, str]:
    """Where the products are now: a folder may have been moved."""
    return {"model": str(directory / MODEL), "build_dir": str(directory / BUILD)}
