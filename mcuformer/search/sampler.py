"""Evolution over legal networks only: a small subclass of Optuna's NSGA-II.

Optuna keeps generations, selection and storage. What it does not do is done here: a candidate is
drawn, crossed and mutated as a fixed-length vector of genes (depth does not change its length) and
rejected by the planner before it becomes the parameters of a trial. Its constraints see finished
trials only, its crossover drops parameters that not all parents have, and enqueued trials never
enter a population (all three seen on Optuna 5.0.0, which constraints.txt pins).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import NSGAIISampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mcuformer.errors import DoesNotFitError
from mcuformer.search.space import Genes, Space

TRIES = 2000  # draws in which a legal, new network must be found
BRED = 200  # of them by crossover and mutation
MUTATION = 0.15
GENES = "mcuformer:genes"  # attribute of a trial

Legal = Callable[[Genes], bool]


class LegalSampler(NSGAIISampler):
    """`legal(genes)` decides; every draw comes from `seed` and the count of trials before it.

    One worker counts finished trials, so that a killed and resumed search draws the same networks;
    several count all trials and claim what they draw, so that no two of them try the same network.
    """

    def __init__(self, space: Space, legal: Legal, seed: int, population: int, alone: bool) -> None:
        super().__init__(population_size=population, seed=seed)
        self.space, self.legal, self.seed, self.alone = space, legal, seed, alone
        self.drawn = self.refused = 0

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return distributions(self.space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        generation = self.get_trial_generation(study, trial)
        # By number: Optuna's order is another one for the first trial of a generation than for the
        # next, which read what it kept; that trial may be drawn again after a kill.
        parents = sorted(self.get_parent_population(study, generation), key=lambda t: t.number)
        others = self._others(study, trial)
        count = len(others) if self.alone else trial.number
        random, taken = Random(f"{self.seed}/{count}"), _claims(others)
        genes = self._draw(random, parents, study.directions, taken)
        self._claim(study, trial, genes)
        # Two that draw the same at once cannot know who was first: whoever sees it draws again, and at
        # least the one that claims last sees it.
        while not self.alone and self.space.canonical(genes) in _claims(self._others(study, trial)):
            taken |= _claims(self._others(study, trial)) | {self.space.canonical(genes)}
            genes = self._draw(random, parents, study.directions, taken)
            self._claim(study, trial, genes)
        return dict(zip(self.space.names, genes, strict=True))

    def _others(self, study: Study, trial: FrozenTrial) -> list[FrozenTrial]:
        """All other trials, as the storage has them now; a lone worker's that are complete."""
        others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]
        return [t for t in others if t.state == TrialState.COMPLETE] if self.alone else others

    def _claim(self, study: Study, trial: FrozenTrial, genes: Genes) -> None:
        """At once and in one piece: other workers read it while the trial still gets its parameters."""
        claimed = list(self.space.canonical(genes))
        study._storage.set_trial_system_attr(trial._trial_id, GENES, claimed)  # noqa: SLF001, no public way

    def _draw(
        self,
        random: Random,
        parents: list[FrozenTrial],
        directions: Sequence[StudyDirection],
        taken: set[Genes],
    ) -> Genes:
        for turn in range(TRIES):
            if parents and turn < BRED:
                genes = self._child(random, parents, directions)
            else:
                genes = self.space.draw(random)
            if self.space.canonical(genes) in taken:
                continue
            self.drawn += 1
            if self.legal(genes):
                return genes
            self.refused += 1
        raise DoesNotFitError(
            f"{TRIES} draws found no legal network that was not tried before",
            "raise the limits, or give a smaller --budget",
        )

    def _child(
        self, random: Random, parents: list[FrozenTrial], directions: Sequence[StudyDirection]
    ) -> Genes:
        """Uniform crossover of two winners of tournaments, then mutation."""
        a, b = (
            genes_of(self.space, self._winner(random, parents, directions).params) for _ in range(2)
        )
        mixed = [x if random.random() < 0.5 else y for x, y in zip(a, b, strict=True)]
        return tuple(
            random.randrange(n) if random.random() < MUTATION else g
            for g, n in zip(mixed, self.space.sizes, strict=True)
        )

    def _winner(
        self, random: Random, parents: list[FrozenTrial], directions: Sequence[StudyDirection]
    ) -> FrozenTrial:
        a, b = random.choice(parents), random.choice(parents)
        signs = [1 if d == StudyDirection.MAXIMIZE else -1 for d in directions]
        better = [s * (y - x) for s, x, y in zip(signs, a.values, b.values, strict=True)]
        return b if min(better) >= 0 and max(better) > 0 else a


def _claims(trials: Iterable[FrozenTrial]) -> set[Genes]:
    return {tuple(t.system_attrs[GENES]) for t in trials if GENES in t.system_attrs}


def distributions(space: Space) -> dict[str, BaseDistribution]:
    return {
        name: IntDistribution(0, size - 1)
        for name, size in zip(space.names, space.sizes, strict=True)
    }


def genes_of(space: Space, params: dict[str, Any]) -> Genes:
    return tuple(int(params[name]) for name in space.names)


def suggested(space: Space, trial: optuna.Trial) -> Genes:
    """The genes of a trial, as the sampler drew them."""
    return tuple(
        trial.suggest_int(name, 0, size - 1)
        for name, size in zip(space.names, space.sizes, strict=True)
    )
