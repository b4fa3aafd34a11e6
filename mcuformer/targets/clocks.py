"""The clock tree of a board: PLL factors, bus dividers, flash wait states.

Limits are those of the reference manuals at 2.7 to 3.6 V: RM0385 (F7), RM0090 (F4), RM0433 (H7).
"""

from __future__ import annotations

from dataclasses import dataclass

from mcuformer.targets.board import Clock


@dataclass(frozen=True, slots=True)
class Limits:
    cpu_hz: int
    apb1_hz: int
    apb2_hz: int
    wait_state_hz: int  # of the flash's bus: one more wait state per such step
    overdrive_above_hz: int  # 0: the family has none
    pll_input_hz: tuple[int, int]
    vco_hz: tuple[int, int]
    post_dividers: tuple[int, ...]
    cpu_per_bus: int  # the AHB runs at cpu_hz / cpu_per_bus


FAMILIES = {
    "stm32f4": Limits(180_000_000, 45_000_000, 90_000_000, 30_000_000, 168_000_000,
                      (1_000_000, 2_000_000), (192_000_000, 432_000_000), (2, 4, 6, 8), 1),
    "stm32f7": Limits(216_000_000, 54_000_000, 108_000_000, 30_000_000, 180_000_000,
                      (1_000_000, 2_000_000), (192_000_000, 432_000_000), (2, 4, 6, 8), 1),
    # 400 MHz at VOS1 holds on every revision; 480 MHz (VOS0) does not.
    "stm32h7": Limits(400_000_000, 100_000_000, 100_000_000, 70_000_000, 0,
                      (2_000_000, 4_000_000), (192_000_000, 836_000_000), (2, 4, 6, 8), 2),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClockTree:
    """cpu = hse / m * n / p; q feeds the 48 MHz domain and is only kept in range."""

    m: int
    n: int
    p: int
    q: int
    ahb_hz: int
    apb1_divider: int
    apb2_divider: int
    wait_states: int
    overdrive: bool

    @property
    def apb1_hz(self) -> int:
        return self.ahb_hz // self.apb1_divider

    @property
    def apb2_hz(self) -> int:
        return self.ahb_hz // self.apb2_divider


def clock_tree(family: str, clock: Clock) -> ClockTree:
    """ValueError when the family cannot make this clock from this HSE."""
    limits = FAMILIES[family]
    if clock.cpu_hz > limits.cpu_hz:
        raise ValueError(f"{family} runs at {limits.cpu_hz:,} Hz at most, not {clock.cpu_hz:,}")
    m, n, p = _pll(limits, clock)
    ahb_hz = clock.cpu_hz // limits.cpu_per_bus
    vco_hz = clock.cpu_hz * p
    return ClockTree(
        m, n, p,
        q=max(2, -(-vco_hz // 48_000_000)),
        ahb_hz=ahb_hz,
        apb1_divider=_divider(ahb_hz, limits.apb1_hz),
        apb2_divider=_divider(ahb_hz, limits.apb2_hz),
        wait_states=-(-ahb_hz // limits.wait_state_hz) - 1,
        overdrive=0 < limits.overdrive_above_hz < clock.cpu_hz,
    )  # fmt: skip


def _pll(limits: Limits, clock: Clock) -> tuple[int, int, int]:
    """The factors with the fastest PLL input (least jitter) that give the clock exactly."""
    low, high = limits.pll_input_hz
    for m in range(2, 64):
        for p in limits.post_dividers:
            vco_hz = clock.cpu_hz * p
            n, rest = divmod(vco_hz * m, clock.hse_hz) if clock.hse_hz > 0 else (0, 1)
            in_range = low * m <= clock.hse_hz <= high * m
            vco_fits = limits.vco_hz[0] <= vco_hz <= limits.vco_hz[1]
            if in_range and vco_fits and rest == 0 and 50 <= n <= 432:
                return m, n, p
    raise ValueError(f"no PLL setting makes {clock.cpu_hz:,} Hz from {clock.hse_hz:,} Hz")


def _divider(ahb_hz: int, limit_hz: int) -> int:
    return next(d for d in (1, 2, 4, 8, 16) if ahb_hz <= limit_hz * d)
