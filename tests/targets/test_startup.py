"""The start-up code on fake peripherals that can refuse to get ready."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from small_model import INPUT_BYTES, write_small_model

from mcuformer.targets.board import MemoryRegion
from mcuformer.targets.board_file import load_board
from mcuformer.targets.chip.machine import Machine
from mcuformer.targets.elf import read_elf
from mcuformer.targets.faults import FirmwareError
from mcuformer.targets.firmware import build_firmware
from mcuformer.targets.unicorn_runner import run

F746 = load_board("stm32f746")
IMAGE = bytes(INPUT_BYTES)


@pytest.mark.parametrize(
    ("name", "hz"), [("stm32f746", 216), ("nucleo-h743zi", 400), ("stm32f429", 180)]
)
def test_full_speed_and_all_parts_on(firmware: Callable, name: str, hz: int) -> None:
    elf, board = firmware(name)
    machine = Machine(read_elf(elf), board)
    assert machine.resume() == "waiting"
    assert bytes(machine.chip.usart.sent) == b"@mcuformer small\r\n"
    assert machine.chip.rcc.cpu_hz == hz * 1_000_000
    assert machine.chip.ppb.mpu.enabled and not machine.chip.ppb.mpu.background
    assert machine.chip.ppb.counting
    assert machine.chip.ppb.read(0xED88) >> 20 & 0xF == 0xF  # FPU
    caches = machine.chip.ppb.read(0xED14) >> 16 & 3
    assert caches == (3 if board.core == "cortex-m7" else 0)


@pytest.mark.parametrize(
    ("name", "dead", "message"),
    [
        ("stm32f746", "hse", "clock: HSE is not ready"),
        ("stm32f746", "pll", "clock: PLL does not lock"),
        ("stm32f746", "overdrive", "clock: over-drive is not ready"),
        ("stm32f746", "overdrive-switch", "clock: over-drive does not switch"),
        ("stm32f746", "latency", "clock: flash wait states are refused"),
        ("stm32f746", "switch", "clock: the core does not switch"),
        ("stm32f746", "dwt", "dwt: the cycle counter does not run"),
        ("stm32f746", "qspi-busy", "qspi: the controller is busy"),
        ("stm32f746", "qspi-flash", "qspi: no flash answers"),
        ("nucleo-h743zi", "voltage", "clock: the supply is not ready"),
        ("nucleo-h743zi", "hse", "clock: HSE is not ready"),
        ("nucleo-h743zi", "pll", "clock: PLL does not lock"),
        ("nucleo-h743zi", "switch", "clock: the core does not switch"),
        ("stm32f429", "hse", "clock: HSE is not ready"),
        ("stm32f429", "switch", "clock: the core does not switch"),
    ],
)
def test_a_dead_part_is_named_on_the_uart(
    firmware: Callable, name: str, dead: str, message: str
) -> None:
    elf, board = firmware(name)
    with pytest.raises(FirmwareError, match=message):
        run(elf, board, [IMAGE], dead=[dead])


def test_without_set_up_qspi_cannot_be_read(tmp_path: Path) -> None:
    package = write_small_model(tmp_path, F746, qspi=True)
    header = package / "port" / "mcf_board.h"
    header.write_text(header.read_text().replace("MCF_HAS_QSPI 1u", "MCF_HAS_QSPI 0u"))
    with pytest.raises(
        FirmwareError, match=r"at 0x900000.., QSPI, which is not memory-mapped yet, in main"
    ):
        run(build_firmware(package, F746), F746, [IMAGE])


def test_weights_of_another_build_are_noticed(firmware: Callable) -> None:
    elf, board = firmware()
    machine = Machine(read_elf(elf), board)
    machine.write(machine.elf.address("weights_id"), bytes(16))
    assert machine.resume() == "asleep"
    assert b"@error qspi: holds the weights of another build" in machine.chip.usart.sent


@pytest.mark.parametrize(
    ("macro", "wrong", "message"),
    [
        ("FLASH_ACR 0x307u", "FLASH_ACR 0x306u", "6 flash wait states, 7 are needed"),
        ("OVERDRIVE 1u", "OVERDRIVE 0u", "without over-drive"),
        ("PLL_N 432u", "PLL_N 440u", "VCO of 440,000,000 Hz is out of range"),
        ("PLL_M 25u", "PLL_M 12u", "PLL input"),
        ("HSE_BYPASS 0u", "HSE_BYPASS 1u", "HSE bypass does not match"),
        ("APB1_CODE 5u", "APB1_CODE 4u", "APB1 at 108,000,000 Hz"),
        ("UART_CLOCK_HZ 108000000u", "UART_CLOCK_HZ 54000000u", "baud"),
        ("UART_RX_PIN 1, 7, 7", "UART_RX_PIN 1, 6, 7", "pin PB7 does not carry USART1"),
        ("QSPI_DUMMY_CYCLES 10u", "QSPI_DUMMY_CYCLES 8u", "QUADSPI dummy cycles is 8"),
        ("QSPI_PRESCALER 2u", "QSPI_PRESCALER 1u", "QUADSPI prescaler is 1"),
        ("{4, 2, 9}", "{4, 3, 9}", "pin PE2/9 does not carry QUADSPI"),
    ],
)
def test_a_wrong_set_up_is_refused(
    shared_package: Path, tmp_path: Path, macro: str, wrong: str, message: str
) -> None:
    header = shared_package / "port" / "mcf_board.h"
    good = header.read_text()
    assert macro in good
    try:
        header.write_text(good.replace(macro, wrong))
        elf = build_firmware(shared_package, F746, build=tmp_path)
    finally:
        header.write_text(good)
    with pytest.raises(FirmwareError, match=message):
        run(elf, F746, [IMAGE])


@pytest.fixture(scope="module")
def shared_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("package"), F746, qspi=True)


@pytest.mark.parametrize("switched", [True, False])
def test_ram_of_another_domain_is_switched_on(tmp_path: Path, switched: bool) -> None:
    h743 = load_board("stm32h743")
    bank = MemoryRegion("sram2", "ram", 0x30020000, 128 << 10)
    board = dataclasses.replace(h743, memory=(*h743.memory, bank))
    extra = 'static uint8_t more[600] MCF_SECTION(".mcf_arena1");'
    package = write_small_model(
        tmp_path, board, extra=extra, body="*(volatile uint8_t *)(more + 599) = 1;"
    )
    header = package / "port" / "mcf_board.h"
    assert "MCF_RAM_CLOCKS 0x40000000u" in header.read_text()
    if switched:
        run(build_firmware(package, board), board, [IMAGE])
        return
    header.write_text(header.read_text().replace("RAM_CLOCKS 0x40000000u", "RAM_CLOCKS 0"))
    with pytest.raises(FirmwareError, match="at 0x30020257, sram2, whose clock is off"):
        run(build_firmware(package, board), board, [IMAGE])


def test_a_locked_dwt_counts_nothing(tmp_path: Path) -> None:
    package = write_small_model(tmp_path, F746)
    core = package / "port" / "core.c"
    core.write_text(core.read_text().replace("0xC5ACCE55u", "0u"))
    with pytest.raises(FirmwareError, match="dwt: the cycle counter does not run"):
        run(build_firmware(package, F746), F746, [IMAGE])
