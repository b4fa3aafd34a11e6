"""One rounding of each full matrix for all the widths that read a slice of it.

A width's slice has errors of its own: rounding with feedback (gptq.py) undoes errors of earlier inputs
by later ones, and a slice has only some of both. Rows that take part in the same widths are therefore
rounded together, under the sum of the moments that these widths' inputs have, each in units of the
energy that the stack's own outputs have there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mcuformer.quant.gptq import feedback, gptq, round_weights, searched, weight_scale
from mcuformer.quant.refine import Arrived, IntWeights, alone, taken
from mcuformer.quant.slices.match import Placed, SlicePlaces

_SPARE = 2.0  # times the least step of a row at which its bias fits


@dataclass(frozen=True, slots=True, eq=False)
class WidthShare:
    """What one width knows of a stack: where its rows and columns lie, `steps` of its outputs per step
    of the profile [N], the moments xx[K, K] of its integer inputs (None: no data), and its biases."""

    row: int
    column: int
    steps: NDArray[np.float64]
    xx: NDArray[np.float64] | None
    bias: NDArray[np.float64]
    inputs: int

    @property
    def rows(self) -> slice:
        return slice(self.row, self.row + len(self.steps))

    @property
    def columns(self) -> slice:
        return slice(self.column, self.column + self.inputs)


@dataclass(slots=True)
class Recorder:
    """A Rounding for one width alone, which keeps what `joint` has to know of each layer."""

    places: SlicePlaces
    seen: dict[str, tuple[NDArray | None, NDArray, NDArray]] = field(default_factory=dict)

    def __call__(
        self, name: str, w: NDArray, bias: NDArray, bits: int, seen: Arrived | None
    ) -> IntWeights:
        found = alone(name, w, bias, bits, seen)
        self.seen[name] = None if seen is None else seen.rows.seen, found.bias, w
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """Of a stack: integers w[K, N] and the scale of each row (N,), per step of the profile."""

    w: NDArray[np.float64]
    scale: NDArray[np.float64]


@dataclass(slots=True)
class Taker:
    """A Rounding for one width, with its slices of what all have in common. `steps` [N] by layer."""

    places: SlicePlaces
    codes: Sequence[Codes]
    steps: dict[str, NDArray]

    def __call__(
        self, name: str, w: NDArray, bias: NDArray, bits: int, seen: Arrived | None
    ) -> IntWeights:
        place, codes = self.places[name], self.codes[self.places[name].stack]
        rows = slice(place.row, place.row + w.shape[1])
        own = codes.w[place.column : place.column + len(w), rows]
        return taken(own, codes.scale[rows] * self.steps[name], bias, seen)


def round_jointly(w: NDArray, parts: Sequence[WidthShare], bits: int, unit: int) -> Codes:
    """Of w[K, N] per step of the profile. `unit`: what an integer counts in the kernel's sums."""
    codes, scales = np.zeros_like(w), np.ones(w.shape[1])
    least = _least(w.shape[1], parts, unit)
    for rows, members in _classes(w.shape[1], parts):
        own, xx = w[:, rows], _moments(w, members)
        if xx is None:
            scales[rows] = np.maximum(weight_scale(own, bits), least[rows])
            codes[:, rows] = round_weights(own, scales[rows], bits)
            continue
        via = feedback(xx)
        if bits < 8:
            codes[:, rows], scales[rows] = searched(own, xx, via, bits)
            continue
        scales[rows] = np.maximum(weight_scale(own, bits, np.diag(xx)), least[rows])
        codes[:, rows] = gptq(own, via, scales[rows], bits)
    return Codes(codes, scales)


def _least(count: int, parts: Sequence[WidthShare], unit: int) -> NDArray[np.float64]:
    """Of each row's scale, so that the biases of all widths fit (lower_linear's `_rounded`)."""
    least = np.zeros(count)
    for part in parts:
        wanted = np.abs(part.bias) * (_SPARE * unit * 2.0**-29) / part.steps
        least[part.rows] = np.maximum(least[part.rows], wanted)
    return least


def _classes(
    count: int, parts: Sequence[WidthShare]
) -> Iterator[tuple[NDArray[np.intp], list[WidthShare]]]:
    """Rows that take part in the same widths, and these."""
    takes = np.zeros((count, len(parts)), bool)
    for i, part in enumerate(parts):
        takes[part.rows, i] = True
    for which in np.unique(takes, axis=0):
        rows = np.flatnonzero((takes == which).all(axis=1))
        yield rows, [part for part, own in zip(parts, which, strict=True) if own]


def _moments(w: NDArray, parts: Sequence[WidthShare]) -> NDArray[np.float64] | None:
    total = np.zeros((len(w), len(w)))
    for part in parts:
        if part.xx is None:
            return None
        own = w[part.columns, part.rows]
        energy = float(np.einsum("kn,kn->", own, part.xx @ own)) / own.shape[1]
        total[part.columns, part.columns] += part.xx / max(energy, 1e-30)
    return total


def steps_of(place: Placed, step: float) -> NDArray[np.float64]:
    """Of the outputs (N,) per step of the profile, where the input has `step` times the profile."""
    return np.asarray(place.factor * step, np.float64)
