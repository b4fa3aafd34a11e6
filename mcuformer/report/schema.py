"""report.json: what compile writes and analyze prints (docs/report.md explains every field).

Every number is planned, estimated or linked. What is not known is None, and a diagnostic says why;
`problems` finds a report that breaks one of its own promises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from mcuformer.errors import Diagnostic

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTensor:
    """An input or output of the model as the ONNX file has it; `dtype` is that of the firmware."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    path: str
    sha256: str
    opset: int
    parameters: int
    macs: int
    inputs: tuple[ModelTensor, ...]
    outputs: tuple[ModelTensor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardSizes:
    name: str
    sram_bytes: int
    flash_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionUse:
    """A memory region of the board and how full it is."""

    name: str
    used_bytes: int | None
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """SRAM. `sram_total_bytes` = arena + scratch + static + stack + input; scratch and input count
    only where they lie outside the arena."""

    arena_bytes: int
    scratch_bytes: int
    static_bytes: int | None
    stack_bytes: int | None
    input_bytes: int
    input_mode: Literal["resident", "bands", "flash"]
    sram_total_bytes: int | None
    sram_available_bytes: int
    lower_bound_bytes: int
    peak_layer: str
    regions: tuple[RegionUse, ...]
    output_mode: Literal["resident", "lines"] = "resident"  # lines: of the dense outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Flash:
    weights_bytes: int | None
    code_bytes: int | None
    total_bytes: int | None
    regions: tuple[RegionUse, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One operation of the integer graph."""

    id: int
    name: str
    op: str
    onnx_nodes: tuple[str, ...]
    shape: tuple[int, ...]
    macs: int
    weights_bytes: int
    weight_bytes_read: int
    live_bytes: int
    scratch_bytes: int
    schedule: str
    estimated_instructions: int
    weight_bits: int = 0  # 0: no weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    instructions: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeOff:
    optimize: str
    sram_total_bytes: int
    macs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What `compile` found when it ran the code that it had written (mcuformer/proof).

    `equal`: every output byte of `samples` inputs is the interpreter's. `sqnr_db`: of the worst
    output against the ONNX file.
    """

    emulator: str
    samples: int
    equal: bool
    sqnr_db: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantRow:
    """A width: one of several programs over the same weights, by its number in C.

    `arena_bytes` of its own plan, `sram_total_bytes` as if it were alone. `sqnr_db`: of its worst
    output against its ONNX file; all its bytes are the interpreter's. `accuracy_percent`: of the calibration
    samples, where these have labels.
    """

    number: int
    label: str
    path: str
    sha256: str
    parameters: int
    macs: int
    arena_bytes: int
    sram_total_bytes: int
    instructions: int
    seconds: float | None
    sqnr_db: float | None = None
    accuracy_percent: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LossPoint:
    """So many heads see near patches alone, and what that loses, in percent."""

    heads: int
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalisedLayer:
    """An attention. Per head: its radius (0: it sees all), and the share of the outputs' variance that it
    costs `alone`. `_whole`: if every head saw all keys."""

    layer: str
    radii: tuple[int, ...]
    alone: tuple[float, ...]
    schedule: str
    kv_bytes: int
    kv_bytes_whole: int
    instructions: int
    instructions_whole: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalisationRow:
    """`--localize-attention`: `loss` of all its heads, in percent of `measure`; `curve`: what was tried."""

    radius: str
    max_loss: float
    measure: str
    samples: int
    loss: float
    curve: tuple[LossPoint, ...]
    layers: tuple[LocalisedLayer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    schema_version: int = SCHEMA_VERSION
    tool: Tool
    model: Model
    board: BoardSizes
    options: dict[str, Any]
    memory: Memory
    flash: Flash
    fits: bool
    layers: tuple[LayerRow, ...]
    estimate: Estimate
    tradeoffs: tuple[TradeOff, ...] = ()
    checked: Checked | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    variants: tuple[VariantRow, ...] = ()
    localisation: tuple[LocalisationRow, ...] = ()  # one where it was asked for


def to_dict(report: Report) -> dict[str, Any]:
    """Plain dictionaries and lists in the order of the contract, ready for json.dumps."""
    return msgspec.to_builtins(report)


def from_dict(document: dict[str, Any]) -> Report:
    """The report that a report.json holds; msgspec.ValidationError where it is none."""
    return msgspec.convert(document, Report)


def unknown(where: str, why: str) -> Diagnostic:
    """The reason why the field at path `where` is None."""
    return Diagnostic(severity="info", code="unknown", where=where, message=why)


def sram_total(*parts: int | None) -> int | None:
    """The sum of all parts of SRAM, None where one of them is not known."""
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def problems(report: Report) -> list[str]:
    """Broken promises: the SRAM identity, a None without a reason, a wrong verdict."""
    m = report.memory
    inside = (m.arena_bytes, m.scratch_bytes)
    total = sram_total(*inside, m.static_bytes, m.stack_bytes, m.input_bytes)
    found = []
    if m.sram_total_bytes != total:
        found.append(f"sram_total_bytes is {m.sram_total_bytes}, its parts sum to {total}")
    if m.arena_bytes < m.lower_bound_bytes:
        found.append(f"arena of {m.arena_bytes} B below its lower bound of {m.lower_bound_bytes} B")
    explained = {d.where for d in report.diagnostics}
    unknown = [path for path in _missing(to_dict(report), "") if path not in explained]
    found += [f"{path} is null without a reason" for path in unknown]
    uses = (*m.regions, *report.flash.regions)
    full = [u.name for u in uses if u.used_bytes is not None and u.used_bytes > u.size_bytes]
    if report.fits and full:
        found.append(f"fits is true, but {', '.join(full)} overflows")
    return found


def _missing(value: Any, path: str) -> Iterator[str]:
    """Paths of every None outside of options and diagnostics."""
    pairs: Any = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        if inner is None or isinstance(inner, (dict, list, tuple)):
            if not path and key in ("options", "diagnostics"):
                continue
            at = f"{path}.{key}" if path else key
            yield from _missing(inner, at) if inner is not None else (at,)
