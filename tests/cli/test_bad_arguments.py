"""Arguments that mean nothing are refused before the work; a compiler that half works is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcuformer.cli import invoke
from mcuformer.cli.failure import classify
from mcuformer.errors import McuformerError, ToolFailedError
from mcuformer.targets.tool import made_by, run_tool


@pytest.mark.parametrize("words", [["-o", ""], ["--output="], ["--board", ""]])
def test_an_empty_argument(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["compile", "m.onnx", *words]) == 2
    assert "is empty" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["analyze", "compile"])
def test_a_report_into_a_missing_folder(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-o", str(tmp_path / "out")] if command == "compile" else []
    report = str(tmp_path / "no" / "x.html")
    assert invoke([command, "m.onnx", "--board", "stm32f746", *words, "--report", report]) == 2
    assert "is no directory" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("body", ["exit 3", "kill -SEGV $$", "echo broken >&2; exit 1"])
def test_a_compiler_that_crashes(tmp_path: Path, body: str) -> None:
    tool = tmp_path / "gcc"
    tool.write_text(f"#!/bin/sh\n{body}\n")
    tool.chmod(0o755)
    with pytest.raises(ToolFailedError, match=r"compiling x\.c failed") as caught:
        run_tool([str(tool)], "compiling x.c")
    assert caught.value.exit_code == 6 and "doctor" in str(caught.value.hint)


@pytest.mark.parametrize("content", [None, b"", b"text"])
def test_a_compiler_that_leaves_nothing(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "x.o").write_bytes(content)
    with pytest.raises(ToolFailedError, match="leaves no ELF file"):
        made_by(["gcc"], "compiling x.c", tmp_path / "x.o")


def test_an_internal_error_is_a_bug_and_says_how_to_report_it() -> None:
    failure = classify(McuformerError("buffers a and b overlap"))
    assert failure.exit_code == 1 and "bug in mcuformer: buffers a" in failure.message
    assert "MCUFORMER_DEBUG=1" in str(failure.hint)
