"""Files that change only on purpose: `make golden` writes them anew, git diff shows what changed.

The model is built here, weight by weight, so these files depend on nothing that is drawn or trained.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from mcuformer.cli import invoke

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))

from tiny_vit import tiny_data, tiny_vit

FILES = Path(__file__).parent / "files"


def check(name: str, text: str, config: pytest.Config) -> None:
    path = FILES / name
    if config.getoption("--update-golden"):
        path.write_text(text, encoding="utf-8")
    expected = path.read_text(encoding="utf-8")
    assert rounded(expected) == rounded(text), f"{name} changed; is it meant? make golden"


def rounded(text: str) -> str:
    """Floats to 5 digits: the scales come from float sums, whose order is each BLAS's own."""
    return re.sub(r"\d+\.\d+f\b", lambda found: f"{float(found[0][:-1]):.5g}f", text)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    model, data = tiny_vit(folder / "tiny.onnx"), tiny_data(folder / "data.npz")
    args = ["compile", str(model), "--board", "stm32f746", "--calibration", str(data)]
    assert invoke([*args, "--emit-only", "-o", str(folder / "package")]) == 0
    return folder / "package"


@pytest.mark.parametrize("name", ["model.h", "CMakeLists.txt", "Makefile", "link.ld", "README.md"])
def test_package_files(package: Path, name: str, pytestconfig: pytest.Config) -> None:
    check(name, (package / name).read_text(encoding="utf-8"), pytestconfig)


@pytest.mark.parametrize(
    ("name", "args"),
    [("ops.txt", ["ops"]), ("boards.txt", ["boards", "list"]), ("help.txt", ["--help"])],
)
def test_printed_tables(
    name: str, args: list[str], capsys: pytest.CaptureFixture[str], pytestconfig: pytest.Config
) -> None:
    assert invoke(args) == 0
    check(name, capsys.readouterr().out, pytestconfig)
