"""Static shapes for the graph's inputs: batch bound to 1, the rest from the file or the user."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mcuformer.errors import UnsupportedModelError, UsageError
from mcuformer.frontend.import_graph import Dim
from mcuformer.frontend.names import shown
from mcuformer.ir.graph import Graph
from mcuformer.ir.types import TensorType, Value
from mcuformer.passes.fold_constants import MAX_ACTIVATION

_BATCH_NAMES = ("batch", "n", "b", "bs", "batch_size")


def bind_inputs(graph: Graph, given: Mapping[str, tuple[int, ...]] | None) -> Graph:
    declared: Mapping[str, tuple[Dim, ...] | None] = graph.meta["input_dims"]
    given = given or {}
    for name in given:
        if name not in declared:
            known = ", ".join(shown(n) for n in declared)
            raise UsageError(f"the model has no input {shown(name)}; it has {known}")
    values = dict(graph.values)
    for name in graph.inputs:
        shape = _bound(name, declared[name], given.get(name))
        if any(d == 0 for d in shape):
            raise UnsupportedModelError(
                f"input {shown(name)} has a zero-size shape {list(shape)}",
                hint=_hint(name, "1,3,224,224"),
            )
        if any(d < 0 for d in shape) or math.prod(shape) > MAX_ACTIVATION:
            raise UnsupportedModelError(f"input {shown(name)}: shape {list(shape)} is absurd")
        values[name] = Value(name, TensorType(shape, values[name].type.dtype))
    return graph.replace(values=values, meta={**graph.meta, "declared": _declared(graph, values)})


def _declared(graph: Graph, values: Mapping[str, Value]) -> dict[str, TensorType]:
    """The types that the file gives other values, its named axes as they are bound now."""
    sizes: dict[str, int] = {}
    for name in graph.inputs:
        dims = graph.meta["input_dims"][name] or ()
        pairs = zip(dims, values[name].type.shape, strict=False)
        sizes |= {d: size for d, size in pairs if isinstance(d, str)}
    found: dict[str, TensorType] = {}
    for name, (dims, dtype) in graph.meta["declared"].items():
        shape = [sizes.get(d, -1) if isinstance(d, str) else d or -1 for d in dims or (-1,)]
        if all(d > 0 for d in shape) and math.prod(shape) <= MAX_ACTIVATION:
            found[name] = TensorType(tuple(shape), dtype)
    return found


def _bound(
    name: str, declared: tuple[Dim, ...] | None, given: tuple[int, ...] | None
) -> tuple[int, ...]:
    if given is not None:
        return _given(name, declared, given)
    if declared is None:
        raise UsageError(f"input {shown(name)} has no shape", hint=_hint(name, "1,3,224,224"))
    named = [i for i, d in enumerate(declared) if isinstance(d, str) and d.lower() in _BATCH_NAMES]
    batch = named[0] if named else 0
    shape = [1 if i == batch and not isinstance(d, int) else d for i, d in enumerate(declared)]
    open_axes = [i for i, d in enumerate(shape) if not isinstance(d, int)]
    if open_axes:
        names = ", ".join(f"axis {i} ({shape[i] or 'unnamed'})" for i in open_axes)
        example = ",".join(str(d) if isinstance(d, int) else "N" for d in shape)
        raise UsageError(f"input {shown(name)} has dynamic {names}", hint=_hint(name, example))
    return tuple(d for d in shape if isinstance(d, int))


def _given(
    name: str, declared: tuple[Dim, ...] | None, given: tuple[int, ...]
) -> tuple[int, ...]:  # fmt: skip
    fits = declared is None or (
        len(given) == len(declared)
        and all(not isinstance(d, int) or d == g for d, g in zip(declared, given, strict=True))
    )
    if not fits or any(g < 1 for g in given):
        raise UsageError(
            f"input {shown(name)} cannot take shape {list(given)}: the model declares "
            f"{list(declared or ())}"
        )
    return tuple(given)


def _hint(name: str, example: str) -> str:
    return f"--input-shape {name[:40]}={example}"
