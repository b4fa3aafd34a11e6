from __future__ import annotations

import random
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from small_model import INPUT_BYTES, expected, write_small_model

from mcuformer.errors import ToolMissingError, UsageError
from mcuformer.targets import qemu_runner, unicorn_runner
from mcuformer.targets.board_file import load_board
from mcuformer.targets.cores import CORES
from mcuformer.targets.faults import FirmwareError
from mcuformer.targets.firmware import build_firmware

needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is not on PATH"
)
IMAGES = [random.Random(i).randbytes(INPUT_BYTES) for i in range(2)]


@needs_qemu
@pytest.mark.parametrize(
    ("name", "mode", "lines"),
    [
        ("stm32f746", "bands", False),
        ("stm32f746", "flash", True),
        ("nucleo-h743zi", "resident", True),
        ("stm32f429", "flash", False),
    ],
)
def test_outputs_and_trace(firmware: Callable, name: str, mode: str, lines: bool) -> None:
    elf, board = firmware(name, mode=mode, qemu=True, trace=True, lines=lines)
    result = qemu_runner.run(elf, IMAGES, trace=True, core=board.core, timeout_s=60)
    for image, inference in zip(IMAGES, result.inferences, strict=True):
        assert list(struct.unpack("<6i", inference.output)) == expected(image)[1]
        assert inference.trace is not None
        assert inference.trace[0].view("<i4").ravel().tolist() == expected(image)[0]
    assert result.sram_high_water_bytes is None and "sram_high_water_bytes" in result.why


@needs_qemu
@pytest.mark.parametrize("name", [n for n, core in CORES.items() if core.qemu])
def test_every_core_that_has_a_machine(tmp_path: Path, name: str) -> None:
    """Start-up code and model, built for the core; its board is the F429's memory."""
    board = replace(load_board("stm32f429"), core=name)
    elf = build_firmware(write_small_model(tmp_path, board), board, qemu=True)
    result = qemu_runner.run(elf, IMAGES[:1], core=name, timeout_s=60)
    assert list(struct.unpack("<6i", result.inferences[0].output)) == expected(IMAGES[0])[1]


def test_a_core_without_a_machine(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no machine of QEMU runs a cortex-m33's firmware"):
        qemu_runner.run(tmp_path / "none.elf", [], core="cortex-m33")


@needs_qemu
def test_counts_agree_with_unicorn(tmp_path: Path) -> None:
    """On a loop long enough that what surrounds it (a veneer, a timer's tick) does not matter."""
    board = load_board("stm32f746")
    body = 'for (int i = 0; i < 20000; i++) __asm volatile("");'
    package = write_small_model(tmp_path, board, body=body, hot=False)
    qemu = qemu_runner.run(
        build_firmware(package, board, qemu=True), IMAGES[:1], core=board.core, timeout_s=60
    )
    unicorn = unicorn_runner.run(build_firmware(package, board), board, IMAGES[:1])
    counts = [result.inferences[0].instructions or 0 for result in (qemu, unicorn)]
    assert counts[1] > 40_000 and abs(counts[0] - counts[1]) < counts[1] / 1000


@needs_qemu
def test_a_fault_is_reported(tmp_path: Path) -> None:
    board = load_board("stm32f746")
    body = "*((volatile uint8_t *)arena + 0x60000) = 1;"  # beyond the RAM that the MPU allows
    elf = build_firmware(write_small_model(tmp_path, board, body=body), board, qemu=True)
    with pytest.raises(FirmwareError, match="QEMU: @error fault: CFSR 0x00000082 MMFAR 0x200"):
        qemu_runner.run(elf, IMAGES[:1], core=board.core, timeout_s=60)


def test_without_qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolMissingError, match="qemu-system-arm is not installed"):
        qemu_runner.qemu_command()
