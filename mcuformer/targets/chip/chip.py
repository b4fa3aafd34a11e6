"""The peripherals of one board, found by address."""

from __future__ import annotations

from collections.abc import Callable, Collection

from mcuformer.targets.board import Board, MemoryRegion
from mcuformer.targets.chip.clocks import clock_blocks
from mcuformer.targets.chip.ppb import Ppb
from mcuformer.targets.chip.quadspi import Quadspi
from mcuformer.targets.chip.registers import Peripheral
from mcuformer.targets.chip.usart import Gpio, UsartModel
from mcuformer.targets.cores import CORES
from mcuformer.targets.families import FAMILIES
from mcuformer.targets.faults import FirmwareError

_PORTS = 11
_BLOCK = 0x400


class Chip:
    """Every peripheral that the start-up code may touch; an access to any other is an error."""

    def __init__(
        self,
        board: Board,
        dead: Collection[str],
        ticks: Callable[[], int],
        starving: Callable[[], None],
        qspi_mapped: Callable[[bool], None],
        mpu_changed: Callable[[], None],
    ) -> None:
        assert board.family is not None and board.clock is not None and board.uart is not None
        self.family = family = FAMILIES[board.family]
        self.memory_changed = mpu_changed
        self.rcc, power, flash = clock_blocks(family, board.clock, dead)
        self.gpios = [Gpio() for _ in range(_PORTS)]
        usart = family.usarts[board.uart.name]
        self.usart = UsartModel(
            board.uart, family.usart_has_isr, lambda: self.rcc.bus_hz(usart.bus),
            self.gpios.__getitem__, starving,
        )  # fmt: skip
        self.ppb = Ppb(CORES[board.core].dwt_lock, dead, ticks, mpu_changed)
        self.blocks: dict[int, Peripheral] = {
            family.rcc: self.rcc,
            family.pwr: power,
            family.flash_interface: flash,
            usart.base: self.usart,
            **{family.gpio + _BLOCK * port: gpio for port, gpio in enumerate(self.gpios)},
        }
        if family.quadspi and board.qspi is not None and board.qspi_region is not None:
            self.blocks[family.quadspi] = Quadspi(
                board.qspi, board.qspi_region.size_bytes, dead, self.gpios.__getitem__, qspi_mapped
            )

    def read(self, address: int) -> int:
        device, offset = self._find(address)
        return device.read(offset) & 0xFFFFFFFF

    def write(self, address: int, value: int) -> None:
        device, offset = self._find(address)
        device.write(offset, value)
        if device is self.rcc and offset == self.family.ram_enable:
            self.memory_changed()

    def is_clocked(self, region: MemoryRegion) -> bool:
        """Whether a RAM answers: some are off until RCC switches them on."""
        if self.family.ram_enable is None:
            return True
        enabled = self.rcc.values.get(self.family.ram_enable, 0)
        return all(enabled >> c.enable_bit & 1 for c in self.family.clocked(region))

    def _find(self, address: int) -> tuple[Peripheral, int]:
        if address >= 0xE0000000:
            return self.ppb, address - 0xE0000000
        device = self.blocks.get(address & ~(_BLOCK - 1))
        if device is None:
            raise FirmwareError(f"an access to 0x{address:08x}, where no peripheral is known")
        return device, address & (_BLOCK - 1)
