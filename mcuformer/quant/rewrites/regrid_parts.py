"""Parts of a concatenation that a QDQ model quantised on other grids than their join."""

from __future__ import annotations

from collections.abc import Mapping

from mcuformer.ir.graph import Graph, Op
from mcuformer.quant.rewrites.edit import Rewrite

Given = tuple[float, int, str]


def regrid_parts(graph: Graph) -> Graph:
    """concat(a, b) -> concat(requant(a), b), where a's scale and zero point are not the result's.

    Of channels only: rows of tokens stay where they lie. A join without a grid takes its widest part's.
    """
    given: dict[str, Given] = dict(graph.meta.get("qdq", {}))
    if not given:
        return graph
    edit = Rewrite(graph)
    for op in graph.ops:
        target = _target(op, given)
        if target is None:
            edit.keep(op)
            continue
        given[op.outputs[0]] = target
        edit.emit(op, [_part(edit, op, str(name), target, given) for name in op.inputs])
    return edit.done().replace(meta={**graph.meta, "qdq": given})


def _target(op: Op, given: Mapping[str, Given]) -> Given | None:
    """The grid of all parts, where some have another."""
    if op.kind != "concat" or op.attrs["axis"] != 1:
        return None
    grids = [given[n] for n in (*op.outputs, *map(str, op.inputs)) if n in given]
    if len(set(grids)) < 2:
        return None
    return given.get(op.outputs[0]) or max(grids)


def _part(edit: Rewrite, op: Op, name: str, target: Given, given: dict[str, Given]) -> str:
    if given.get(name, target) == target:
        return name
    shape = edit.graph.type(name).shape
    stem = f"{op.name}.{name}"
    made = edit.emit_new(op, [name], shape, kind="requant", name=stem, attrs={"grid": target})
    given[made] = target
    return made
