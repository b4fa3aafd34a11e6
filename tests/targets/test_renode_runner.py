from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from small_model import INPUT_BYTES, expected, write_small_model

from mcuformer.errors import ToolMissingError, UsageError
from mcuformer.targets import renode_runner
from mcuformer.targets.board_file import load_board
from mcuformer.targets.faults import FirmwareError
from mcuformer.targets.firmware import build_firmware

needs_renode = pytest.mark.skipif(shutil.which("renode") is None, reason="renode is not on PATH")
F746 = load_board("stm32f746")


def test_the_platform_has_the_chips_true_sizes(tmp_path: Path) -> None:
    renode_runner.write_platform(tmp_path, F746, 3456)
    platform, script = ((tmp_path / n).read_text() for n in ("board.repl", "run.resc"))
    for line in (
        "sram: Memory.MappedMemory @ sysbus 0x20000000\n    size: 0x50000\n",
        "flash: Memory.MappedMemory @ sysbus 0x08000000\n    size: 0x100000\n",
        "qspi: Memory.MappedMemory @ sysbus 0x90000000\n    size: 0x1000000\n",
        "usart1: UART.STM32F7_USART @ sysbus 0x40011000\n    frequency: 108000000\n",
    ):
        assert line in platform
    assert 'CreateServerSocketTerminal 3456 "host" false' in script


def test_an_unhandled_access_in_the_log_is_an_error(tmp_path: Path) -> None:
    log = tmp_path / "renode.log"
    log.write_text(
        "[INFO] sysbus: ok\n[WARNING] sysbus: WriteByte to non existing peripheral at 0x20050000\n"
    )
    with pytest.raises(FirmwareError, match="0x20050000"):
        renode_runner._check_log(log, F746)


def test_other_chips_have_no_platform(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no Renode platform"):
        renode_runner.write_platform(tmp_path, load_board("stm32f429"), 1)


def test_without_renode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolMissingError, match="renode is not installed"):
        renode_runner.renode_command()


@needs_renode
def test_outputs(firmware: Callable) -> None:
    elf, board = firmware()
    image = bytes(range(INPUT_BYTES))
    result = renode_runner.run(elf, board, [image])
    assert list(struct.unpack("<6i", result.inferences[0].output)) == expected(image)[1]


@needs_renode
def test_an_overrun_fails(tmp_path: Path) -> None:
    package = write_small_model(tmp_path, F746, body="*(volatile char *)0x20050000 = 1;")
    with pytest.raises(FirmwareError):
        renode_runner.run(build_firmware(package, F746), F746, [bytes(INPUT_BYTES)])
