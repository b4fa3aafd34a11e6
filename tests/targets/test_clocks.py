from __future__ import annotations

import pytest

from mcuformer.targets.board import Clock
from mcuformer.targets.clocks import clock_tree


@pytest.mark.parametrize(
    ("family", "hse_hz", "cpu_hz", "wait_states", "overdrive", "apb"),
    [
        ("stm32f7", 25_000_000, 216_000_000, 7, True, (54_000_000, 108_000_000)),
        ("stm32f7", 8_000_000, 180_000_000, 5, False, (45_000_000, 90_000_000)),
        ("stm32f4", 8_000_000, 180_000_000, 5, True, (45_000_000, 90_000_000)),
        ("stm32f4", 8_000_000, 168_000_000, 5, False, (42_000_000, 84_000_000)),
        ("stm32h7", 8_000_000, 400_000_000, 2, False, (100_000_000, 100_000_000)),
    ],
)
def test_data_sheet_values(
    family: str, hse_hz: int, cpu_hz: int, wait_states: int, overdrive: bool, apb: tuple[int, int]
) -> None:
    tree = clock_tree(family, Clock(hse_hz, False, cpu_hz))
    assert hse_hz * tree.n == cpu_hz * tree.m * tree.p
    assert (tree.wait_states, tree.overdrive) == (wait_states, overdrive)
    assert (tree.apb1_hz, tree.apb2_hz) == apb
    assert 2 <= tree.q <= 128 and cpu_hz * tree.p // tree.q <= 48_000_000


def test_no_crystal() -> None:
    with pytest.raises(ValueError, match="no PLL setting"):
        clock_tree("stm32f7", Clock(0, False, 216_000_000))
