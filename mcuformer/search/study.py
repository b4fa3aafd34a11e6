"""How far a search can be trusted: Kendall's tau of the supernet, and the search against chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import torch

from mcuformer.search.explore import Judge, explore, random_search, winner
from mcuformer.search.figures import Cost
from mcuformer.search.net import Network, initialise
from mcuformer.search.run import Search
from mcuformer.search.train import Trainer, accuracy

Say = Callable[..., None]


def kendall(a: Sequence[float], b: Sequence[float]) -> float:
    """Tau-b: ties in either count for neither side."""
    pairs = [(i, j) for i in range(len(a)) for j in range(i)]
    signs = [(_sign(a[i] - a[j]), _sign(b[i] - b[j])) for i, j in pairs]
    agreed = sum(x * y for x, y in signs)
    scale = sum(x != 0 for x, _ in signs) * sum(y != 0 for _, y in signs)
    return agreed / scale**0.5 if scale else 0.0


def _sign(x: float) -> int:
    return (x > 0) - (x < 0)


def rank_study(search: Search, subnets: int, epochs: int, say: Say) -> dict[str, Any]:
    """Validation accuracy of random legal subnets in the supernet and trained from scratch."""
    judge = Judge(search.space, search.planner)
    evaluate = search.evaluator(search.supernet())
    random = Random(f"tau/{search.settings.seed}")
    rows: list[dict[str, Any]] = []
    recipe = replace(search.budget.finetune, epochs=epochs)
    while len(rows) < subnets:
        genes = judge.space.draw(random)
        cost = judge.cost(genes)
        if not isinstance(cost, Cost):
            continue
        arch = judge.space.decode(genes)
        network = Network(arch)
        initialise(network, torch.Generator().manual_seed(search.settings.seed))
        at: Path = search.directory / "study" / arch.key()
        Trainer(network, search.data, recipe, at, device=search.device).run()
        alone = accuracy(network.eval(), search.data, search.data.validation, search.device)
        rows.append(
            {"arch": arch.as_dict(), "supernet": evaluate(arch), "alone": alone,
             "sram_total_bytes": cost.sram_total_bytes}
        )
        say("training subnets alone", len(rows), subnets)
    tau = kendall([r["supernet"] for r in rows], [r["alone"] for r in rows])
    return {"tau": tau, "epochs": epochs, "subnets": rows}


def chance_study(search: Search, candidates: int, seeds: int, say: Say) -> list[dict[str, float]]:
    """Best validation accuracy in the supernet by search and by random draws, per seed."""
    judge = Judge(search.space, search.planner)
    judged = search.evaluator(search.supernet())
    known: dict[Any, float] = {}

    def evaluate(arch: Any) -> float:
        if arch not in known:
            known[arch] = judged(arch)
        return known[arch]

    rows = []
    for seed in range(seeds):
        storage = f"sqlite:///{(search.directory / f'study-{seed}.db').absolute()}"
        found = explore(
            judge, evaluate, storage, candidates, seed=seed, population=search.budget.population
        )
        chance = random_search(judge, evaluate, candidates, seed)
        rows.append({"seed": seed, "search": winner(found).accuracy,
                     "random": winner(chance).accuracy})
        say("search against chance", seed + 1, seeds)
    return rows
