"""mcuformer validate --target: the tiny firmware in Unicorn behind a pseudo-terminal."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mcuformer.cli import invoke
from mcuformer.package.compiled import open_package

sys.path.insert(0, str(Path(__file__).parents[1] / "targets"))

from noisy_port import Noise
from test_serial_device import board_on_a_pty


@pytest.mark.parametrize("noise", [None, Noise(("drop", "double", "corrupt"), every=400, seed=5)])
def test_validate_over_a_serial_line(
    files: dict[str, Path], noise: Noise | None, capsys: pytest.CaptureFixture[str]
) -> None:
    package = open_package(files["package"])
    built = (package.directory / "build/firmware.elf", package.board)
    args = ["validate", str(files["package"]), "--data", str(files["data"]), "--limit", "3"]
    with board_on_a_pty(built, noise or bytes) as port:
        assert invoke([*args, "--target", port, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["emulator"] == f"target {port}" and document["samples"] == 3
    assert document["bit_exact"] == {"samples": 3, "equal": True, "differing": []}
