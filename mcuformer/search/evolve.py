"""Evolution of the space before the search (MCUFormer; S3's E-T idea): where do good networks lie?

A point of the axes (patch, attention ranks, MLP ranks, width) stands for the subspace of choices
around it. Its score is the mean and the mean of the best of some legal subnets. A robust plane
through the scores on normalised axes gives a direction; the next points follow it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.files.atomic import atomic_file
from mcuformer.files.kept import read_json
from mcuformer.search.architecture import Architecture
from mcuformer.search.explore import Judge
from mcuformer.search.settings import REMOVE
from mcuformer.search.space import Space

AXES: Mapping[str, tuple[str, ...]] = {
    "patch": ("patch",),
    "attention rank": ("rank_qkv", "rank_proj"),
    "MLP rank": ("rank_fc1", "rank_fc2"),
    "width": ("dim",),
}
POINTS, SUBNETS, TOP, DRAWS = 6, 8, 3, 60
SUBSPACE_REACH = 0.35  # half the width of a subspace on an axis, of the whole axis
STEP = 0.25

SpacePoint = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Scored:
    """`score` in percent; None where too few draws of the subspace are legal."""

    point: SpacePoint
    score: float | None
    legal_share: float


def evolve(
    judge: Judge,
    evaluate: Callable[[Architecture], float],
    rounds: int,
    seed: int,
    log: Path,
    report: Callable[[int, int], None] | None = None,
) -> tuple[Space, list[dict[str, Any]]]:
    """The best subspace seen, and the log of all rounds; finished rounds are read from `log`."""
    history = read_json(log, _history, REMOVE) if log.exists() else []
    for number in range(len(history), rounds):
        random = Random(f"evolve/{seed}/{number}")
        points = _first(random) if number == 0 else _next(history, random)
        scored = [_score(judge, evaluate, p, Random(f"{seed}/{number}/{p}")) for p in points]
        history.append(_entry(scored))
        with atomic_file(log) as part:
            part.write_text(json.dumps(history, indent=1))
        if report:
            report(number + 1, rounds)
    known = [s for s in _all(history) if s.score is not None]
    if not known:
        return judge.space, history
    best = max(known, key=lambda s: s.score or 0.0)
    return subspace(judge.space, best.point), history


def subspace(space: Space, point: SpacePoint) -> Space:
    """The choices within reach of `point` on every axis; never fewer than one."""
    changes: dict[str, Sequence[Any]] = {}
    for x, genes in zip(point, AXES.values(), strict=True):
        for gene in genes:
            options = space.choices[gene]
            places = np.linspace(0, 1, len(options)) if len(options) > 1 else np.zeros(1)
            near = [
                o for o, at in zip(options, places, strict=True) if abs(at - x) <= SUBSPACE_REACH
            ]
            changes[gene] = near or [options[int(np.abs(places - x).argmin())]]
    return space.with_choices(**changes)


def _first(random: Random) -> list[SpacePoint]:
    return [tuple(round(random.random(), 3) for _ in AXES) for _ in range(POINTS)]


def _score(
    judge: Judge, evaluate: Callable[[Architecture], float], point: SpacePoint, random: Random
) -> Scored:
    space = subspace(judge.space, point)
    local = Judge(space, judge.planner)
    drawn = 0
    accuracies: list[float] = []
    while drawn < DRAWS and len(accuracies) < SUBNETS:
        drawn += 1
        genes = space.draw(random)
        if local.legal(genes):
            accuracies.append(evaluate(space.decode(genes)))
    if len(accuracies) < TOP:
        return Scored(point, None, len(accuracies) / drawn)
    top = sorted(accuracies)[-TOP:]
    score = (sum(accuracies) / len(accuracies) + sum(top) / TOP) / 2
    return Scored(point, score, len(accuracies) / drawn)


def _next(history: list[dict[str, Any]], random: Random) -> list[SpacePoint]:
    """From the best points one step up the plane, with a little noise; the last is drawn freely."""
    known = [s for s in _all(history) if s.score is not None]
    if len(known) < len(AXES) + 1:
        return _first(random)
    x = np.array([s.point for s in known])
    slope = plane(x, np.array([s.score for s in known]))
    step = STEP * slope / max(float(np.abs(slope).max()), 1e-9)
    best = sorted(known, key=lambda s: s.score or 0.0)[-(POINTS - 1) :]
    moved = [
        tuple(
            round(min(1.0, max(0.0, a + d + random.uniform(-0.05, 0.05))), 3)
            for a, d in zip(s.point, step, strict=True)
        )
        for s in best
    ]
    return [*moved, _first(random)[0]]


def plane(x: NDArray[np.float64], y: NDArray[np.float64], rounds: int = 20) -> NDArray[np.float64]:
    """Slopes of y ~ a + x b by iteratively reweighted least squares (weights |residual|^-1/2)."""
    a = np.column_stack([np.ones(len(x)), x])
    weights = np.ones(len(x))
    beta = np.zeros(a.shape[1])
    for _ in range(rounds):
        left = a.T * weights @ a + 1e-3 * np.eye(a.shape[1])
        beta = np.linalg.solve(left, a.T * weights @ y)
        weights = np.maximum(np.abs(y - a @ beta), 1e-3) ** -0.5
        weights /= weights.mean()
    return beta[1:]


def _history(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if any(len(s.point) != len(AXES) for s in _all(table)):
        raise ValueError("points of other axes")
    return table


def _all(history: list[dict[str, Any]]) -> list[Scored]:
    return [
        Scored(tuple(p["point"]), p["score"], p["legal_share"])
        for entry in history
        for p in entry["points"]
    ]


def _entry(scored: list[Scored]) -> dict[str, Any]:
    return {
        "axes": list(AXES),
        "points": [
            {"point": list(s.point), "score": s.score, "legal_share": s.legal_share} for s in scored
        ],
    }
