from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mcuformer.errors import FlashError, ToolMissingError, UsageError
from mcuformer.targets.elf import read_elf
from mcuformer.targets.flash import ToolCall, flash, plan_flash, region_image


def test_qspi_goes_to_openocd_and_never_to_st_flash(firmware: Callable, tmp_path: Path) -> None:
    elf, board = firmware()
    qspi, code = plan_flash(elf, board, tmp_path)
    assert qspi.argv[:3] == ("openocd", "-f", "board/stm32f746g-disco.cfg")
    assert qspi.argv[4] == f"program {{{tmp_path / 'qspi.bin'}}} 0x90000000 verify reset exit"
    assert code.argv == ("st-flash", "--reset", "write", str(tmp_path / "flash.bin"), "0x08000000")
    weights, image = (tmp_path / "qspi.bin").read_bytes(), (tmp_path / "flash.bin").read_bytes()
    assert len(weights) == 56 and weights not in image
    assert image == region_image(read_elf(elf), board.flash)
    assert image[:4] == (0x20000800).to_bytes(4, "little")
    assert "'" in str(qspi)  # an argv that can be pasted into a shell


def test_internal_flash_alone_needs_one_step(firmware: Callable, tmp_path: Path) -> None:
    elf, board = firmware(qspi=False)
    (step,) = plan_flash(elf, board, tmp_path)
    assert step.argv[0] == "st-flash"


def test_openocd_writes_all_of_the_elf(firmware: Callable, tmp_path: Path) -> None:
    elf, board = firmware()
    (step,) = plan_flash(elf, board, tmp_path, "openocd")
    assert step.argv[4] == f"program {{{elf}}} verify reset exit"


def test_unknown_runner(firmware: Callable, tmp_path: Path) -> None:
    elf, board = firmware()
    with pytest.raises(UsageError, match="is not flashed by jlink"):
        plan_flash(elf, board, tmp_path, "jlink")
    bare = replace(board, runners=replace(board.runners, flash=()))
    for runner in (None, "openocd"):
        with pytest.raises(UsageError, match="names no runner that flashes"):
            plan_flash(elf, bare, tmp_path, runner)


def fake_tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_failing_tool_stops_the_rest_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tool(tmp_path, "openocd", "echo Error: open failed >&2; exit 1")
    fake_tool(tmp_path, "st-flash", f"touch {tmp_path}/ran")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    steps = [
        ToolCall("40 B to QSPI", ("openocd", "-f", "x.cfg")),
        ToolCall("all", ("st-flash", "write")),
    ]
    with pytest.raises(
        FlashError, match=r"openocd failed .exit 1. writing 40 B to QSPI:\nError: open"
    ) as e:
        flash(steps)
    assert e.value.exit_code == 7
    assert not (tmp_path / "ran").exists()
    flash(steps[1:])
    assert (tmp_path / "ran").exists()


def test_a_missing_tool_is_noticed_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tool(tmp_path, "openocd", f"touch {tmp_path}/ran")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match="st-flash is not installed") as caught:
        flash([ToolCall("a", ("openocd",)), ToolCall("b", ("st-flash",))])
    assert caught.value.exit_code == 6 and not (tmp_path / "ran").exists()
