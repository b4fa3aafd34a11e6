"""Evolution of the space before the search: S3's E-T error and its steps (arXiv 2111.14725).

A file's lists are all that may be chosen; a space is a stretch of each. It begins in the middle of every list
of three or more, and moves a few choices up or down in every round, to where its networks err least.

From the paper: a space is measured by its quality overall (E) and by that of its top tier (T), both from
one supernet; dimensions move under a linear fit, for about three rounds. The search code was never
released. So these are a reconstruction: error Q = (mean of N random legal networks + mean of their best) / 2;
per dimension Q = w x + b over the subspaces of one choice each; a step of -round(w / tau) choices, where the
authors' form would round down. Axes are normalised, 0 the first choice of the list and 1 the last. tau is
four times the standard error that w has by chance: a step takes two of them, which noise seldom has. One
supernet of all lists serves every round, where S3 trains anew: qualities of rounds compare, and a round takes
seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from mcuformer.files.atomic import atomic_file
from mcuformer.files.kept import read_json
from mcuformer.search.architecture import Architecture
from mcuformer.search.explore import Judge
from mcuformer.search.figures import Illegal
from mcuformer.search.settings import REMOVE
from mcuformer.search.space import Genes, Space

SUBNETS, DRAWS = 48, 480  # legal networks of a round, and the draws in which they must be found
LEAST = 12  # legal networks, below which a round moves to where more are legal
TOP = 1 / 4  # share of a group that is its top tier
MOST_STEPS = 2
CHANCE = 4  # standard errors in tau: rounded, a step takes two
ILLEGAL_ERROR = 100.0  # percent, of a network just beyond a limit, where few keep them

Stretches = dict[
    str, tuple[int, int]
]  # of every dimension the first choice and the one behind the last


@dataclass(frozen=True, slots=True)
class Quality:
    """Errors in percent: of all networks drawn (E), of the best of them (T), and both (Q)."""

    mean: float
    top: float

    @property
    def error(self) -> float:
        return (self.mean + self.top) / 2


@dataclass(frozen=True, slots=True)
class Slope:
    """Percent of error along a whole axis (`w`), and what chance would give it (`tau`)."""

    w: float
    tau: float

    @property
    def steps(self) -> int:
        """Choices to move: up where larger ones err less."""
        if self.tau <= 0:
            return 0
        return max(-MOST_STEPS, min(MOST_STEPS, round(-self.w / self.tau)))


def evolve(
    judge: Judge,
    evaluate: Callable[[Architecture], float],
    rounds: int,
    seed: int,
    log: Path,
    report: Callable[[int, int], None] | None = None,
) -> tuple[Space, list[dict[str, Any]]]:
    """The best space seen, and the log: one entry for the first space and one behind every round.

    Finished entries are read from `log`, which is written whole behind each.
    """
    space = judge.space

    def checked(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return _history(table, space)

    history = read_json(log, checked, REMOVE) if log.exists() else []
    for number in range(len(history), rounds + 1 if rounds else 0):
        stretches = _moved(history[-1], space) if history else middle(space)
        history.append(_round(judge, evaluate, stretches, Random(f"evolve/{seed}/{number}")))
        with atomic_file(log) as part:
            part.write_text(json.dumps(history, indent=1))
        if report:
            report(number + 1, rounds + 1)
    known = [entry for entry in history if entry["legal"] >= LEAST]
    if not known:
        return space, history
    best = min(known, key=lambda entry: entry["error"])
    return stretched(space, _stretches(best)), history


def dimensions(space: Space) -> list[str]:
    """Genes with a choice; a ViT's ratios are one dimension."""
    return [name for name, options in space.choices.items() if len(options) > 1]


