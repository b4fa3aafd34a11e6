"""The core's private peripherals: cycle counter, memory protection, coprocessor access."""

from __future__ import annotations

from collections.abc import Callable, Collection

from mcuformer.targets.chip.mpu_model import MpuModel
from mcuformer.targets.chip.registers import Peripheral

_DWT_CTRL, _CYCCNT, _LAR, _DEMCR = 0x1000, 0x1004, 0x1FB0, 0xEDFC
_MPU_CTRL, _MPU_RBAR, _MPU_RASR = 0xED94, 0xED9C, 0xEDA0
_CCSIDR = 0xED80
_UNLOCK = 0xC5ACCE55
_CACHE_4K_4_WAYS = 31 << 13 | 3 << 3 | 1


class Ppb(Peripheral):
    """`ticks` is the time that CYCCNT shows once it has been unlocked and enabled.

    `dead`: dwt (the counter never counts).
    """

    def __init__(
        self,
        has_lock: bool,
        dead: Collection[str],
        ticks: Callable[[], int],
        mpu_changed: Callable[[], None],
    ) -> None:
        super().__init__({_CCSIDR: _CACHE_4K_4_WAYS})
        self.locked, self.dead, self.ticks, self.mpu_changed = (
            has_lock,
            "dwt" in dead,
            ticks,
            mpu_changed,
        )
        self.mpu = MpuModel()
        self.zero = 0

    def read(self, offset: int) -> int:
        if offset == _CYCCNT:
            return self.ticks() - self.zero & 0xFFFFFFFF if self.counting else 0
        return super().read(offset)

    def write(self, offset: int, value: int) -> None:
        if offset == _LAR:
            self.locked = value != _UNLOCK
        elif 0x1000 <= offset < 0x2000 and self.locked:
            return
        elif offset == _CYCCNT:
            self.zero = self.ticks() - value
        elif offset == _MPU_RBAR:
            self.mpu.select(value)
        elif offset == _MPU_RASR:
            self.mpu.set_attributes(value)
        else:
            super().write(offset, value)
            if offset == _MPU_CTRL:
                self.mpu.enabled, self.mpu.background = bool(value & 1), bool(value & 4)
                self.mpu_changed()

    @property
    def counting(self) -> bool:
        enabled = self.values.get(_DEMCR, 0) >> 24 & 1 and self.values.get(_DWT_CTRL, 0) & 1
        return bool(enabled) and not self.dead
