"""Bytes over time: which buffer lies where at which call, for the HTML map and the text chart."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from mcuformer.memory.model import MemoryPlan
from mcuformer.program.buffers import Buffer
from mcuformer.program.calls import Call
from mcuformer.program.program import Program
from mcuformer.report.rows import call_work
from mcuformer.report.schema import RegionUse

STREAM_LAYERS = 4  # a buffer that this many layers write carries the residual stream


@dataclass(frozen=True, slots=True)
class Moment:
    """A call: its layer and block, the bytes that matter then, the cost of all executions."""

    layer: str
    block: str
    kernel: str
    live_bytes: int
    executions: int
    instructions: int


@dataclass(frozen=True, slots=True)
class Track:
    """A buffer at `offset` of region number `region`.

    `spans` are (first call, last call, lowest byte, one past the highest byte) that matter;
    `role` colours it.
    """

    name: str
    role: str
    region: int
    offset: int
    size_bytes: int
    spans: tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    moments: tuple[Moment, ...]
    tracks: tuple[Track, ...]
    regions: tuple[RegionUse, ...]
    peak: int
    lower_bound_bytes: int


def timeline(program: Program, made: MemoryPlan) -> Timeline:
    names = {layer.id: layer.name for layer in program.layers}
    roles = _Roles(program)
    index = {use.arena.name: i for i, use in enumerate(made.arenas)}
    moments = [
        Moment(
            layer=names.get(call.layer, ""),
            block=block_of(names.get(call.layer, "")),
            kernel=call.kernel,
            live_bytes=at.live_bytes,
            executions=work.executions,
            instructions=work.instructions,
        )
        for (call, work), at in zip(call_work(program), made.timeline, strict=True)
    ]
    tracks = [
        Track(
            name=name,
            role=roles.of(buffer),
            region=index[made.placements[name].arena],
            offset=made.placements[name].offset,
            size_bytes=buffer.size_bytes,
            spans=tuple((live.first, live.last, live.lo, live.hi) for live in made.lives[name]),
        )
        for name, buffer in program.buffers.items()
        if made.lives[name]
    ]
    return Timeline(
        moments=tuple(moments),
        tracks=tuple(tracks),
        regions=tuple(
            RegionUse(name=u.arena.name, used_bytes=u.used_bytes, size_bytes=u.arena.size_bytes)
            for u in made.arenas
        ),
        peak=made.peak.position,
        lower_bound_bytes=made.lower_bound_bytes,
    )


def block_of(layer: str) -> str:
    """`blocks.3.mlp.fc1` -> `blocks.3`: the name up to its first number, else its first word."""
    numbered = re.match(r"(.*?\d+)(?=[./_]|$)", layer)
    return numbered.group(1) if numbered else re.split(r"[./]", layer.lstrip("/"))[0]


class _Roles:
    """What a buffer is for, told from the kernels and layers that touch it."""

    def __init__(self, program: Program) -> None:
        self.writers: dict[str, list[Call]] = defaultdict(list)
        self.readers: dict[str, list[Call]] = defaultdict(list)
        for call, _ in program.calls():
            for name in {s.buffer for s in call.writes}:
                self.writers[name].append(call)
            for name in {s.buffer for s in call.reads}:
                self.readers[name].append(call)

    def of(self, buffer: Buffer) -> str:
        writers, readers = self.writers[buffer.name], self.readers[buffer.name]
        if len({call.layer for call in writers}) >= STREAM_LAYERS:
            return "stream"
        if buffer.kind != "activation":
            return buffer.kind
        kernels = [call.kernel for call in writers]
        if any("read_lines" in k for k in kernels):
            return "input"
        if any(call.kernel == "write_lines" for call in readers):
            return "output"
        if any("attention" in call.kernel for call in (*writers, *readers)):
            return "attention"
        if kernels and all("layernorm" in k for k in kernels):
            return "norm"
        return "linear" if any("linear" in k for k in kernels) else "other"


def chart(time: Timeline, width: int = 72, height: int = 10) -> str:
    """Live bytes over the calls of the program as text, the blocks' first calls marked below."""
    levels = [m.live_bytes for m in time.moments]
    if not levels:
        return ""
    top = max(*levels, 1)
    step = len(levels) / width
    heights = [
        max(levels[int(i * step) : max(int((i + 1) * step), int(i * step) + 1)]) / top * height
        for i in range(width)
    ]
    lines = []
    for row in range(height, 0, -1):
        label = f"{top * row // height:>9,} " if row in (height, height // 2) else " " * 10
        lines.append(label + "".join(_cell(h - (row - 1)) for h in heights))
    peak = min(width - 1, time.peak * width // len(levels))
    at = time.moments[time.peak]
    lines.append(" " * (10 + peak) + "^")
    lines.append(f"bytes alive at each of {len(levels)} calls")
    lines.append(f"peak {at.live_bytes:,} B at {at.layer} ({at.kernel})")
    return "\n".join(line.rstrip() for line in lines)


def _cell(fill: float) -> str:
    """An eighth-block character for the share of a text cell that is filled."""
    eighths: Sequence[str] = " ▁▂▃▄▅▆▇█"
    return eighths[min(8, max(0, round(fill * 8)))]
