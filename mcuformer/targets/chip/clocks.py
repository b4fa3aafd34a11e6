"""RCC, PWR and the flash's wait states: a clock that a real chip would not survive is an error.

`dead` names ready bits that never come: hse, pll, voltage, overdrive, overdrive-switch,
switch, latency.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import ClassVar

from mcuformer.targets.board import Clock
from mcuformer.targets.chip.registers import Peripheral, mirrored
from mcuformer.targets.families import Family
from mcuformer.targets.faults import FirmwareError


class FlashAcr(Peripheral):
    def __init__(self, dead: Collection[str]) -> None:
        super().__init__()
        self.dead = "latency" in dead

    def read(self, offset: int) -> int:
        return 0 if self.dead else super().read(offset)

    @property
    def wait_states(self) -> int:
        return self.values.get(0, 0) & 0xF


class PwrF4F7(Peripheral):
    """CR bits 16, 17 (over-drive, its switch) answer in CSR."""

    def __init__(self, dead: Collection[str]) -> None:
        super().__init__()
        self.pairs = {
            bit: bit
            for bit, name in ((16, "overdrive"), (17, "overdrive-switch"))
            if name not in dead
        }

    def read(self, offset: int) -> int:
        if offset != 4:
            return super().read(offset)
        return sum(self.values.get(0, 0) & 1 << bit for bit in self.pairs)

    @property
    def overdrive(self) -> bool:
        return self.values.get(0, 0) >> 16 & 3 == 3


class PwrH7(Peripheral):
    """The supply (CR3) must be chosen before the voltage scale (D3CR) gets ready."""

    def __init__(self, dead: Collection[str]) -> None:
        super().__init__({0x0C: 0x6})
        self.ready = "voltage" not in dead

    def read(self, offset: int) -> int:
        value = super().read(offset)
        return value | self.ready << 13 if offset in (0x04, 0x18) else value

    @property
    def scale_1(self) -> bool:
        return self.values.get(0x18, 0) >> 14 & 3 == 3 and self.values.get(0x0C, 0) & 7 == 2


class Rcc(Peripheral):
    """Ready bits, and the core clock that the registers add up to when SW selects the PLL."""

    CR_PAIRS: ClassVar[Mapping[int, int]] = {0: 1, 16: 17, 24: 25}  # enable bit -> ready bit

    def __init__(
        self, clock: Clock, family: Family, dead: Collection[str], flash: FlashAcr
    ) -> None:
        super().__init__({0: 1})
        self.clock, self.limits, self.flash = clock, family.limits, flash
        self.pairs = {
            enable: ready
            for enable, ready in self.CR_PAIRS.items()
            if {16: "hse", 24: "pll"}.get(enable) not in dead
        }
        self.switches = "switch" not in dead
        self.cpu_hz = self.reset_hz = family.reset_hz

    def read(self, offset: int) -> int:
        value = super().read(offset)
        return mirrored(value, self.pairs) if offset == 0 else value

    def ready(self, name: str) -> bool:
        return bool(self.read(0) >> {"hse": 17, "pll": 25}[name] & 1)

    def check_pll(self, hse_hz: int, m: int, n: int, p: int) -> None:
        """Set the core clock from the PLL's factors, or say what is wrong with it."""
        if not (self.ready("hse") and self.ready("pll")):
            raise FirmwareError("the core was switched to a PLL that is not locked")
        if bool(self.values[0] >> 18 & 1) != self.clock.hse_bypass:
            raise FirmwareError("HSE bypass does not match the board's clock source")
        pll_input, vco = hse_hz // max(m, 1), hse_hz // max(m, 1) * n
        low, high = self.limits.pll_input_hz
        if not low <= pll_input <= high:
            raise FirmwareError(f"PLL input of {pll_input:,} Hz is outside {low:,}..{high:,} Hz")
        if not self.limits.vco_hz[0] <= vco <= self.limits.vco_hz[1]:
            raise FirmwareError(f"VCO of {vco:,} Hz is out of range")
        self.cpu_hz = vco // p
        ahb_hz = self.cpu_hz // self.limits.cpu_per_bus
        if self.cpu_hz > self.limits.cpu_hz:
            raise FirmwareError(
                f"core clock of {self.cpu_hz:,} Hz is over {self.limits.cpu_hz:,} Hz"
            )
        needed = -(-ahb_hz // self.limits.wait_state_hz) - 1
        if self.flash.wait_states < needed:
            raise FirmwareError(f"{self.flash.wait_states} flash wait states, {needed} are needed")

    def check_buses(self) -> None:
        for bus, limit in ((1, self.limits.apb1_hz), (2, self.limits.apb2_hz)):
            if self.bus_hz(bus) > limit:
                raise FirmwareError(f"APB{bus} at {self.bus_hz(bus):,} Hz is over {limit:,} Hz")

    def bus_hz(self, bus: int) -> int:
        """The clock of APB 1 or 2 as the dividers stand now."""
        raise NotImplementedError


def _ahb_divider(code: int) -> int:
    return 1 if code < 8 else (2, 4, 8, 16, 64, 128, 256, 512)[code - 8]


def _apb_divider(code: int) -> int:
    return 1 if code < 4 else 2 << (code - 4)


class RccF4F7(Rcc):
    def __init__(
        self, clock: Clock, family: Family, dead: Collection[str], flash: FlashAcr, power: PwrF4F7
    ) -> None:
        super().__init__(clock, family, dead, flash)
        self.power = power

    def read(self, offset: int) -> int:
        value = super().read(offset)
        if offset != 8:
            return value
        return value & ~0xC | ((value & 3) << 2 if self.switches else 0)

    def write(self, offset: int, value: int) -> None:
        super().write(offset, value)
        if offset == 8 and value & 3 == 2 and self.switches:
            pll = self.values.get(4, 0)
            self.check_pll(
                self.clock.hse_hz if pll >> 22 & 1 else self.reset_hz,
                pll & 0x3F, pll >> 6 & 0x1FF, 2 * (pll >> 16 & 3) + 2,
            )  # fmt: skip
            if self.cpu_hz > self.limits.overdrive_above_hz and not self.power.overdrive:
                raise FirmwareError(f"{self.cpu_hz:,} Hz without over-drive")
            self.check_buses()

    def bus_hz(self, bus: int) -> int:
        dividers = self.values.get(8, 0)
        ahb_hz = self.cpu_hz // _ahb_divider(dividers >> 4 & 15)
        return ahb_hz // _apb_divider(dividers >> (10 if bus == 1 else 13) & 7)


class RccH7(Rcc):
    def __init__(
        self, clock: Clock, family: Family, dead: Collection[str], flash: FlashAcr, power: PwrH7
    ) -> None:
        super().__init__(clock, family, dead, flash)
        self.power = power

    def read(self, offset: int) -> int:
        value = super().read(offset)
        if offset != 0x10:
            return value
        return value & ~0x38 | ((value & 7) << 3 if self.switches else 0)

    def write(self, offset: int, value: int) -> None:
        super().write(offset, value)
        if offset != 0x10 or value & 7 != 3 or not self.switches:
            return
        factors, source = self.values.get(0x30, 0), self.values.get(0x28, 0)
        if not self.power.scale_1 or source & 3 != 2 or not self.values.get(0x2C, 0) >> 16 & 1:
            raise FirmwareError("PLL1 needs HSE, its P output and voltage scale 1")
        self.check_pll(
            self.clock.hse_hz, source >> 4 & 0x3F, (factors & 0x1FF) + 1, (factors >> 9 & 0x7F) + 1
        )
        if self.values.get(0x18, 0) & 0xF != 8:
            raise FirmwareError(f"AHB would run at {self.cpu_hz:,} Hz")
        self.check_buses()

    def bus_hz(self, bus: int) -> int:
        ahb_hz = self.cpu_hz // _ahb_divider(self.values.get(0x18, 0) & 15)
        return ahb_hz // _apb_divider(self.values.get(0x1C, 0) >> (4 if bus == 1 else 8) & 7)


def clock_blocks(
    family: Family, clock: Clock, dead: Collection[str]
) -> tuple[Rcc, Peripheral, FlashAcr]:
    """RCC, PWR and the flash interface of a family."""
    return _LAYOUTS[family.clock_source](family, clock, dead)


def _f4_f7(family: Family, clock: Clock, dead: Collection[str]) -> tuple[Rcc, Peripheral, FlashAcr]:
    flash, power = FlashAcr(dead), PwrF4F7(dead)
    return RccF4F7(clock, family, dead, flash, power), power, flash


def _h7(family: Family, clock: Clock, dead: Collection[str]) -> tuple[Rcc, Peripheral, FlashAcr]:
    flash, power = FlashAcr(dead), PwrH7(dead)
    return RccH7(clock, family, dead, flash, power), power, flash


_Layout = Callable[[Family, Clock, Collection[str]], tuple[Rcc, Peripheral, FlashAcr]]
_LAYOUTS: Mapping[str, _Layout] = {"clock_stm32f4_f7.c": _f4_f7, "clock_stm32h7.c": _h7}
