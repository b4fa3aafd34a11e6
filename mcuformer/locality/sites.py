"""The attentions of a graph: the fused operator, and a softmax that a product weighs values with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.float_ops.arithmetic import attention_weights as float_weights
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.int_ops_attention import attention_weights as int_weights
from mcuformer.ir.interp_float import arguments
from mcuformer.ir.neighbours import seen_by_heads
from mcuformer.ir.product import arranged, sizes_of
from mcuformer.locality.positions import Places

FUSED, PRODUCTS = ("attention", "q_attention"), ("matmul", "q_matmul")
SOFTMAXES = ("softmax", "q_softmax")
_BETWEEN = ("add", "mul", "unary")  # of scores, on their way to the softmax


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """An attention of `windows` groups of `queries` rows that meet `keys` keys each, in `heads` heads."""

    op: Op
    windows: int
    heads: int
    queries: int
    keys: int

    @property
    def name(self) -> str:
        return self.op.name


def sites(graph: Graph) -> Iterator[Site]:
    """Of a float or an int graph, in its order."""
    for op in graph.ops:
        if op.kind in FUSED:
            windows = op.attrs.get("windows", 1)
            rows, keys = (graph.type(str(op.inputs[i])).shape[0] // windows for i in (0, 1))
            yield Site(op, windows, op.attrs["heads"], rows, keys)
        elif op.kind in PRODUCTS and _softmax(graph, op) is not None:
            sizes = sizes_of(op.attrs)
            yield Site(op, sizes["g"], sizes["h"], sizes["m"], sizes["k"])


def _softmax(graph: Graph, op: Op) -> Op | None:
    made = graph.producers().get(str(op.inputs[0]))
    return made if made is not None and made.kind in SOFTMAXES else None


def places(graph: Graph, site: Site, known: Mapping[str, Places]) -> tuple[Places, Places] | None:
    """Where the queries and keys of a float graph's attention stand, [windows, queries or keys, 2]."""
    if site.op.kind in FUSED:
        found = [known.get(str(n)) for n in site.op.inputs[:2]]
    else:
        found = _of_scores(graph, site, known)
    queries, keys = found
    if queries is None or keys is None:
        return None
    return (
        queries.reshape(site.windows, site.queries, 2),
        np.broadcast_to(keys.reshape(-1, site.keys, 2), (site.windows, site.keys, 2)),
    )


def _of_scores(graph: Graph, site: Site, known: Mapping[str, Places]) -> list[Places | None]:
    """Of the two operands that a softmax's scores are a product of; their rows are g and m, or n."""
    softmax = _softmax(graph, site.op)
    made = graph.producers().get(str(softmax.inputs[0])) if softmax is not None else None
    while made is not None and made.kind in _BETWEEN:
        made = next((p for n in made.inputs if (p := graph.producers().get(str(n)))), None)
    if made is None or made.kind not in PRODUCTS:
        return [None, None]
    rows = [made.attrs[x].split(".")[0] for x in "ab"]
    fits = rows[0] in ("gm", "m") and rows[1] in ("gn", "n")
    return [known.get(str(n)) if fits else None for n in made.inputs[:2]]


def weights(graph: Graph, site: Site, env: Mapping[str, NDArray]) -> NDArray:
    """Probabilities [n, windows, heads, queries, keys] of a batch whose values are `env`."""
    op = site.op
    if op.kind in PRODUCTS:
        softmax = _softmax(graph, op)
        assert softmax is not None
        p = env[str(op.inputs[0])].astype(np.float64) - softmax.attrs.get("zp", 0)
        p = arranged(p, op.attrs["a"], sizes_of(op.attrs), "ghmk")
        p = np.broadcast_to(p, (len(p), site.windows, site.heads, *p.shape[-2:]))
    else:
        q, k, v, bias = [*arguments(graph, op, env), None][:4]
        if op.kind == "attention":
            assert q is not None and k is not None
            seen = seen_by_heads(op.attrs, site.keys)
            return float_weights(q, k, bias, site.heads, op.attrs["scale"], site.windows, seen)
        p, _ = int_weights(op, [q, k, v, bias])
        p = p if p.ndim == 5 else p[:, None]
    total = p.sum(axis=-1, keepdims=True)
    return np.asarray(p / np.where(total > 0, total, 1))
