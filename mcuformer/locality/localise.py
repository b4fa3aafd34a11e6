"""`compile --localize-attention`: which heads may see near patches alone, by what that costs the outputs.

Every head is tried alone, at every radius that is asked for: the share of the outputs' variance that changes.
Heads and radii are then taken by what they save for it (choice.py), as far as the loss of all heads together
allows: points of top-1 where the samples have labels, disagreement with the model as it was where they have
none. All in float; what rounding adds, `validate` says.

Candidates are attentions whose queries and keys are the same rows, patches of a grid line by line, behind
leading rows that stand nowhere (a class token). Windows, biases and rows that ask alone are none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mcuformer.compile.localised import Localisation, LocalLayer, with_radii
from mcuformer.compile.options import CompileOptions
from mcuformer.compile.quantise import normalisations
from mcuformer.compile.source import read_source
from mcuformer.errors import UnsupportedModelError, UsageError
from mcuformer.frontend.load import imported
from mcuformer.inputs.codec import InputCodec
from mcuformer.inputs.dataset import Dataset, load_dataset
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import eval_op, eval_steps
from mcuformer.ir.layout import to_canonical
from mcuformer.ir.neighbours import RADII, leading_rows
from mcuformer.locality.choice import Alone, LayerOffer, Radii, between, choices, head_instructions
from mcuformer.locality.positions import Places, grid, positions
from mcuformer.locality.sites import FUSED, sites

if TYPE_CHECKING:
    from mcuformer.util.progress import Progress

ALONE_SAMPLES, MOST_SAMPLES = 32, 512
_CHUNK = 32
_MOST_RADIUS = 4  # that `auto` tries
_STEPS = 8  # choices of the curve at first
Outputs = NDArray[np.float64]  # [samples, numbers]


def localise(
    options: CompileOptions, radius: int | None, max_loss: float, progress: Progress
) -> Localisation:
    """`radius` None: auto. UnsupportedModelError where no head could, UsageError without data."""
    if options.calibration is None:
        raise UsageError(
            "--localize-attention measures what heads lose",
            "give --calibration images, best ones with labels",
        )
    graph = imported(read_source(options).raw).replace(name=options.model.stem)
    layers = list(candidates(graph))
    if not layers:
        raise UnsupportedModelError(
            f"{options.model.name} has no attention of patches on a grid to localise"
        )
    pairs = [None if k is None else k.pair for k in normalisations(options, graph)]
    codec = InputCodec(graph, pairs)
    trial = HeadTrials(graph, codec, load_dataset(options.calibration, codec.inputs), layers)
    alone = trial.alone(radii_of(layers, radius), progress)
    steps = [c.radii for c in choices(offers(graph, layers, alone, radius is None))]
    measure, curve, loss, chosen = trial.largest(steps, alone, max_loss, progress)
    return Localisation(
        asked="auto" if radius is None else str(radius),
        max_loss=max_loss,
        measure=measure,
        samples=len(trial.indices),
        loss=loss,
        curve=tuple(sorted(set(curve))),
        layers=tuple(
            replace(n, radii=chosen[n.name], alone=_alone_at(chosen[n.name], n.name, alone))
            for n in layers
        ),
    )


def candidates(graph: Graph) -> Iterator[LocalLayer]:
    """Attentions of a float graph whose heads may be localised, none of them yet."""
    known = positions(graph)
    for site in sites(graph):
        op = site.op
        if op.kind not in FUSED or site.windows > 1 or len(op.inputs) > 3 or op.attrs.get(RADII):
            continue
        found = [known.get(str(n)) for n in op.inputs[:2]]
        if found[0] is None or found[1] is None or site.queries != site.keys:
            continue
        if not np.array_equal(found[0], found[1], equal_nan=True):
            continue
        size = _grid(found[0])
        if size is not None and min(size) > 2:
            none = (0,) * site.heads
            yield LocalLayer(op.name, size, none, (0.0,) * site.heads)


def _grid(places: Places) -> tuple[int, int] | None:
    """Lines and columns, where the rows after those that stand nowhere are a whole grid line by line."""
    stands = ~np.isnan(places[:, 0])
    patches = places[stands]
    if not len(patches) or not stands[len(places) - len(patches) :].all():
        return None
    lines, columns = (len(np.unique(patches[:, i].round(9))) for i in (0, 1))
    if lines * columns != len(patches) or not np.allclose(patches, grid(lines, columns)):
        return None
    return lines, columns


def radii_of(layers: Sequence[LocalLayer], radius: int | None) -> dict[str, tuple[int, ...]]:
    """That are tried, per layer: those whose ring of lines is smaller than the grid."""
    tried = range(1, _MOST_RADIUS + 1) if radius is None else (radius,)
    return {
        n.name: tuple(r for r in tried if 2 * r + 1 < n.grid[0] or (radius and r < max(n.grid)))
        for n in layers
    }


def count(radii: Radii) -> int:
    """Of heads that are localised."""
    return sum(1 for per_head in radii.values() for r in per_head if r)


def offers(
    graph: Graph, layers: Sequence[LocalLayer], alone: Alone, auto: bool
) -> list[LayerOffer]:
    """What may be chosen, with estimated instructions; a radius that was asked for (not `auto`) is worth
    all of a head, whether it saves some or not."""
    ops, found = {op.name: op for op in graph.ops}, []
    for n in layers:
        (rows, width), heads = graph.type(str(ops[n.name].inputs[0])).shape, len(n.radii)
        dv = graph.type(ops[n.name].outputs[0]).shape[1] // heads
        losses = tuple({0: 0.0, **alone[n.name, h]} for h in range(heads))
        work = {r: float(head_instructions(rows, n.grid, width // heads, dv, r)) for r in losses[0]}
        if not auto:
            work = {r: work[0] * (r == 0) for r in work}
        ring = 0 if leading_rows(rows, n.grid) else n.grid[0]
        found.append(LayerOffer(n.name, losses, work, ring))
    return found


@dataclass(slots=True, eq=False)
class HeadTrials:
    """A float graph on samples."""

    graph: Graph
    codec: InputCodec
    data: Dataset
    layers: Sequence[LocalLayer]

    @property
    def indices(self) -> NDArray[np.int64]:
        """Of the samples that all heads together are measured on."""
        return self.data.spread(MOST_SAMPLES)

    def alone(self, radii: Radii, progress: Progress) -> Alone:
        """What every head costs by itself."""
        found: Alone = {(n.name, h): {} for n in self.layers for h in range(len(n.radii))}
        samples = self.data.take(self.data.spread(ALONE_SAMPLES))
        places = {op.name: i for i, op in enumerate(self.graph.ops)}
        alive: dict[int, dict[str, NDArray]] = {places[n.name]: {} for n in self.layers}
        x = to_canonical(self.graph, self.codec.to_float(samples))
        env: dict[str, NDArray] = {}
        for i, (_, env) in enumerate(eval_steps(self.graph, x), 1):
            if i in alive:
                alive[i] = dict(env)
        base = self._joined(env)
        variance = max(float(np.square(base - base.mean(axis=0)).sum()), 1e-12)
        done, total = 0, sum(len(n.radii) * len(radii[n.name]) for n in self.layers)
        for layer in self.layers:
            i = places[layer.name]
            for head, r in product(range(len(layer.radii)), radii[layer.name]):
                progress("trying heads", done, total)
                done += 1
                one = tuple(r if h == head else 0 for h in range(len(layer.radii)))
                near = with_radii(self.graph, [replace(layer, radii=one)])
                change = self._joined(run_from(near, i, dict(alive[i]))) - base
                found[layer.name, head][r] = float(np.square(change).sum()) / variance
        return found

    def largest(
        self, steps: Sequence[Radii], alone: Alone, max_loss: float, progress: Progress
    ) -> tuple[str, list[tuple[int, float]], float, Radii]:
        """(measure, curve, loss, radii) of the last of `steps` with a loss of no more than `max_loss` percent: of
        none and some of them, of those between the last good and the first bad one, and of
        the heads in which the next one differs."""
        measure, loss_of = self._loss()
        curve: list[tuple[int, float]] = [(0, 0.0)]
        none: Radii = {n.name: (0,) * len(n.radii) for n in self.layers}
        steps = [none, *(radii for radii in steps if count(radii))]
        tried = {_key(none): 0.0}

        def holds(radii: Radii) -> bool:
            if _key(radii) not in tried:
                progress("trying heads together", len(tried) - 1, _STEPS)
                tried[_key(radii)] = loss_of(radii)
                curve.append((count(radii), tried[_key(radii)]))
            return tried[_key(radii)] <= max_loss

        most = len(steps) - 1
        points = sorted({-(-most * i // _STEPS) for i in range(_STEPS + 1)})
        bad = next((k for k in points if not holds(steps[k])), len(steps))
        good = max(k for k in points if k < bad)
        found = _last([steps[k] for k in range(good, min(bad, most) + 1)], holds)
        if found is not steps[most]:  # heads of the next choice, one by one
            after = steps[next(k for k, s in enumerate(steps) if s is found) + 1]
            found = _last(between(found, after, alone), holds)
        return measure, curve, tried[_key(found)], found

    def _loss(self) -> tuple[str, Callable[[Radii], float]]:
        """What is measured, and the function of radii that measures it, in percent."""
        y = self._outputs({n.name: n.radii for n in self.layers})
        types = [self.graph.type(n).shape for n in self.graph.outputs]
        scores = len(types) == 1 and int(np.prod(types[0])) == types[0][-1] > 1
        if not scores:
            variance = max(float(np.square(y - y.mean(axis=0)).sum()), 1e-12)
            return (
                "variance",
                lambda radii: 100 * float(np.square(self._outputs(radii) - y).sum()) / variance,
            )
        labels = None if self.data.labels is None else self.data.labels[self.indices]
        if labels is None:
            return (
                "agreement",
                lambda radii: 100 * _share(self._outputs(radii).argmax(1) != y.argmax(1)),
            )
        right = _share(y.argmax(1) == labels)
        return (
            "top-1",
            lambda radii: 100 * (right - _share(self._outputs(radii).argmax(1) == labels)),
        )

    def _outputs(self, radii: Radii) -> Outputs:
        graph = with_radii(self.graph, [replace(n, radii=radii[n.name]) for n in self.layers])
        found, indices = [], self.indices
        for first in range(0, len(indices), _CHUNK):
            samples = self.data.take(indices[first : first + _CHUNK])
            *_, (_, env) = eval_steps(graph, to_canonical(graph, self.codec.to_float(samples)))
            found.append(self._joined(env))
        return np.concatenate(found)

    def _joined(self, env: Mapping[str, NDArray]) -> Outputs:
        parts = [env[n].reshape(len(env[n]), -1) for n in self.graph.outputs]
        return np.concatenate(parts, axis=1).astype(np.float64)


def _alone_at(radii: tuple[int, ...], layer: str, alone: Alone) -> tuple[float, ...]:
    """What each head costs by itself at its radius; one that sees all, at the best that was tried."""
    tried = [alone[layer, h] for h in range(len(radii))]
    shares = [
        t[r] if r else min(t.values(), default=0.0) for r, t in zip(radii, tried, strict=True)
    ]
    return tuple(round(share, 6) for share in shares)


def run_from(graph: Graph, first: int, env: dict[str, NDArray]) -> dict[str, NDArray]:
    """`env`, all values alive before operation `first`, with those of it and of all that follow."""
    for op in graph.ops[first:]:
        env[op.outputs[0]] = eval_op(graph, op, env)
    return env


def _last(steps: Sequence[Radii], holds: Callable[[Radii], bool]) -> Radii:
    """By bisection, if what holds does up to one of them; the first does."""
    good, bad = 0, len(steps)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if holds(steps[middle]) else (good, middle)
    return steps[good]


def _key(radii: Radii) -> tuple[tuple[int, ...], ...]:
    return tuple(radii.values())


def _share(hits: NDArray) -> float:
    return float(np.mean(hits))
