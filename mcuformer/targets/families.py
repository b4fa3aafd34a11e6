"""Families of chips by name: clocks, registers and ports (RM0385 for F7, RM0090 for F4, RM0433 for H7).

What the start-up code (runtime_c/port) is told of a chip, and what its model in Unicorn (chip/) and
Renode's platform are built from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mcuformer.targets.board import MemoryRegion
from mcuformer.targets.usarts import F4_F7, H7, Usart


@dataclass(frozen=True, slots=True)
class ClockLimits:
    """At 2.7 to 3.6 V."""

    cpu_hz: int
    apb1_hz: int
    apb2_hz: int
    wait_state_hz: int  # of the flash's bus: one more wait state per such step
    overdrive_above_hz: int  # 0: the family has none
    pll_input_hz: tuple[int, int]
    vco_hz: tuple[int, int]
    post_dividers: tuple[int, ...]
    cpu_per_bus: int  # the AHB runs at cpu_hz / cpu_per_bus


@dataclass(frozen=True, slots=True)
class ClockedRam:
    """RAM whose clock is off after a reset: bit `enable_bit` of the family's `ram_enable`."""

    base: int
    end: int
    enable_bit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Addresses are bases of register blocks, `gpio_enable` and `ram_enable` offsets in RCC, of the
    clocks of ports and of `clocked_ram`.

    `clock_source`: the file of runtime_c/port that starts the clocks; families that share it share
    the layout of RCC and PWR. `flash_acr`: bits beside the wait states. `mpu_regions`: how many its
    unit has. `usart_has_isr`: flags in
    ISR, not in SR. `quadspi` None: no start-up code drives a QSPI flash. `renode_usart` None: no
    platform in Renode.
    """

    name: str
    core: str
    limits: ClockLimits
    clock_source: str
    reset_hz: int  # HSI
    rcc: int
    pwr: int
    flash_interface: int
    flash_acr: int
    gpio: int
    gpio_enable: int
    usarts: Mapping[str, Usart]
    usart_has_isr: bool
    quadspi: int | None = None
    renode_usart: str | None = None
    mpu_regions: int = 8
    ram_enable: int | None = None
    clocked_ram: tuple[ClockedRam, ...] = ()

    def clocked(self, region: MemoryRegion) -> tuple[ClockedRam, ...]:
        """What has to be switched on before a byte of `region` is used."""
        return tuple(c for c in self.clocked_ram if c.base < region.end and region.base < c.end)


_ROWS = (
    Family(
        name="stm32f4", core="cortex-m4", clock_source="clock_stm32f4_f7.c", reset_hz=16_000_000,
        limits=ClockLimits(180_000_000, 45_000_000, 90_000_000, 30_000_000, 168_000_000,
                      (1_000_000, 2_000_000), (192_000_000, 432_000_000), (2, 4, 6, 8), 1),
        rcc=0x40023800, pwr=0x40007000, flash_interface=0x40023C00,
        flash_acr=7 << 8,  # prefetch and caches
        gpio=0x40020000, gpio_enable=0x30, usarts=F4_F7, usart_has_isr=False,
    ),
    Family(
        name="stm32f7", core="cortex-m7", clock_source="clock_stm32f4_f7.c", reset_hz=16_000_000,
        limits=ClockLimits(216_000_000, 54_000_000, 108_000_000, 30_000_000, 180_000_000,
                      (1_000_000, 2_000_000), (192_000_000, 432_000_000), (2, 4, 6, 8), 1),
        rcc=0x40023800, pwr=0x40007000, flash_interface=0x40023C00,
        flash_acr=3 << 8,  # prefetch and ART
        gpio=0x40020000, gpio_enable=0x30, usarts=F4_F7, usart_has_isr=True,
        quadspi=0xA0001000, renode_usart="STM32F7_USART",
    ),
    Family(
        name="stm32h7", core="cortex-m7", clock_source="clock_stm32h7.c", reset_hz=64_000_000,
        # 400 MHz at VOS1 holds on every revision; 480 MHz (VOS0) does not.
        limits=ClockLimits(400_000_000, 100_000_000, 100_000_000, 70_000_000, 0,
                      (2_000_000, 4_000_000), (192_000_000, 836_000_000), (2, 4, 6, 8), 2),
        rcc=0x58024400, pwr=0x58024800, flash_interface=0x52002000,
        flash_acr=2 << 4,  # a delay
        gpio=0x58020000, gpio_enable=0xE0, usarts=H7, usart_has_isr=True,
        mpu_regions=16, ram_enable=0xDC,
        # SRAM1 to SRAM3 of the D2 domain, by AHB2ENR; DTCM, the AXI SRAM and SRAM4 are always on.
        clocked_ram=(
            ClockedRam(0x30000000, 0x30020000, 29),
            ClockedRam(0x30020000, 0x30040000, 30),
            ClockedRam(0x30040000, 0x30048000, 31),
        ),
    ),
)  # fmt: skip
FAMILIES: Mapping[str, Family] = {row.name: row for row in _ROWS}
