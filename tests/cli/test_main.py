"""mcuformer/cli/__init__.py: the command as a user starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mcuformer import __version__
from mcuformer.cli import COMMANDS


def mcuformer(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mcuformer", *args],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_version_and_help() -> None:
    assert mcuformer("--version").stdout == f"mcuformer {__version__}\n"
    text = mcuformer("--help").stdout
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_of_a_command_imports_nothing_heavy(name: str) -> None:
    program = (
        "import sys; from mcuformer.cli import invoke; code = invoke(sys.argv[1:]);"
        "heavy = {'numpy', 'onnx', 'torch', 'onnxruntime', 'rich', 'unicorn'} & set(sys.modules);"
        "sys.exit(f'imports {heavy}' if heavy else code)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, name, "--help"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert "Usage: mcuformer" in result.stdout


def test_an_interrupt_inside_an_exec_exits_130(tmp_path: Path) -> None:
    """As one does that comes while a module with dataclasses is imported."""
    (tmp_path / "started.py").write_text(
        "from mcuformer import cli\n"
        "cli.cli.main = lambda **_: exec('raise KeyboardInterrupt')\n"
        "cli.main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-m", "started"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 130 and "interrupted" in result.stderr, result


@pytest.mark.parametrize(
    "args",
    [
        ["nosuch"],
        ["compile"],
        ["analyze", "--frob"],
        ["boards", "show", "nosuch"],
        ["analyze", "m.onnx", "--board", "host", "--ram", "12q"],
        ["analyze", "m.onnx", "--board", "host", "--mean", "a,b"],
        ["analyze", "m.onnx", "--board", "host", "--mean", "0.5"],
        ["analyze", "m.onnx", "--board", "host", "--input-shape", "1,0"],
        ["analyze", "no/such/model.onnx", "--board", "host"],
        ["run", "no/such/directory", "--input", "x.npy"],
    ],
)
def test_wrong_command_lines_exit_2(args: list[str]) -> None:
    result = mcuformer(*args)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("error: ") and "Traceback" not in result.stderr
    assert result.stdout == ""
