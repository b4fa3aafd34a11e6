"""stdout closed, full, or read by nobody any more: the right exit code, no traceback, nothing lost."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_vit import tiny_data, tiny_vit
from util_long import few

from mcuformer.cli import invoke

_CODE = "from mcuformer.cli import main; main()"
COMMANDS = [
    "ops", "ops --json", "boards list", "boards show stm32f746", "doctor", "--help", "ops --help",
    "--version", "analyze nosuch.onnx --board stm32f746 --json",
]  # fmt: skip
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


def run(command: str, redirection: str) -> tuple[int, str]:
    """Exit code of mcuformer itself, and what came on stderr."""
    words = " ".join(map(shlex.quote, [sys.executable, "-c", _CODE, *command.split()]))
    script = f"{words} {redirection}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False,
                          env={**os.environ, "NO_COLOR": "1"})  # fmt: skip
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_stdout_is_said_before_the_work(command: str) -> None:
    code, said = run(command, ">&-")
    assert code == 2 and "stdout is closed" in said


@needs_full
@pytest.mark.parametrize("command", COMMANDS[:-1])
def test_a_full_stdout_is_named(command: str) -> None:
    code, said = run(command, ">/dev/full")
    assert (
        code == 2
        and "stdout: No space left on device" in said
        and "nothing was written" not in said
    )


@needs_full
def test_a_failure_keeps_its_code_on_a_full_stdout() -> None:
    code, said = run(COMMANDS[-1], ">/dev/full")
    assert code == 2 and "nosuch.onnx" in said


@pytest.mark.parametrize("reader", ["| head -1", "| true"])
@pytest.mark.parametrize("command", COMMANDS[:-1])
def test_a_reader_that_goes_away_is_no_error(command: str, reader: str) -> None:
    assert run(command, reader) == (0, "")


@needs_full
@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_stderr_that_takes_nothing_changes_no_exit_code(redirection: str) -> None:
    assert run("ops", f"{redirection} >/dev/null")[0] == 0
    assert run("analyze nosuch.onnx --board stm32f746", f"{redirection} >/dev/null")[0] == 2


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    model, data = tiny_vit(folder / "m.onnx"), tiny_data(folder / "d.npz")
    words = ["--board", "host", "--calibration", str(data), "-o", str(folder / "out")]
    assert invoke(["compile", str(model), *words]) == 0
    np.save(folder / "x.npy", np.zeros((1, 1, 8, 8), np.uint8))
    return folder


WORKING = [
    "analyze {0}/m.onnx --board stm32f746", "analyze {0}/m.onnx --board stm32f746 --json",
    "compile {0}/m.onnx --board host --calibration {0}/d.npz -o {0}/again --emit-only",
    "compile {0}/m.onnx --board host --calibration {0}/d.npz -o {0}/again --emit-only --json",
    "run {0}/out --raw --input {0}/x.npy --emulator host",
    "run {0}/out --raw --input {0}/x.npy --emulator host --json",
    "validate {0}/out --data {0}/d.npz --emulator host",
    "validate {0}/out --data {0}/d.npz --emulator host --json --per-layer",
    "boards show stm32f746 --json", "doctor --json",
]  # fmt: skip


@needs_full
@pytest.mark.parametrize(
    "command",
    few(WORKING, *(c for c in WORKING if "--json" in c and c.startswith(("analyze", "boards")))),
)
def test_commands_that_work_on_streams_that_do_not(command: str, package: Path) -> None:
    words = command.format(package)
    code, said = run(words, ">/dev/full")
    assert code == 2 and "stdout: No space left on device" in said
    assert run(words, "| true")[0] == 0
    code, said = run(words, ">&-")
    assert code == 2 and "stdout is closed" in said
