"""What a run of a compiled model brings, whatever ran it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

LayerBytes = dict[int, NDArray[np.uint8]]  # layer id -> bytes [rows, row_bytes]


@dataclass(frozen=True, slots=True, eq=False)
class Inference:
    """`instructions` of invoke without I/O; `io_instructions` of the line callback inside it.

    On a board the counts are cycles. None where the runner cannot count.
    """

    output: bytes
    instructions: int | None = None
    io_instructions: int | None = None
    layers: tuple[int, ...] | None = None
    trace: LayerBytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """`why` explains each None: field name -> reason."""

    emulator: str
    inferences: tuple[Inference, ...]
    sram_high_water_bytes: int | None = None
    stack_high_water_bytes: int | None = None
    blocks: dict[int, tuple[int, int]] | None = None  # code address -> (bytes, executions)
    why: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """Finished rows `first_row`... of a layer: bytes [count, row_bytes]."""

    layer: int
    first_row: int
    rows: NDArray[np.uint8]


def assemble(tiles: list[Tile]) -> LayerBytes:
    """Each layer's whole output from its tiles; of rows that came twice the last count."""
    result: LayerBytes = {}
    for layer in sorted({tile.layer for tile in tiles}):
        own = [tile for tile in tiles if tile.layer == layer]
        total = max(tile.first_row + len(tile.rows) for tile in own)
        whole = np.zeros((total, own[0].rows.shape[1]), dtype=np.uint8)
        for tile in own:
            whole[tile.first_row : tile.first_row + len(tile.rows)] = tile.rows
        result[layer] = whole
    return result
