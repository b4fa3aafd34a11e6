"""The memory protection unit (ARMv7-M PMSA): regions that allow exactly what a board has.

Region 0 forbids all 4 GB, so that neither a stray pointer nor a speculative read of the core
reaches an address that is not there. The encoding is that of MPU_RBAR and MPU_RASR (ARM DDI 0403).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mcuformer.targets.board import Board, MemoryRegion
from mcuformer.targets.cores import CORES
from mcuformer.targets.families import FAMILIES

_VALID = 1 << 4
_XN = 1 << 28
_NO_ACCESS, _READ_WRITE, _READ_ONLY = 0 << 24, 3 << 24, 6 << 24
_CACHED_WRITE_BACK = 1 << 19 | 1 << 17 | 1 << 16  # TEX=1 C=1 B=1
_DEVICE = 1 << 18 | 1 << 16  # S=1 B=1
_ATTRIBUTES: Mapping[str, int] = {
    "flash": _READ_ONLY | _CACHED_WRITE_BACK,
    "itcm": _READ_ONLY | _CACHED_WRITE_BACK,
    "ram": _READ_WRITE | _XN | _CACHED_WRITE_BACK,
    "ccm": _READ_WRITE | _XN | _CACHED_WRITE_BACK,
    "qspi": _READ_ONLY | _XN | _CACHED_WRITE_BACK,
    "device": _READ_WRITE | _XN | _DEVICE,
}


FEWEST_REGIONS = 8  # that a unit of ARMv7-M has
_Span = tuple[int, int, str]  # base, end, what it holds


@dataclass(frozen=True, slots=True)
class MpuRegion:
    rbar: int
    rasr: int
    late: bool = False  # opened after the QSPI has been mapped


def mpu_regions(board: Board) -> tuple[MpuRegion, ...]:
    """ValueError when the board's memory cannot be described in the unit's regions, or when its
    core has a unit of another kind, which the start-up code does not know."""
    kind = CORES[board.core].mpu
    if kind != "armv7-m":
        raise ValueError(f"a {board.core} has the MPU of {kind}, not of armv7-m")
    spans: list[_Span] = [(0x40000000, 0x60000000, "device")]
    family = FAMILIES.get(str(board.family))
    if board.qspi_region is not None and family is not None and family.quadspi:
        spans.append((family.quadspi, family.quadspi + 0x1000, "device"))  # QUADSPI's own registers
    spans += _joined(board.memory)
    result = [MpuRegion(_VALID, _rasr(_NO_ACCESS | _XN, 32, 0))]
    for base, end, holds in spans:
        for start, log2, disabled in cover(base, end):
            number = len(result)
            rasr = _rasr(_ATTRIBUTES[holds], log2, disabled)
            result.append(MpuRegion(start | _VALID | number, rasr, late=holds == "qspi"))
    has = family.mpu_regions if family else FEWEST_REGIONS
    if len(result) > has:
        raise ValueError(
            f"the map needs {len(result)} MPU regions, the unit has {has}: let regions begin at "
            "multiples of their size, or leave one out"
        )
    return tuple(result)


def _joined(memory: Iterable[MemoryRegion]) -> list[_Span]:
    """What the unit need not tell apart as one: neighbours that allow the same. QSPI comes last."""
    spans: list[_Span] = []
    for region in sorted(memory, key=lambda r: (r.kind == "qspi", r.base)):
        last = spans[-1] if spans else None
        if last and last[1] == region.base and _ATTRIBUTES[last[2]] == _ATTRIBUTES[region.kind]:
            spans[-1] = (last[0], region.end, last[2])
        else:
            spans.append((region.base, region.end, region.kind))
    return spans


def _rasr(attributes: int, log2: int, disabled: int) -> int:
    return attributes | disabled << 8 | (log2 - 1) << 1 | 1


def cover(base: int, end: int) -> list[tuple[int, int, int]]:
    """[base, end) as aligned powers of two: (start, log2 of the size, mask of disabled eighths)."""
    result = []
    while base < end:
        found = max((_block(base, end, log2) for log2 in range(8, 33)), key=lambda b: b[0])
        if found[0] <= base:
            raise ValueError(f"0x{base:08x} is not aligned finely enough for the MPU")
        result.append(found[1:])
        base = found[0]
    return result


def _block(base: int, end: int, log2: int) -> tuple[int, int, int, int]:
    """How far one block of this size reaches from `base`: (reach, start, log2, disabled)."""
    start, eighth = base >> log2 << log2, 1 << (log2 - 3)
    if base % eighth:
        return base, start, log2, 0
    reach = min(start + (1 << log2), start + (end - start) // eighth * eighth)
    enabled = range((base - start) // eighth, (reach - start) // eighth)
    disabled = 0xFF & ~sum(1 << i for i in enabled)
    return reach, start, log2, disabled
