"""Heads that see near patches alone: what was chosen (mcuformer/locality/localise.py), put on the float graph,
and what it saves in a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.neighbours import PATCH_GRID, RADII
from mcuformer.kernels import near_attention
from mcuformer.report import schema as r
from mcuformer.schedule.ways.ring import RING, held_lines


@dataclass(frozen=True, slots=True)
class LocalLayer:
    """An attention whose patches lie on `grid` (lines, columns). Per head: its radius (0: it sees all),
    and the share of the outputs' variance that it alone costs at the radius that was tried."""

    name: str
    grid: tuple[int, int]
    radii: tuple[int, ...]
    alone: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Localisation:
    """What `--localize-attention` chose. `measure`: what `loss` is in, "top-1" points of labelled samples,
    "agreement" with the model as it was, or "variance" of outputs that are no scores, all in percent.
    `curve`: (heads that are localised, loss) of what was tried."""

    asked: str
    max_loss: float
    measure: str
    samples: int
    loss: float
    curve: tuple[tuple[int, float], ...]
    layers: tuple[LocalLayer, ...]


def localised(graph: Graph, chosen: Localisation | None) -> Graph:
    """The float `graph` whose heads see what was chosen."""
    if chosen is None:
        return graph
    return with_radii(graph, chosen.layers)


def with_radii(graph: Graph, layers: Sequence[LocalLayer]) -> Graph:
    found = {layer.name: layer for layer in layers if any(layer.radii)}
    return graph.replace(ops=tuple(_near(op, found.get(op.name)) for op in graph.ops))


def _near(op: Op, layer: LocalLayer | None) -> Op:
    if layer is None:
        return op
    return op.replace(attrs={**op.attrs, RADII: layer.radii, PATCH_GRID: layer.grid})


def report_of(
    chosen: Localisation, graph: Graph, rows: Sequence[r.LayerRow]
) -> tuple[r.LocalisationRow, ...]:
    """`graph`: the int graph of the program that `rows` are of."""
    return (
        r.LocalisationRow(
            radius=chosen.asked,
            max_loss=chosen.max_loss,
            measure=chosen.measure,
            samples=chosen.samples,
            loss=chosen.loss,
            curve=tuple(r.LossPoint(heads=n, loss=loss) for n, loss in chosen.curve),
            layers=tuple(_layers(chosen, graph, rows)),
        ),
    )


def _layers(
    chosen: Localisation, graph: Graph, rows: Sequence[r.LayerRow]
) -> Iterator[r.LocalisedLayer]:
    known = {row.name: row for row in rows}
    ops = {op.name: op for op in graph.ops}
    for layer in chosen.layers:
        op, row = ops.get(layer.name), known.get(layer.name)
        if op is None or row is None or op.kind != "q_attention":
            continue
        whole = sum(graph.type(str(n)).size_bytes for n in op.inputs[1:3])
        yield r.LocalisedLayer(
            layer=layer.name,
            radii=layer.radii,
            alone=layer.alone,
            schedule=row.schedule,
            kv_bytes=_kept(graph, op, row.schedule.partition(",")[0], layer.grid[1], whole),
            kv_bytes_whole=whole,
            instructions=row.estimated_instructions,
            instructions_whole=_fastest(graph, op),
        )


def _kept(graph: Graph, op: Op, way: str, columns: int, whole: int) -> int:
    """Bytes of K and V that exist at a time."""
    if way == RING:
        return whole * held_lines(op) * columns // graph.type(str(op.inputs[1])).shape[0]
    return whole // int(op.attrs["heads"]) if way == "heads" else whole


def _fastest(graph: Graph, op: Op) -> int:
    """Instructions of the attention if every head saw all keys, with as much scratch as it likes."""
    whole = op.replace(attrs={k: v for k, v in op.attrs.items() if k not in (RADII, PATCH_GRID)})
    rows = graph.type(op.outputs[0]).shape[0]
    found = (
        near_attention.instructions(whole, graph, rows, panel=p)
        for p in near_attention.panels(rows)
    )
    return min(found)
