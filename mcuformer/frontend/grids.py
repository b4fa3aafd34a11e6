"""The scales that a QDQ file gives its activations go to the canonical values that hold them.

Quantising cuts at the ends of the grid, and quantize_static leaves out a Relu or Clip that would cut
there. A value with a grid of its own saturates at those ends anyhow; a view (moved elements, a
scalar factor) or a join of rows lies in a value with another grid, where the cut has to be computed.
"""

from __future__ import annotations

from mcuformer.frontend import arithmetic
from mcuformer.frontend.arithmetic import Operand
from mcuformer.frontend.emit import Emitter, Grid
from mcuformer.frontend.views import Scores, Tensor, View
from mcuformer.ir.functions import named
from mcuformer.ir.types import grid_ends

_FAR_STEPS = 2.0  # steps of the coarser grid by which ends differ that are not just rounded


def noted(emit: Emitter, onnx_name: str, value: Operand | None) -> Operand | None:
    """`value` on the grid that the file gives `onnx_name`, cut at its ends where no base is."""
    grid = emit.graph.meta.get("qdq", {}).get(onnx_name)
    if grid is None or not isinstance(value, View):
        return value
    if isinstance(value.base, Scores):
        return _scores(emit, value, value.base, grid)
    if not isinstance(value.base, Tensor):
        return value
    cut = _cut(emit, value, grid)
    if cut is not None:
        value = arithmetic.unary(emit, value, cut)
    base = value.base
    assert isinstance(base, Tensor)
    if value.scale > 0 and value.is_bijective():
        scale, zero, dtype = grid
        emit.qdq.setdefault(base.name, (scale / value.scale, zero, dtype))
    return value


def _scores(emit: Emitter, value: View, scores: Scores, grid: Grid) -> View:
    """A grid that begins at 0 may stand for a Relu: scores that are read as numbers then have it, others
    are cut. A softmax reads them as they are."""
    if value.scale <= 0 or not value.is_bijective():
        return value
    scale, zero, dtype = grid
    held = emit.score_grids.setdefault(scores, (scale / value.scale, zero, dtype))
    least, (low, _) = grid_ends(*grid)[0], grid_ends(*held)
    if least == 0 and low * value.scale < -_FAR_STEPS * max(scale, held[0] * value.scale):
        return arithmetic.unary(emit, value, "relu")
    return value


def _cut(emit: Emitter, value: View, grid: Grid) -> str | None:
    """The function that cuts what the value's base holds outside of `grid`; None where that is nothing.

    Some elements alone may have a narrower range than all (the queries of a joint projection), so
    of them only a cut at zero is one.
    """
    assert isinstance(value.base, Tensor)
    held = _span(emit, value.base.name)
    if held is None or not value.scale:
        return None
    low, high = sorted(end * value.scale for end in held)
    least, most = grid_ends(*grid)
    room = _FAR_STEPS * max(grid[0], (high - low) / 255)
    below, above = low < least - room, high > most + room
    if least == 0 and below and not above:
        return "relu"
    cuts = (below or above) and (value.is_bijective() or (least == 0 and below))
    return named("clip", least, most) if cuts else None


def _span(emit: Emitter, name: str) -> tuple[float, float] | None:
    """What the file's grids let `name` hold; None where they say nothing."""
    if name in emit.qdq:
        return grid_ends(*emit.qdq[name])
    data = emit.builder.values[name].data
    if data is not None:
        return float(data.min()), float(data.max())
    op = emit.made.get(name)
    if op is None or not (op.kind == "reshape" or _joins_rows(op.kind, op.attrs.get("axis"))):
        return None
    spans = [_span(emit, str(part)) for part in op.inputs]
    known = [s for s in spans if s is not None]
    if len(known) < len(spans):
        return None
    return min(low for low, _ in known), max(high for _, high in known)


def _joins_rows(kind: str, axis: int | None) -> bool:
    """Parts of which lie in place, so the join has no grid of its own."""
    return kind == "concat" and axis == 0
