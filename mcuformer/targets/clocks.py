"""The clock tree of a board: PLL factors, bus dividers, flash wait states."""

from __future__ import annotations

from dataclasses import dataclass

from mcuformer.targets.board import Clock
from mcuformer.targets.families import FAMILIES, ClockLimits


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
    limits = FAMILIES[family].limits
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


def _pll(limits: ClockLimits, clock: Clock) -> tuple[int, int, int]:
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
