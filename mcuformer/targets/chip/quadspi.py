"""QUADSPI and the flash behind it: unreadable until the firmware has mapped it correctly."""

from __future__ import annotations

from collections.abc import Callable, Collection

from mcuformer.targets.board import Qspi
from mcuformer.targets.chip.registers import Peripheral
from mcuformer.targets.chip.usart import Gpio
from mcuformer.targets.faults import FirmwareError
from mcuformer.targets.pins import pin_function

_CR, _DCR, _SR, _FCR, _CCR, _DR = 0x00, 0x04, 0x08, 0x0C, 0x14, 0x20
_BUSY, _TCF = 1 << 5, 1 << 1
_FLASH_ID = 0x18BA20  # N25Q128A


class Quadspi(Peripheral):
    """`dead`: qspi-busy (the controller never gets idle), qspi-flash (nothing answers)."""

    def __init__(
        self,
        qspi: Qspi,
        size_bytes: int,
        dead: Collection[str],
        gpio: Callable[[int], Gpio],
        mapped: Callable[[bool], None],
    ) -> None:
        super().__init__()
        self.qspi, self.size_bytes, self.dead = qspi, size_bytes, dead
        self.gpio, self.mapped = gpio, mapped
        self.done = False

    def read(self, offset: int) -> int:
        if offset == _SR:
            return (_BUSY if "qspi-busy" in self.dead else 0) | (_TCF if self.done else 0)
        if offset == _DR:
            return 0xFFFFFF if "qspi-flash" in self.dead else _FLASH_ID
        return super().read(offset)

    def write(self, offset: int, value: int) -> None:
        super().write(offset, value)
        if offset == _FCR:
            self.done = self.done and not value & _TCF
        elif offset == _CCR:
            if not self.values.get(_CR, 0) & 1:
                raise FirmwareError("a QUADSPI command before the controller is enabled")
            memory_mapped = value >> 26 & 3 == 3
            if memory_mapped:
                self._check_mapping(value)
            self.done = not memory_mapped
            self.mapped(memory_mapped)

    def _check_mapping(self, ccr: int) -> None:
        """A real flash answers with garbage unless all of this is right."""
        address_bits = 32 if self.size_bytes > 1 << 24 else 24
        wanted = {
            "command": (ccr & 0xFF, self.qspi.read_command),
            "instruction lines": (ccr >> 8 & 3, 1),
            "address lines": (ccr >> 10 & 3, 3),
            "address bits": (8 * ((ccr >> 12 & 3) + 1), address_bits),
            "dummy cycles": (ccr >> 18 & 0x1F, self.qspi.dummy_cycles),
            "data lines": (ccr >> 24 & 3, 3),
            "size": (2 << (self.values.get(_DCR, 0) >> 16 & 0x1F), self.size_bytes),
            "prescaler": ((self.values[_CR] >> 24) + 1, self.qspi.prescaler),
        }
        for name, (is_, should) in wanted.items():
            if is_ != should:
                raise FirmwareError(f"QUADSPI {name} is {is_}, the board's flash needs {should}")
        for text in self.qspi.pins:
            port, bit, function = pin_function(text)
            if self.gpio(port).function(bit) != function:
                raise FirmwareError(f"pin {text} does not carry QUADSPI")