def middle(space: Space) -> Stretches:
    """Half of every list and at least two choices: what the space begins with."""
    found = {}
    for name in dimensions(space):
        count = len(space.choices[name])
        size = max(2, (count + 1) // 2)
        found[name] = (count - size) // 2, (count - size) // 2 + size
    return found


def scattered(space: Space, random: Random) -> Stretches:
    """As many choices of every list as `middle` takes, from anywhere: what an evolution is held against."""
    found = {}
    for name, (first, behind) in middle(space).items():
        size = behind - first
        start = random.randrange(len(space.choices[name]) - size + 1)
        found[name] = start, start + size
    return found


def stretched(space: Space, stretches: Mapping[str, tuple[int, int]]) -> Space:
    return space.with_choices(**{n: space.choices[n][a:b] for n, (a, b) in stretches.items()})


def _round(
    judge: Judge,
    evaluate: Callable[[Architecture], float],
    stretches: Stretches,
    random: Random,
) -> dict[str, Any]:
    """Draws networks of the space, and fits what each dimension does to their errors."""
    whole, space = judge.space, stretched(judge.space, stretches)
    legal: list[tuple[Genes, float]] = []
    drawn: list[tuple[Genes, float]] = []
    while len(drawn) < DRAWS and len(legal) < SUBNETS:
        genes = space.draw(random)
        arch = space.decode(genes)
        cost = judge.cost(_in_whole(whole, space, genes))
        if isinstance(cost, Illegal):
            drawn.append((genes, ILLEGAL_ERROR * cost.needs / max(1, cost.limit)))
            continue
        drawn.append((genes, 100 - evaluate(arch)))
        legal.append(drawn[-1])
    errors = [e for _, e in legal] or [ILLEGAL_ERROR]
    fitted = drawn if len(legal) < LEAST else legal
    slopes = {n: slope(_points(space, whole, n, fitted)) for n in stretches}
    found = quality(errors)
    return {
        "stretches": {n: list(s) for n, s in stretches.items()},
        "legal": len(legal),
        "drawn": len(drawn),
        "error": found.error,
        "mean": found.mean,
        "top": found.top,
        "slopes": {n: {"w": s.w, "tau": s.tau, "steps": s.steps} for n, s in slopes.items()},
    }


def _in_whole(whole: Space, space: Space, genes: Genes) -> Genes:
    """The genes of the same network in the space of all lists, by which it is planned once."""
    return whole.fixed([0] * len(whole.names), space.values(genes))


def _points(
    space: Space, whole: Space, name: str, drawn: Sequence[tuple[Genes, float]]
) -> list[tuple[float, float]]:
    """(place on the normalised axis, error) of the networks that have the dimension. Of several genes
    of one dimension the mean place counts."""
    genes = [i for i, n in enumerate(space.names) if n == name or n.rstrip("0123456789") == name]
    options = whole.choices[name]
    places = {o: i / (len(options) - 1) for i, o in enumerate(options)}
    found = []
    for chosen, error in drawn:
        active = space.active(chosen)
        at = [places[space.options(name)[chosen[i]]] for i in genes if active[i]]
        if at:
            found.append((sum(at) / len(at), error))
    return found


def quality(errors: Sequence[float]) -> Quality:
    top = sorted(errors)[: max(1, round(len(errors) * TOP))]
    return Quality(float(np.mean(errors)), float(np.mean(top)))


def slope(points: Sequence[tuple[float, float]]) -> Slope:
    """The line through the E-T errors of the subspaces of one place each, weighted by their networks."""
    groups: dict[float, list[float]] = {}
    for x, error in points:
        groups.setdefault(round(x, 2), []).append(error)
    if len(groups) < 2:
        return Slope(0.0, 0.0)
    at = np.array([*groups])
    y = np.array([quality(e).error for e in groups.values()])
    n = np.array([len(e) for e in groups.values()], float)
    off = at - np.average(at, weights=n)
    spread = float(n @ off**2)
    w = float(n @ (off * y)) / spread
    chance = float(np.std([e for _, e in points])) / spread**0.5
    return Slope(w, CHANCE * chance)


def _moved(entry: Mapping[str, Any], space: Space) -> Stretches:
    """A step for every dimension, kept within its list."""
    found = {}
    for name, (first, behind) in _stretches(entry).items():
        steps = int(entry["slopes"][name]["steps"])
        steps = max(-first, min(len(space.choices[name]) - behind, steps))
        found[name] = first + steps, behind + steps
    return found


def _stretches(entry: Mapping[str, Any]) -> Stretches:
    return {name: (int(s[0]), int(s[1])) for name, s in entry["stretches"].items()}


def _history(table: list[dict[str, Any]], space: Space) -> list[dict[str, Any]]:
    for entry in table:
        if [*_stretches(entry)] != dimensions(space) or [*entry["slopes"]] != dimensions(space):
            raise ValueError("dimensions of another space")
        if not all(type(entry[n]) is float for n in ("error", "mean", "top")):
            raise ValueError("no errors")
        _moved(entry, space)
    return table


def told(history: Sequence[Mapping[str, Any]], space: Space) -> dict[str, Any]:
    """For search.json: errors by round, and of every dimension that moved its choices before and after."""
    if not history:
        return {}
    best = min((e for e in history if e["legal"] >= LEAST), key=lambda e: e["error"], default=None)
    first, last = (_stretches(e) for e in (history[0], best or history[0]))
    return {
        "errors": [{n: e[n] for n in ("error", "mean", "top", "legal", "drawn")} for e in history],
        "chosen": history.index(best) if best else None,
        "moved": {
            n: {
                "steps": last[n][0] - first[n][0],
                "from": list(space.choices[n][slice(*first[n])]),
                "to": list(space.choices[n][slice(*last[n])]),
            }
            for n in first
            if last[n] != first[n]
        },
    }
