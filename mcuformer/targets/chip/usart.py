"""GPIO alternate functions and a USART whose other end is Python."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from mcuformer.targets.board import Uart
from mcuformer.targets.chip.registers import Peripheral
from mcuformer.targets.faults import FirmwareError
from mcuformer.targets.pins import pin

_RXNE, _TC, _TXE = 1 << 5, 1 << 6, 1 << 7


class Gpio(Peripheral):
    """One port; the register layout is the same in all families."""

    def function(self, bit: int) -> int | None:
        """The alternate function of a pin, None when it is no alternate-function pin."""
        if self.read(0) >> 2 * bit & 3 != 2:
            return None
        return self.read(0x20 + 4 * (bit >> 3)) >> 4 * (bit & 7) & 0xF


class UsartModel(Peripheral):
    """`sent` collects what the firmware transmits; `received` waits for it.

    The third poll of the status in a row with nothing received and nothing sent calls `starving`
    (the last poll of a receiver that gave up and one poll before sending are two). The baud rate
    register is checked against the bus clock, and both pins against the board, at the first byte.
    """

    def __init__(
        self,
        uart: Uart,
        has_isr: bool,
        bus_hz: Callable[[], int],
        gpio: Callable[[int], Gpio],
        starving: Callable[[], None],
    ) -> None:
        super().__init__()
        self.uart, self.bus_hz, self.gpio, self.starving = uart, bus_hz, gpio, starving
        if has_isr:
            self.status, self.rdr, self.tdr, self.brr, self.cr1, self.on = (
                0x1C,
                0x24,
                0x28,
                0x0C,
                0x00,
                0xD,
            )
        else:
            self.status, self.rdr, self.tdr, self.brr, self.cr1, self.on = (
                0x00,
                0x04,
                0x04,
                0x08,
                0x0C,
                0x200C,
            )
        self.sent = bytearray()
        self.received: deque[int] = deque()
        self.polls = 0
        self.checked = False

    def read(self, offset: int) -> int:
        if offset == self.status:
            self.polls += 1
            if not self.received and self.polls >= 3:
                self.polls = 0
                self.starving()
            return _TXE | _TC | (_RXNE if self.received else 0)
        if offset == self.rdr:
            self.polls = 0
            return self.received.popleft() if self.received else 0
        return super().read(offset)

    def write(self, offset: int, value: int) -> None:
        if offset != self.tdr:
            super().write(offset, value)
            return
        if not self.checked:
            self._check()
        self.polls = 0
        self.sent.append(value & 0xFF)

    def _check(self) -> None:
        if self.values.get(self.cr1, 0) & self.on != self.on:
            raise FirmwareError(f"{self.uart.name} is used before it is switched on")
        baud = self.bus_hz() / max(self.values.get(self.brr, 0), 1)
        if abs(baud / self.uart.baud - 1) > 0.02:
            raise FirmwareError(
                f"{self.uart.name} runs at {baud:,.0f} baud, not at {self.uart.baud:,}"
            )
        for name, function in ((self.uart.tx, self.uart.tx_af), (self.uart.rx, self.uart.rx_af)):
            port, bit = pin(name)
            if self.gpio(port).function(bit) != function:
                raise FirmwareError(f"pin {name} does not carry {self.uart.name}")
        self.checked = True
