"""The architecture search: trials in one Optuna storage, by any number of workers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any, Literal

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState

from mcuformer.errors import DoesNotFitError, UsageError
from mcuformer.search.architecture import Architecture
from mcuformer.search.families import arch_of
from mcuformer.search.figures import Illegal, NetworkCost, Planner
from mcuformer.search.sampler import LegalSampler, suggested
from mcuformer.search.space import Genes, Space
from mcuformer.search.storage import check_local

HEARTBEAT_S, GRACE_S = 10, 30
OBJECTIVES: Mapping[str, Literal["minimize", "maximize"]] = {
    "accuracy": "maximize",
    "sram": "minimize",
    "flash": "minimize",
    "instructions": "minimize",
}

Evaluate = Callable[[Architecture], float]


@dataclass(slots=True, eq=False)
class Judge:
    """Plans each network once; networks that differ in inactive genes only are the same."""

    space: Space
    planner: Planner
    known: dict[Genes, NetworkCost | Illegal] = field(default_factory=dict)

    def cost(self, genes: Genes) -> NetworkCost | Illegal:
        key = self.space.canonical(genes)
        if key not in self.known:
            self.known[key] = self.planner.cost(self.space.decode(genes))
        return self.known[key]

    def legal(self, genes: Genes) -> bool:
        return isinstance(self.cost(genes), NetworkCost)


@dataclass(frozen=True, slots=True)
class Candidate:
    """`number` counts complete trials: Optuna's own also count those that a kill left behind."""

    number: int
    arch: Architecture
    accuracy: float
    cost: NetworkCost


def explore(
    judge: Judge,
    evaluate: Evaluate,
    storage: str,
    candidates: int,
    *,
    seed: int = 0,
    population: int = 24,
    alone: bool = True,
    objectives: Sequence[str] = ("accuracy",),
    name: str = "search",
    report: Callable[[int, float], None] | None = None,
) -> list[Candidate]:
    """Run until `candidates` trials are complete in the storage; all complete ones, by number."""
    study = open_study(judge, storage, seed, population, alone, objectives, name)

    def objective(trial: optuna.Trial) -> tuple[float, ...]:
        genes = suggested(judge.space, trial)
        cost = judge.cost(genes)
        assert isinstance(cost, NetworkCost)
        arch = judge.space.decode(genes)
        trial.set_user_attr("arch", arch.as_dict())
        trial.set_user_attr("cost", asdict(cost))
        accuracy = evaluate(arch)
        trial.set_user_attr("accuracy", accuracy)
        values = {
            "accuracy": accuracy,
            "sram": cost.sram_total_bytes,
            "flash": cost.flash_total_bytes,
            "instructions": cost.instructions,
        }
        return tuple(float(values[o]) for o in objectives)

    def told(study: optuna.Study, trial: FrozenTrial) -> None:
        if report and trial.state == TrialState.COMPLETE:
            report(len(completed(study)), trial.user_attrs["accuracy"])

    if len(completed(study)) < candidates:
        stop = MaxTrialsCallback(candidates, states=(TrialState.COMPLETE,))
        study.optimize(objective, callbacks=[told, stop])
    return completed(study)


