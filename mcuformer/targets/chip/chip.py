"""The peripherals of one board, found by address."""

from __future__ import annotations

from collections.abc import Callable, Collection

from mcuformer.targets.board import Board
from mcuformer.targets.chip.clocks import FlashAcr, PwrF4F7, PwrH7, Rcc, RccF4F7, RccH7
from mcuformer.targets.chip.ppb import Ppb
from mcuformer.targets.chip.quadspi import Quadspi
from mcuformer.targets.chip.registers import Device
from mcuformer.targets.chip.usart import Gpio, Usart
from mcuformer.targets.faults import FirmwareError
from mcuformer.targets.usarts import USARTS

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
        h7 = board.family == "stm32h7"
        flash = FlashAcr(dead)
        power: PwrF4F7 | PwrH7
        if h7:
            power = PwrH7(dead)
            self.rcc: Rcc = RccH7(board.clock, board.family, dead, flash, power)
        else:
            power = PwrF4F7(dead)
            self.rcc = RccF4F7(board.clock, board.family, dead, flash, power)
        self.gpios = [Gpio() for _ in range(_PORTS)]
        usart = USARTS[board.family][board.uart.name]
        self.usart = Usart(
            board.uart, board.family != "stm32f4", lambda: self.rcc.bus_hz(usart.bus),
            self.gpios.__getitem__, starving,
        )  # fmt: skip
        self.ppb = Ppb(board.core == "cortex-m7", dead, ticks, mpu_changed)
        gpio_base = 0x58020000 if h7 else 0x40020000
        self.blocks: dict[int, Device] = {
            (0x58024400 if h7 else 0x40023800): self.rcc,
            (0x58024800 if h7 else 0x40007000): power,
            (0x52002000 if h7 else 0x40023C00): flash,
            usart.base: self.usart,
            **{gpio_base + _BLOCK * port: gpio for port, gpio in enumerate(self.gpios)},
        }
        if board.qspi is not None and board.qspi_region is not None:
            quadspi = Quadspi(
                board.qspi, board.qspi_region.size_bytes, dead, self.gpios.__getitem__, qspi_mapped
            )
            self.blocks[0xA0001000] = quadspi

    def read(self, address: int) -> int:
        device, offset = self._find(address)
        return device.read(offset) & 0xFFFFFFFF

    def write(self, address: int, value: int) -> None:
        device, offset = self._find(address)
        device.write(offset, value)

    def _find(self, address: int) -> tuple[Device, int]:
        if address >= 0xE0000000:
            return self.ppb, address - 0xE0000000
        device = self.blocks.get(address & ~(_BLOCK - 1))
        if device is None:
            raise FirmwareError(f"an access to 0x{address:08x}, where no peripheral is known")
        return device, address & (_BLOCK - 1)
