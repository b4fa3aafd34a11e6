"""Arguments that mean nothing are refused before the work; a compiler that half works is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mcuformer.cli import cli, invoke
from mcuformer.cli.failure import classify
from mcuformer.cli.params import FiniteFloat
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


@pytest.mark.parametrize("words", [[], ["boards"]])
def test_a_command_alone_shows_what_there_is(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = invoke(words)
    out, err = capsys.readouterr()
    assert code == 2 and not out and err.startswith("Usage: mcuformer") and "Commands:" in err


def parameters(command: click.Command, name: str) -> Iterator[tuple[str, click.Parameter]]:
    """Of a command and of all below it."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for sub in command.list_commands(context):
            found = command.get_command(context, sub)
            assert found is not None
            yield from parameters(found, f"{name} {sub}")
    yield from ((name, param) for param in command.params)


def test_no_option_takes_a_number_that_is_none() -> None:
    """click's own floats take NaN, which is within every bound."""
    seen = 0
    for name, param in parameters(cli, "mcuformer"):
        kind = param.type
        seen += isinstance(kind, FiniteFloat)
        loose = isinstance(kind, (click.types.FloatParamType, click.FloatRange))
        assert not loose or isinstance(kind, FiniteFloat), f"{name} {param.opts[-1]}"
    assert seen >= 6


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--min-sqnr", "nan"], "nan is no number"),
        (["--min-sqnr", "inf"], "inf is no number"),
        (["--min-agreement", "101"], "not in the range"),
    ],
)
def test_a_bound_that_nothing_is_below(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["validate", str(tmp_path), "--data", "x.npz", *words]) == 2
    assert said in capsys.readouterr().err


def test_options_that_would_be_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compiled = ["compile", "m.onnx", "--board", "host", "-o", str(tmp_path / "out")]
    for words, said in (
        ([*compiled, "--max-loss", "1"], "--max-loss goes with --localize-attention"),
        ([*compiled, "--adapter-mode", "fold"], "--adapter-mode goes with --adapters"),
        (["search", "--worker", "-o", str(tmp_path / "s")], "--worker goes with --resume"),
        (
            ["adapt", "--base", "b", "--task", "a=digits", "-o", "x", "--full", "--rank", "4"],
            "--rank changes nothing with --full",
        ),
    ):
        assert invoke(words) == 2
        assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
