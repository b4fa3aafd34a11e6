"""Names of files, layers, values and boards that mean something in HTML, CMake, make or a shell."""

from __future__ import annotations

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tiny_vit import tiny_data, tiny_vit

from mcuformer.cli import invoke
from mcuformer.files.paths import TEMPLATES

NAMES = {
    "script": "</script><script>alert(1)</script>",
    "attribute": '" onload="alert(1)" x=\'',
    "lines": "a\nINCLUDE(evil)\r\nall: ; touch pwned\n",
    "command": "$(touch pwned);`touch pwned`;${ENV};$<TARGET:x>",
    "comment": "*/ int x; /* ]] #endif \\",
    "direction": "‮gpj.exe‬\u2028",  # noqa: PLE2502, that is the test
    "long": "n" * 5000,
}  # fmt: skip
FILES = {k: v.replace("/", "∕")[:100] for k, v in NAMES.items()}


class Elements(HTMLParser):
    """Tags with their attributes, and all scripts' text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.scripts += [""] if tag == "script" else []

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and self.cdata_elem == "script":
            self.scripts[-1] += data


def harmless(page: str, scripts: int) -> Elements:
    found = Elements(page)
    assert len(found.scripts) == scripts
    for tag, attributes in found.tags:
        assert tag not in ("iframe", "object", "embed", "base", "link", "form")
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert not any(str(v).lower().startswith("javascript:") for v in attributes.values())
    return found


@pytest.fixture(params=NAMES)
def package(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Compiled from a file of such a name, with such names inside, into such a folder's sibling."""
    kind: str = request.param
    model = tiny_vit(tmp_path / f"{FILES[kind]}.onnx", odd=NAMES[kind])
    data = tiny_data(tmp_path / "d.npz")
    words = ["--board", "stm32f746", "--calibration", str(data), "-o", str(tmp_path / "out")]
    report = ["--report", str(tmp_path / "report.html")]
    assert invoke(["compile", str(model), *words, *report, "--emit-only"]) == 0
    return tmp_path / "out"


def test_the_report_holds_our_scripts_only(package: Path) -> None:
    page = (package.parent / "report.html").read_text(encoding="utf-8")
    found = harmless(page, 2)
    data, script = found.scripts
    assert script.strip() == (TEMPLATES / "report.js").read_text(encoding="utf-8").strip()
    assert json.loads(data)


def test_the_build_files_hold_no_foreign_line(package: Path) -> None:
    """But for the title in a comment they are those of a model of a plain name."""
    plain = package.parent / "plain"
    model = tiny_vit(package.parent / "plain.onnx")
    words = ["--board", "stm32f746", "--calibration", str(package.parent / "d.npz")]
    assert invoke(["compile", str(model), *words, "-o", str(plain), "--emit-only"]) == 0
    name = json.loads((plain / "report.json").read_text())["tool"] and _name(package)
    for file in ("CMakeLists.txt", "Makefile", "link.ld"):
        ours, theirs = ((d / file).read_text().splitlines() for d in (package, plain))
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert (a.isascii() and a.isprintable()) or "\t" in a
            if a != b:
                assert a.startswith("#") or a == b.replace("plain", name), (a, b)


def _name(package: Path) -> str:
    """The model's C name."""
    (line,) = (
        row for row in (package / "CMakeLists.txt").read_text().splitlines() if " ALIAS " in row
    )
    return line.split("::")[1].split()[0]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_runs_nothing_foreign(package: Path) -> None:
    done = subprocess.run(
        ["make", "-n", "library"], cwd=package, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "touch pwned" not in done.stdout and not list(package.parent.rglob("pwned"))


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
def test_cmake_runs_nothing_foreign(package: Path) -> None:
    user = package.parent / "user"
    user.mkdir()
    (user / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(user C)\nadd_subdirectory(../out model)\n"
    )
    words = ["cmake", "-S", str(user), "-B", str(user / "b")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list(package.parent.rglob("pwned"))


@pytest.mark.parametrize("kind", NAMES)
def test_the_page_of_a_search_holds_no_script(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")
    pytest.importorskip("optuna", reason="the extra `search` (optuna) is not installed")
    from mcuformer.search.picture import page

    found = harmless(page(document(NAMES[kind]), tmp_path), 0)
    assert {"h1", "table"} <= {tag for tag, _ in found.tags}


def document(name: str) -> dict[str, Any]:
    """A search.json that says `name` wherever it may hold a text."""
    arch = {"dim": 8, "hidden": [16], "patch": 4, "stem": name, "pool": name, name: name}
    row = {"accuracy": 1.0, "sram_total_bytes": 1, "flash_total_bytes": 1, "instructions": 1,
           "compiled": True, "arch": arch}  # fmt: skip
    accuracy = {"int8": 1.0, "float": 1.0, "emulator": 1.0, "emulator_samples": 1,
                "validation": None, "nearest_neighbour": None}  # fmt: skip
    return {
        "accuracy": accuracy, "qat": None, "sram_total_bytes": 1, "sram_high_water_bytes": 1,
        "flash_total_bytes": 1, "instructions": 1, "candidates": 1, "legal_share": 1.0,
        "pareto": [row, {**row, "brief": name}], "study": None, "arch": arch, "data": name, "model": name,
    }  # fmt: skip
