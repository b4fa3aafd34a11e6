"""What was drawn, and how it ended: counts by operator, layout, mode and outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from fuzz.draws import Drawn
from fuzz.follow import SLOW_S, Outcome
from fuzz.modes import all_labels
from mcuformer.ir.optable import ONNX
from mcuformer.operators.table import INT_OPS

ENOUGH = 2000  # draws: from here on nothing may be rare
LEAST = 50
MOST_REFUSED = 0.03
MOST_RAW_REFUSED = 0.1
LAYOUTS = ("tokens", "image", "windows", "several inputs", "several outputs")
UNDRAWN = {
    "QuantizeLinear": "QDQ models have tests of their own",
    "DequantizeLinear": "QDQ models have tests of their own",
    "QuickGelu": "of another domain; its function is drawn as x * Sigmoid(1.702 x)",
    "GatherElements": "as GatherND, one index per element",
    "Attention": "as the MatMul, Softmax and masks that are drawn",
    "RotaryEmbedding": "as the Mul, Add and moves that are drawn",
    "ScatterND": "as GatherND and Concat, which it becomes",
    **dict.fromkeys(
        ("Log", "Asin", "Acos", "Acosh", "Atanh"),
        "of some numbers only; raw draws have them (RAW=1)",
    ),
    "Swish": "newer than the draws' opset; raw draws have it (RAW=1)",
    "DepthToSpace": "where SpaceToDepth finds no even sides",
}
"""ONNX operators that are compiled or moved and need not be drawn, and why."""


def drawn_names() -> list[str]:
    """ONNX operators that have to be among the draws."""
    rows = [spec for spec in ONNX.values() if spec.use in ("compiled", "moved")]
    return [spec.name for spec in rows if spec.name not in UNDRAWN]


class Counts:
    """Of all draws so far."""

    def __init__(self) -> None:
        self.onnx: Counter[str] = Counter(dict.fromkeys(drawn_names(), 0))
        self.integer: Counter[str] = Counter(dict.fromkeys(INT_OPS, 0))
        self.layouts: Counter[str] = Counter(dict.fromkeys(LAYOUTS, 0))
        self.modes: Counter[str] = Counter(dict.fromkeys(all_labels(), 0))
        self.outcomes: Counter[str] = Counter(ok=0, refused=0, failed=0, slow=0)

    def add(self, drawn: Drawn, outcome: Outcome) -> None:
        for name in outcome.operators:
            (self.integer if name in INT_OPS else self.onnx)[name] += 1
        self.layouts.update(outcome.layouts)
        self.modes.update(drawn.modes.labels())
        self.outcomes[outcome.result] += 1
        self.outcomes["slow"] += outcome.seconds > SLOW_S

    @property
    def draws(self) -> int:
        return sum(self.outcomes[r] for r in ("ok", "refused", "failed"))

    def lines(self) -> Iterator[str]:
        groups = {
            "ONNX operator": self.onnx, "integer operator": self.integer, "layout": self.layouts,
            "mode": self.modes, "outcome": self.outcomes,
        }  # fmt: skip
        for title, found in groups.items():
            yield f"{title}:"
            yield from (f"  {n:6,}  {name}" for name, n in found.most_common())

    def complaints(self) -> Iterator[str]:
        """What is wrong with the draws as a whole."""
        if self.outcomes["failed"]:
            yield f"{self.outcomes['failed']} draws failed"
        if self.draws < ENOUGH:
            return
        if self.outcomes["refused"] > MOST_REFUSED * self.draws:
            yield f"{self.outcomes['refused']} of {self.draws} draws were refused"
        needed = {name: self.onnx[name] for name in drawn_names()}
        for found in (needed, self.integer, self.layouts, self.modes):
            yield from (f"{name}: only {n} draws" for name, n in found.items() if n < LEAST)


class RawCounts(Counts):
    """Of raw nodes, whose operators stand anywhere: some are refused."""

    def lines(self) -> Iterator[str]:
        yield from (f"  {n:6,}  {name}" for name, n in self.onnx.most_common())
        yield from (f"  {n:6,}  {name}" for name, n in self.outcomes.most_common())

    def complaints(self) -> Iterator[str]:
        if self.outcomes["failed"]:
            yield f"{self.outcomes['failed']} draws failed"
        if self.draws >= ENOUGH and self.outcomes["refused"] > MOST_RAW_REFUSED * self.draws:
            yield f"{self.outcomes['refused']} of {self.draws} draws were refused"
