"""Draws of attention: self, cross, windows, sub-sampled keys, biases, constant queries."""

from __future__ import annotations

import numpy as np

from fuzz.graph import MOST_WEIGHTS, Draw, small
from fuzz.layers import LEAST_NORM, layernorm, linear, unit
from fuzz.moves import image, tokens
from mcuformer.ir.neighbours import visible

MOST_SCORES = 40000


def heads_of(d: Draw, t: int) -> tuple[int, int]:
    """Heads and their width, within what values may have."""
    heads = d.number(1, 8)
    width = d.number(1, max(1, min(16, 8000 // (t * heads))))
    return heads, width


def attend(
    d: Draw, q: str, k: str, v: str, heads: int, windows: int = 1, bias: str | None = None
) -> str:
    """softmax(q k^T) v of [1, windows*T, heads*width] each, window by window."""
    (_, tq, c), (_, tk, _) = d.shapes[q], d.shapes[k]
    a, b, size = tq // windows, tk // windows, c // heads

    def split(x: str, rows: int, perm: tuple[int, ...]) -> str:
        apart = d.reshape(x, (windows, rows, heads, size), kept=False)
        return d.transpose(apart, perm, None)

    heads_of_q, heads_of_k = split(q, a, (0, 2, 1, 3)), split(k, b, (0, 2, 3, 1))
    factor = np.array(size**-0.5)
    if size >= LEAST_NORM and d.chance(15):  # cosine attention, a temperature per head
        heads_of_q, heads_of_k = unit(d, heads_of_q, None, -1), unit(d, heads_of_k, None, -2)
        factor = np.exp(1 + 0.5 * d.random(1, heads, 1, 1))
    scores = d.node("MatMul", [heads_of_q, heads_of_k], None)
    scores = d.node("Mul", [scores, d.const(factor)], None)
    if bias is not None:
        scores = d.node("Add", [scores, bias], None)
    elif d.chance(30):
        lead = d.one_of(((1, 1), (1, heads), (windows, heads), (windows, 1)))
        scores = d.node("Add", [scores, d.normal(*lead, a, b)], None)
    elif d.chance(40):  # some keys are hidden, never the first one
        mask = d.random(1, 1, a, b) < 0.5
        mask[..., 0] = False
        lowest = d.const(np.array(-1e9))
        scores = d.node("Where", [d.weight_of(mask), lowest, scores], None)
    p = d.node("Softmax", [scores], None, axis=-1)
    o = d.node("MatMul", [p, split(v, b, (0, 2, 1, 3))], None)
    return d.reshape(d.transpose(o, (0, 2, 1, 3), None), (1, tq, c))


def _projected(d: Draw, x: str, o: str) -> str:
    """The output projection and the residual, or neither."""
    if d.chance(30):
        return o
    y = linear(d, o, d.shapes[x][-1])
    same = d.shapes[x] == d.shapes[y]
    return d.node("Add", [x, y], d.shapes[y]) if same and d.chance(70) else y


def self_attention(d: Draw, x: str) -> str | None:
    """Over projections, over slices of one projection, or over one layer as q, k and v."""
    t = d.shapes[x][1]
    (heads, size), way = heads_of(d, t), d.number(0, 3)
    width = heads * size
    if heads * t * t > MOST_SCORES:
        return None
    n = layernorm(d, x) if d.chance(50) else x
    if way == 0:
        q, k, v = (linear(d, n, width) for _ in range(3))
    elif way == 1 and small(t, 3 * width):
        joint = linear(d, n, 3 * width)
        q, k, v = (d.slice(joint, 2, i * width, (i + 1) * width) for i in range(3))
    elif way == 2:
        q = k = v = linear(d, n, width)
    else:
        q, k, v = (linear(d, n, width) for _ in range(3))
        q = layernorm(d, q)
    return _projected(d, x, attend(d, q, k, v, heads))


def near(d: Draw, x: str) -> str | None:
    """Heads that see near patches alone, behind rows that see all: compiled as bands, and as rings."""
    t = d.shapes[x][1]
    sides = [
        (h, (t - lead) // h) for lead in (0, 0, 1, 2) for h in range(3, t) if (t - lead) % h == 0
    ]
    grid = d.one_of(sides) if sides else None
    heads, size = heads_of(d, t)
    if grid is None or heads * t * t > MOST_SCORES:
        return None
    least, most = int(d.chance(80)), d.one_of((1, 1, 2, 3))
    radii = [d.number(least, most) for _ in range(heads)]
    hidden = ~np.stack([visible(t, grid, r) for r in radii])[None]
    mask = d.const(np.where(hidden, d.one_of((-1e9, -np.inf)), 0.0))
    n = layernorm(d, x) if d.chance(70) else x
    q, k, v = (linear(d, n, heads * size) for _ in range(3))
    return _projected(d, x, attend(d, q, k, v, heads, bias=mask))


def cross_attention(d: Draw, x: str) -> str | None:
    """The tokens of one value ask those of another."""
    other = d.pick(3, lambda s: s != d.shapes[x]) or x
    (t, s) = d.shapes[x][1], d.shapes[other][1]
    heads, size = heads_of(d, max(t, s))
    if heads * t * s > MOST_SCORES:
        return None
    q = linear(d, x, heads * size)
    k, v = (linear(d, other, heads * size) for _ in range(2))
    return _projected(d, x, attend(d, q, k, v, heads))


def windows(d: Draw, x: str) -> str | None:
    """Swin's partition: [1, T, C] as an image cut into windows, each by itself, and back."""
    _, t, c = d.shapes[x]
    sides = [(h, t // h) for h in range(2, t) if t % h == 0]
    grid = d.one_of(sides) if sides else None
    if grid is None:
        return None
    side = [next(f for f in (2, 3, 5, n) if n % f == 0) for n in grid]
    (h, w), (a, b) = grid, side
    (heads, size), n = heads_of(d, t), (h // a) * (w // b)
    if n == 1 or heads * t * a * b > MOST_SCORES:
        return None
    width = heads * size
    parted = d.reshape(x, (h // a, a, w // b, b, c), kept=False)
    parted = d.reshape(d.transpose(parted, (0, 2, 1, 3, 4), None), (1, t, c))
    y = layernorm(d, parted) if d.chance(50) else parted
    q, k, v = (linear(d, y, width) for _ in range(3))
    if d.chance(20):  # one query for several keys, as Hiera pools them
        few = next(f for f in (2, 3, 5, a * b) if a * b % f == 0)
        apart = d.reshape(q, (n, few, a * b // few, width), kept=False)
        first = d.node("Slice", [apart, d.ints(0), d.ints(1), d.ints(1)], None)
        q = d.reshape(first, (1, t // few, width))
        return linear(d, attend(d, q, k, v, heads, n), c)
    o = linear(d, attend(d, q, k, v, heads, n), c)
    back = d.reshape(o, (h // a, w // b, a, b, c), kept=False)
    o = d.reshape(d.transpose(back, (0, 2, 1, 3, 4), None), (1, t, c))
    return d.node("Add", [x, o], d.shapes[x]) if d.chance(70) else o


def reduced(d: Draw, x: str) -> str | None:
    """Sub-sampled keys: a strided convolution over the tokens (PVT, Twins), or over their norm, which
    the queries read as well."""
    t, c = d.shapes[x][1:]
    n = layernorm(d, x) if d.chance(60) else x
    picture = image(d, n)
    h, w = d.shapes[picture][2:]
    side = min(d.one_of((2, 2, 3, 4, 8)), h, w)
    if side < 2 or c * c * side * side > MOST_WEIGHTS:
        return None
    kernel = d.normal(c, c, side, side, scale=(side * side * c) ** -0.5)
    few = d.node("Conv", [picture, kernel], (1, c, h // side, w // side), strides=[side] * 2)
    few = layernorm(d, tokens(d, few))
    heads, size = heads_of(d, t)
    if heads * t * d.shapes[few][1] > MOST_SCORES:
        return None
    q = linear(d, n, heads * size)
    k, v = (linear(d, few, heads * size) for _ in range(2))
    return _projected(d, x, attend(d, q, k, v, heads))


def pooled(d: Draw, x: str) -> str | None:
    """Attention pooling: constant queries."""
    t = d.shapes[x][1]
    (heads, size), queries = heads_of(d, t), d.number(1, 4)
    heads = max(heads, 2)  # of one head it reads like a linear layer, and is refused
    k, v = (linear(d, x, heads * size) for _ in range(2))
    apart = d.reshape(k, (1, t, heads, size), kept=False)
    q = d.normal(1, heads, queries, size)
    scores = d.node("MatMul", [q, d.transpose(apart, (0, 2, 3, 1), None)], None)
    p = d.node("Softmax", [scores], None, axis=-1)
    values = d.transpose(d.reshape(v, (1, t, heads, size), kept=False), (0, 2, 1, 3), None)
    o = d.node("MatMul", [p, values], None)
    return d.reshape(d.transpose(o, (0, 2, 1, 3), None), (1, queries, heads * size))


def _heads_apart(d: Draw, x: str, heads: int, perm: tuple[int, ...]) -> str:
    """A projection of x, its heads apart."""
    t, width = d.shapes[x][1], d.shapes[x][2]
    return d.transpose(d.reshape(x, (1, t, heads, width // heads), kept=False), perm, None)


def product(d: Draw, x: str) -> str | None:
    """Products of two activations that are no attention: scores that are mixed, gated, biased or
    normalised over something else, linear and channel attention."""
    t = d.shapes[x][1]
    (heads, size), way = heads_of(d, t), d.number(0, 5)
    if heads * t * t > MOST_SCORES // 4 or t < 2:
        return None
    q, k, v = (linear(d, x, heads * size) for _ in range(3))
    queries, values = (_heads_apart(d, n, heads, (0, 2, 1, 3)) for n in (q, v))
    keys = _heads_apart(d, k, heads, (0, 2, 3, 1))
    if way < 2:  # the small matrix first, which may be channels' probabilities
        kv = d.node("MatMul", [keys, values], None)
        kv = d.node("Mul", [kv, d.const(np.array(1 / t))], None)
        kv = d.node("Softmax", [kv], None, axis=-1) if way else kv
        o = d.node("MatMul", [queries, kv], None)
        return d.reshape(d.transpose(o, (0, 2, 1, 3), None), (1, t, heads * size))
    scores = _scores(d, queries, keys, size)
    if way == 2:
        scores = d.node("Conv", [scores, d.normal(heads, heads, 1, 1, scale=heads**-0.5)], None)
    elif way == 3:
        scores = d.node("Mul", [scores, d.normal(1, heads, t, 1)], None)
    p = d.node("Softmax", [scores], None, axis=-1 if way != 4 else 2)
    if way == 5:
        p = d.node("Mul", [p, d.const(0.5 + np.abs(d.random(1, heads, 1, 1)))], None)
    o = d.node("MatMul", [p, values], None)
    return d.reshape(d.transpose(o, (0, 2, 1, 3), None), (1, t, heads * size))


def _scores(d: Draw, queries: str, keys: str, size: int) -> str:
    if d.chance(30):
        operands = [queries, d.transpose(keys, (0, 1, 3, 2), None)]
        scores = d.node("Einsum", operands, None, equation="bhqd,bhkd->bhqk")
    else:
        scores = d.node("MatMul", [queries, keys], None)
    return d.node("Mul", [scores, d.const(np.array(size**-0.5))], None)


def einsum(d: Draw, x: str) -> str | None:
    """Tokens with tokens, or with a constant."""
    t, c = d.shapes[x][1:]
    if d.chance(50):
        n = d.number(1, min(40, 4000 // c))
        weights = d.normal(n, c, scale=c**-0.5)
        return d.node("Einsum", [x, weights], (1, t, n), equation="b t c, n c -> b t n")
    if t * t > MOST_SCORES // 4:
        return None
    y = linear(d, x, c)
    scale = d.const(np.array((t * c) ** -0.5))
    small = d.node("Einsum", [x, y], None, equation="btc,bsc->bts")
    return d.node("Mul", [small, scale], (1, t, t))
