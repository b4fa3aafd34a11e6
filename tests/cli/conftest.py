"""One small package, compiled once, for all tests of the commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_vit import tiny_data, tiny_vit

from mcuformer.cli import invoke

Files = dict[str, Path]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """model, data, and package: the tiny model compiled for stm32f746."""
    folder = tmp_path_factory.mktemp("tiny")
    made = {
        "model": tiny_vit(folder / "tiny.onnx"),
        "data": tiny_data(folder / "data.npz"),
        "package": folder / "package",
    }
    assert invoke(compile_args(made, made["package"])) == 0
    return made


def compile_args(files: Files, output: Path, *more: str) -> list[str]:
    return [
        "compile", str(files["model"]), "--board", "stm32f746",
        "--calibration", str(files["data"]), "-o", str(output), *more,
    ]  # fmt: skip


@pytest.fixture
def compiling(files: Files) -> Callable[..., list[str]]:
    return lambda output, *more: compile_args(files, output, *more)
