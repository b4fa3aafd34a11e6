"""Which heads see near patches alone, as far as a price of work says: what a head costs the outputs against what
it saves.

A choice is a radius per head. Its work is the estimated instructions of its heads, and what K and V keep: a
layer all of whose heads are near keeps a ring of lines (schedule/ways/ring.py), else everything, which counts as
much as one head that sees all. So the last whole head of a layer is worth more than the first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mcuformer.ir.graph import Op
from mcuformer.ir.neighbours import PATCH_GRID, RADII
from mcuformer.ir.types import TensorType
from mcuformer.kernels import near_attention

Radii = Mapping[str, tuple[int, ...]]
Alone = dict[tuple[str, int], dict[int, float]]  # (layer, head): radius: share of the variance
_SAME = 1e-9  # of a sum of losses and priced work: the choices that two prices tell apart differ by more


@dataclass(frozen=True, slots=True)
class LayerOffer:
    """Of the layer `name`: per head what each radius costs the outputs (0: sees all, costs nothing), the work
    of a head by radius, and the lines of its grid; 0 where leading rows keep all of K and V."""

    name: str
    losses: tuple[Mapping[int, float], ...]
    work: Mapping[int, float]
    lines: int

    def best(self, price: float) -> HeadChoice:
        """The least loss + price * work; of choices that are alike the one of less work."""
        found = [self._of(price, tuple(self.work))]
        if self.lines:
            rings = [tuple(r for r in self.work if 0 < r <= most) for most in self.work if most]
            found += [self._of(price, radii) for radii in rings]
        return min(found, key=lambda c: (c.loss + price * c.work, c.work))

    def least(self) -> HeadChoice:
        """The least work, whatever it costs; of choices that are alike the one of less loss."""
        found = [self._of(0.0, (r,)) for r in self.work]
        return min(found, key=lambda c: (c.work, c.loss))

    def _of(self, price: float, radii: Collection[int]) -> HeadChoice:
        taken = tuple(
            min(radii, key=lambda r: (loss[r] + price * self.work[r], self.work[r]))
            for loss in self.losses
        )
        kept = (2 * max(taken) + 1) / self.lines if self.lines and all(taken) else 1.0
        work = sum(self.work[r] for r in taken) + self.work[0] * min(1.0, kept)
        loss = sum(loss[r] for loss, r in zip(self.losses, taken, strict=True))
        return HeadChoice({self.name: taken}, loss, work)


@dataclass(frozen=True, slots=True)
class HeadChoice:
    """`radii` per layer, the sum of what its heads cost alone, and its work."""

    radii: Radii
    loss: float
    work: float


def choices(layers: Sequence[LayerOffer]) -> list[HeadChoice]:
    """Every choice that is best at some price of work, from no loss to least work.

    These are the corners of the convex hull: between two known ones, the price at which both are alike
    gives a third, or shows that none is between (Eisner and Severance, 1976).
    """
    first = _sum([n.best(0.0) for n in layers])
    last = _sum([n.least() for n in layers])
    found, open_pairs = [first], [(first, last)]
    while open_pairs:
        a, b = open_pairs.pop()
        if a.work - b.work <= _SAME * a.work or b.loss <= a.loss:
            found += [b] * (b.work < a.work)
            continue
        price = (b.loss - a.loss) / (a.work - b.work)
        middle = _sum([n.best(price) for n in layers])
        line = a.loss + price * a.work
        if middle.loss + price * middle.work >= line * (1 - _SAME):
            found.append(b)
        else:
            open_pairs += [(middle, b), (a, middle)]
    return found


def _sum(parts: Sequence[HeadChoice]) -> HeadChoice:
    radii = {name: taken for part in parts for name, taken in part.radii.items()}
    return HeadChoice(radii, sum(p.loss for p in parts), sum(p.work for p in parts))


def between(first: Radii, second: Radii, alone: Alone) -> list[Radii]:
    """From one choice to another, a head at a time, those first that alone cost least."""
    changed = [
        (alone[name, h].get(r, 0.0), name, h)
        for name, radii in second.items()
        for h, r in enumerate(radii)
        if r != first[name][h]
    ]
    found = [first]
    for _, name, h in sorted(changed):
        radii = list(found[-1][name])
        radii[h] = second[name][h]
        found.append({**found[-1], name: tuple(radii)})
    return found


def head_instructions(rows: int, grid: tuple[int, int], d: int, dv: int, radius: int) -> int:
    """Estimated, of one int8 head of `d` channels (`dv` of values) on `rows` rows, in its fastest layout."""
    attrs = {"heads": 1, "m": (1,), "pre_shift": 0, "p_shift": 0}
    if radius:
        attrs |= {RADII: (radius,), PATCH_GRID: grid}
    op = Op("q_attention", "head", ("q", "k", "v"), ("y",), attrs)
    graph = _Head(rows, d, dv)
    return min(
        near_attention.instructions(op, graph, rows, panel=p) for p in near_attention.panels(rows)
    )


@dataclass(frozen=True, slots=True)
class _Head:
    """The values of one head, as the cost functions want them."""

    rows: int
    d: int
    dv: int

    def type(self, name: str) -> TensorType:
        return TensorType((self.rows, self.d if name in "qk" else self.dv), "int8")

    def const(self, name: str | None) -> None:
        return None
