"""The files that a batch program (QEMU, host) reads and writes in its working directory."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mcuformer.targets.faults import FirmwareError
from mcuformer.targets.result import Inference, LayerBytes, Tile, assemble

INPUTS, OUTPUTS, COUNTS, TRACE = "inputs.bin", "outputs.bin", "counts.bin", "trace.bin"
VARIANT = "variant.bin"


def write_inputs(folder: Path, inputs: Sequence[bytes], variant: int | None = None) -> None:
    """`variant`: which of several programs runs; None: the one after init."""
    (folder / INPUTS).write_bytes(b"".join(inputs))
    number = 0 if variant is None else variant + 1
    (folder / VARIANT).write_bytes(number.to_bytes(4, "little"))


def read_inferences(
    folder: Path, count: int, trace: bool, instructions: Callable[[int], int] | None
) -> list[Inference]:
    """The results of `count` inputs; `instructions` converts ticks (None: nothing counts)."""
    outputs = _records(folder / OUTPUTS, count)
    counts = _records(folder / COUNTS, count)
    traces: Sequence[LayerBytes | None] = (
        read_traces(folder / TRACE, count) if trace else [None] * count
    )
    if instructions is None:
        return [Inference(output, trace=t) for output, t in zip(outputs, traces, strict=True)]
    result = []
    for output, record, traced in zip(outputs, counts, traces, strict=True):
        total, io = struct.unpack_from("<QQ", record)
        layers = tuple(instructions(int(n)) for n in np.frombuffer(record[16:], dtype="<u4"))
        result.append(
            Inference(output, instructions(total), instructions(io), layers or None, traced)
        )
    return result


def read_traces(path: Path, count: int) -> list[LayerBytes]:
    """One Trace per inference. Every inference writes the same sequence of tiles."""
    data, at, tiles = path.read_bytes(), 0, []
    while at < len(data):
        layer, first, rows, row_bytes = struct.unpack_from("<4I", data, at)
        flat = np.frombuffer(data, dtype=np.uint8, count=rows * row_bytes, offset=at + 16)
        tiles.append(Tile(layer, first, flat.reshape(rows, row_bytes)))
        at += 16 + rows * row_bytes
    each = len(tiles) // count
    return [assemble(tiles[i * each : (i + 1) * each]) for i in range(count)]


def _records(path: Path, count: int) -> list[bytes]:
    data = path.read_bytes()
    size = len(data) // count
    if size == 0 or size * count != len(data):
        raise FirmwareError(f"{path.name} holds {len(data)} B, not {count} records of one size")
    return [data[i * size : (i + 1) * size] for i in range(count)]
