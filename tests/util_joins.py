"""Random graphs full of joins: channels and rows of anything, sliced, pooled, read by anyone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from util_models import Net

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.passes import run_float_passes

STEPS = (
    "linear", "norm", "relu", "gelu", "attention", "conv", "depthwise", "pool", "add", "gather",
    "columns", "rows", "channels", "channels", "channels", "channels", "twice", "constant", "flat",
)  # fmt: skip
ENDS = ("mean", "whole", "conv", "slice")


@dataclass(frozen=True)
class Joins:
    """A graph on tokens of an image of `size` with `width` channels; every step draws its operands."""

    size: tuple[int, int]
    width: int
    steps: tuple[str, ...]
    end: str
    image: bool
    seed: int
    more: bool = False  # outputs


@st.composite
def joins(draw: st.DrawFn) -> Joins:
    size = (draw(st.integers(1, 5)), draw(st.integers(1, 6)))
    steps = tuple(draw(st.lists(st.sampled_from(STEPS), min_size=3, max_size=10)))
    return Joins(size, draw(st.integers(1, 9)), (*steps, "channels"), draw(st.sampled_from(ENDS)),
                 draw(st.booleans()), draw(st.integers(0, 999)), draw(st.booleans()))  # fmt: skip


class _Builder(Net):
    """`known`: values [T, C] that later steps may read, the newest most of all."""

    def __init__(self, case: Joins) -> None:
        super().__init__("joins", case.seed)
        self.size, self.known = case.size, []
        self.count = 0

    def pick(self) -> str:
        newest = self.known[-3:]
        return str(self.rng.choice(newest if self.rng.random() < 0.7 else self.known))

    def fresh(self, kind: str) -> str:
        self.count += 1
        return f"{kind}.{self.count}"

    def as_image(self, x: str) -> str:
        return self.emit("reshape", self.fresh("image"), [x], (*self.size, self.width(x)))

    def as_tokens(self, x: str) -> str:
        h, w, c = self.b.values[x].type.shape
        return self.emit("reshape", self.fresh("tokens"), [x], (h * w, c))

    def step(self, kind: str) -> str | None:  # noqa: C901, PLR0912, a list of kinds
        x, name = self.pick(), self.fresh(kind)
        c, rows = self.width(x), self.rows(x)
        if kind == "linear":
            return self.linear(x, int(self.rng.integers(1, 12)), name)
        if kind == "norm":
            return self.layernorm(x, name) if c > 1 else None
        if kind in ("relu", "gelu"):
            return self.unary(x, kind, name)
        if kind == "attention":
            q, k, v = (self.linear(x, 4, f"{name}{n}") for n in "qkv")
            return self.emit("attention", name, [q, k, v], (rows, 4), heads=2, scale=0.7)
        if kind in ("conv", "depthwise"):
            n, group = (int(self.rng.integers(1, 9)), 1) if kind == "conv" else (c, c)
            return self.as_tokens(self.conv(self.as_image(x), n, name, 3, 1, 1, group))
        if kind == "pool":
            attrs = {"kernel": (3, 3), "strides": (1, 1), "pads": (1, 1, 1, 1)}
            return self.as_tokens(
                self.emit("maxpool", name, [self.as_image(x)], (*self.size, c), **attrs)
            )
        if kind == "add":
            same = [y for y in self.known if self.width(y) == c and y != x]
            return self.add(x, str(self.rng.choice(same)), name) if same else None
        if kind == "gather":
            order = self.rng.integers(0, rows, rows)
            return self.emit("gather", name, [x], (rows, c), indices=tuple(map(int, order)))
        if kind == "columns":
            first, last = sorted(self.rng.integers(0, c + 1, 2).tolist())
            return self.columns(x, first, last, name) if 0 < last - first < c else None
        if kind == "rows":
            return self.joined_rows(x, name)
        if kind == "twice":
            return self.emit("concat", name, [x, x], (rows, 2 * c), axis=1)
        if kind == "constant":
            const = self.weights(f"{name}.const", rows, 3, scale=1.0)
            return self.emit("concat", name, [const, x], (rows, 3 + c), axis=1)
        if kind == "flat":
            parts = [
                self.emit("reshape", self.fresh("flat"), [p], (1, rows * self.width(p)))
                for p in self.some()
            ]
            wide = self.emit("concat", name, list(parts), (1, sum(map(self.width, parts))), axis=1)
            return self.linear(wide, 3, f"{name}.head")
        parts = self.some()
        return self.emit("concat", name, list(parts), (rows, sum(map(self.width, parts))), axis=1)

    def some(self) -> list[str]:
        full = [x for x in self.known if self.rows(x) == self.size[0] * self.size[1]]
        count = int(self.rng.integers(2, 5))
        newest = full[-count:]
        return [
            str(x) for x in (newest if self.rng.random() < 0.6 else self.rng.choice(full, count))
        ]

    def joined_rows(self, x: str, name: str) -> str:
        """Rows of x, some of its last and first ones swapped."""
        cut, rows, c = int(self.rng.integers(0, self.rows(x))), self.rows(x), self.width(x)
        parts = [self.emit("slice", f"{name}.{n}", [x], (b - a, c), axis=0, start=a, stop=b)
                 for n, a, b in (("back", cut, rows), ("front", 0, cut)) if b > a]  # fmt: skip
        return self.emit("concat", name, list(parts), (rows, c), axis=0)


def joins_model(case: Joins) -> Graph:
    net = _Builder(case)
    rows = case.size[0] * case.size[1]
    if case.image:
        net.image("x", *case.size, case.width)
        net.known = [net.as_tokens("x")]
        meta = {"input_layouts": ("NCHW",), "input_shapes": ((1, case.width, *case.size),)}
    else:
        net.tokens("x", rows, case.width)
        net.known = ["x"]
        meta = {"input_layouts": ("tokens",), "input_shapes": ((1, rows, case.width),)}
    for kind in case.steps:
        made = net.step(kind)
        if made is not None and net.rows(made) == rows and net.width(made) < 60:
            net.known.append(made)
    y = net.emit(
        "concat", "last", net.known[-2:], (rows, sum(map(net.width, net.known[-2:]))), axis=1
    )
    if case.end == "mean":
        y = net.linear(net.emit("mean", "mean", [y], (1, net.width(y))), 4, "head")
    if case.end == "conv":
        y = net.as_tokens(net.conv(net.as_image(y), 5, "end", 3, 1, 1))
    if case.end == "slice":
        y = net.columns(y, net.width(y) // 2, net.width(y), "end")
    # Some values that others read leave as well, never the input itself.
    outputs = [y, *(net.known[1:] if case.more else ())[:2]]
    meta |= {"output_shapes": tuple((1, *net.b.values[o].type.shape) for o in outputs)}
    return run_float_passes(net.b.done(["x"], outputs, meta))


def lowered(case: Joins, activations: str = "8") -> Graph:
    graph = joins_model(case)
    shape = graph.meta["input_shapes"][0][1:]
    samples = np.random.default_rng(case.seed).normal(size=(4, *graph.meta["input_shapes"][0]))
    samples = samples.reshape(4, *shape) if case.image else samples
    stats = quant.calibrate(graph, samples.astype(np.float32))
    return quant.lower(graph, stats, activations)  # type: ignore[arg-type]