def open_study(
    judge: Judge,
    storage: str,
    seed: int,
    population: int,
    alone: bool,
    objectives: Sequence[str],
    name: str,
) -> optuna.Study:
    """Create or join the study; a lone worker clears away what a killed one left running."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    check_local(storage)
    backend = optuna.storages.RDBStorage(
        storage,
        heartbeat_interval=None if alone else HEARTBEAT_S,
        grace_period=None if alone else GRACE_S,
    )
    study = optuna.create_study(
        study_name=name,
        storage=backend,
        load_if_exists=True,
        directions=[OBJECTIVES[o] for o in objectives],
        sampler=LegalSampler(judge.space, judge.legal, seed, population, alone),
    )
    if alone:
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study.tell(trial.number, state=TrialState.FAIL)
    return study


def check_objectives(names: Sequence[str]) -> None:
    """UsageError before any work where one is unknown."""
    if unknown := [n for n in names if n not in OBJECTIVES]:
        known = ", ".join(OBJECTIVES)
        raise UsageError(f"unknown objectives {', '.join(unknown)}", f"known are {known}")


def completed(study: optuna.Study) -> list[Candidate]:
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [_candidate(number, trial) for number, trial in enumerate(trials)]


def _candidate(number: int, trial: FrozenTrial) -> Candidate:
    a: dict[str, Any] = trial.user_attrs
    return Candidate(number, arch_of(a["arch"]), a["accuracy"], NetworkCost(**a["cost"]))


def winner(found: Sequence[Candidate]) -> Candidate:
    """The best validation accuracy; of equals the one with less SRAM, then the first."""
    return max(found, key=lambda c: (c.accuracy, -c.cost.sram_total_bytes, -c.number))


def pareto(found: Sequence[Candidate]) -> list[Candidate]:
    """Candidates that no other beats in accuracy with as little SRAM."""
    best, front = -1.0, []
    for c in sorted(found, key=lambda c: (c.cost.sram_total_bytes, -c.accuracy)):
        if c.accuracy > best:
            best = c.accuracy
            front.append(c)
    return front


def random_search(judge: Judge, evaluate: Evaluate, candidates: int, seed: int) -> list[Candidate]:
    """As many legal networks drawn at random: what the search is measured against."""
    random, taken = Random(f"random/{seed}"), set()
    found: list[Candidate] = []
    for _ in range(100 * candidates):
        genes = judge.space.canonical(judge.space.draw(random))
        cost = judge.cost(genes)
        if genes in taken or not isinstance(cost, NetworkCost):
            continue
        taken.add(genes)
        arch = judge.space.decode(genes)
        found.append(Candidate(len(found), arch, evaluate(arch), cost))
        if len(found) == candidates:
            break
    return found


def check_possible(judge: Judge) -> None:
    """DoesNotFitError at once where a limit is below the smallest figure of the whole space."""
    corners = judge.space.corners()
    if any(judge.legal(genes) for genes in corners):
        return
    limits = {
        "ram": judge.planner.ram,
        "flash": judge.planner.flash,
        "instructions": judge.planner.limits.max_instructions,
    }
    least = {w: smallest(judge, w, corners) for w, n in limits.items() if n is not None}
    if any(judge.legal(genes) for _, genes in least.values()):
        return
    broken = {w: found for w, found in least.items() if found[0] > (limits[w] or 0)}
    text = "; ".join(
        f"{where}: the smallest network needs {needs:,}, the limit is {limits[where]:,}"
        for where, (needs, _) in (broken or least).items()
    )
    together = "" if broken else " under all limits at once"
    raise DoesNotFitError(
        f"no network of this space is legal{together} ({text})", "raise the limit"
    )


def smallest(judge: Judge, where: str, corners: Sequence[Genes]) -> tuple[int, Genes]:
    """The least figure for one limit over the space, and the network that has it.

    From the best of `corners` one gene at a time through all its choices, until none improves:
    choices rise in weights, but not all of them in SRAM (a rank has a latent to keep).
    """
    space, known = judge.space, dict[Genes, int]()

    def needs(genes: Genes) -> tuple[int, Genes]:
        key = space.canonical(genes)
        if key not in known:
            known[key] = judge.planner.least(space.decode(key))[where]
        return known[key], key

    best = min(map(needs, corners))
    while True:
        around = [
            (*best[1][:i], g, *best[1][i + 1 :])
            for i, n in enumerate(space.sizes)
            for g in range(n)
        ]
        found = min(map(needs, around))
        if found[0] >= best[0]:
            return best
        best = found


def legal_share(judge: Judge, draws: int, seed: int) -> float:
    """Share of random draws that are legal."""
    random = Random(f"share/{seed}")
    return sum(judge.legal(judge.space.draw(random)) for _ in range(draws)) / draws
