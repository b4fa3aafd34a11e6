from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcuformer.targets.board_file import load_board
from mcuformer.targets.chip.mpu_model import EXECUTE, READ, WRITE, MpuModel
from mcuformer.targets.mpu import cover, mpu_regions


def programmed(name: str) -> MpuModel:
    model = MpuModel(enabled=True)
    for region in mpu_regions(load_board(name)):
        model.select(region.rbar)
        model.set_attributes(region.rasr)
    return model


@pytest.mark.parametrize("name", ["stm32f746", "nucleo-h743zi", "stm32f429", "nucleo-f446re"])
def test_regions_allow_exactly_the_boards_memory(name: str) -> None:
    wanted = {"flash": READ | EXECUTE, "itcm": READ | EXECUTE, "qspi": READ}
    model = programmed(name)
    for region in load_board(name).memory:
        allowed = wanted.get(region.kind, READ | WRITE)
        assert model.allowed(region.base) == model.allowed(region.end - 1) == allowed
        assert model.spans(region.base, region.end) == [(region.base, region.end, allowed)]
        assert model.allowed(region.end) == 0
        assert region.base == 0x10000000 or model.allowed(region.base - 1) == 0
    assert model.allowed(0) == 0
    assert model.allowed(0x40011000) == READ | WRITE


@given(st.integers(0, 1 << 14), st.integers(1, 1 << 12))
def test_cover_is_exact(start: int, count: int) -> None:
    base, end = start * 1024, (start + count) * 1024
    covered = []
    for first, log2, disabled in cover(base, end):
        assert first % (1 << log2) == 0
        eighth = 1 << (log2 - 3)
        covered += [
            (first + i * eighth, first + (i + 1) * eighth)
            for i in range(8)
            if not disabled >> i & 1
        ]
    assert covered[0][0] == base and covered[-1][1] == end
    assert all(a[1] == b[0] for a, b in itertools.pairwise(covered))
