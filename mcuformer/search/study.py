"""How far a search can be trusted: Kendall's tau of the supernet, and the search against chance.

Every network that is trained for it has a checkpoint of its own and every finished row is written
down at once, so a study that was killed goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import torch

from mcuformer.files.atomic import atomic_file
from mcuformer.files.kept import read_json
from mcuformer.search.architecture import Architecture
from mcuformer.search.evaluate import Evaluator
from mcuformer.search.explore import Judge, explore, random_search, winner
from mcuformer.search.figures import NetworkCost
from mcuformer.search.net import initialise
from mcuformer.search.networks import network_of
from mcuformer.search.settings import REMOVE
from mcuformer.search.task import SearchTask
from mcuformer.search.train import Trainer, accuracy

STUDY = "study.json"


def study(search: SearchTask) -> dict[str, Any]:
    """`tau` over `subnets`, and `chance`: search and random draws of as many candidates, per seed.

    `alone` is the validation accuracy of a network trained by itself from random weights.
    """
    evaluate = search.evaluator(search.supernet())
    log = _Log(search.directory / STUDY)
    _rank(search, evaluate, log)
    _chance(search, evaluate, log)
    rows = log.rows["subnets"]
    return {
        "tau": kendall([r["supernet"] for r in rows], [r["alone"] for r in rows]),
        "epochs": search.budget.study.epochs,
        "candidates": search.budget.candidates,
        **log.rows,
    }


def kendall(a: Sequence[float], b: Sequence[float]) -> float:
    """Tau-b: ties in either count for neither side."""
    pairs = [(i, j) for i in range(len(a)) for j in range(i)]
    signs = [(_sign(a[i] - a[j]), _sign(b[i] - b[j])) for i, j in pairs]
    agreed = sum(x * y for x, y in signs)
    scale = sum(x != 0 for x, _ in signs) * sum(y != 0 for _, y in signs)
    return agreed / scale**0.5 if scale else 0.0


def _sign(x: float) -> int:
    return (x > 0) - (x < 0)


class _Log:
    """Rows on disk, in the order in which they were finished."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, list[dict[str, Any]]] = {"subnets": [], "chance": []}
        if path.exists():
            self.rows = read_json(path, _rows, REMOVE)

    def add(self, table: str, row: dict[str, Any]) -> None:
        self.rows[table].append(row)
        with atomic_file(self.path) as part:
            part.write_text(json.dumps(self.rows, indent=1))


def _rows(table: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    kendall([r["supernet"] for r in table["subnets"]], [r["alone"] for r in table["subnets"]])
    return {name: list(table[name]) for name in ("subnets", "chance")}


def _rank(search: SearchTask, evaluate: Evaluator, log: _Log) -> None:
    wanted = search.budget.study.subnets
    drawn = _draws(search, wanted)
    for arch, cost in drawn[len(log.rows["subnets"]) :]:
        done = len(log.rows["subnets"])
        search.say("study: training subnets alone", done, len(drawn))
        log.add(
            "subnets",
            {
                "brief": arch.brief,
                "arch": arch.as_dict(),
                "supernet": evaluate(arch),
                "alone": _alone(search, arch),
                "sram_total_bytes": cost.sram_total_bytes,
            },
        )


def _draws(search: SearchTask, count: int) -> list[tuple[Architecture, NetworkCost]]:
    """The first different legal networks of one series of draws."""
    judge, random = Judge(search.space, search.planner), Random(f"tau/{search.settings.seed}")
    found: dict[Architecture, NetworkCost] = {}
    for _ in range(1000 * count):
        genes = judge.space.draw(random)
        cost = judge.cost(genes)
        if isinstance(cost, NetworkCost):
            found.setdefault(judge.space.decode(genes), cost)
        if len(found) == count:
            break
    return list(found.items())


def _alone(search: SearchTask, arch: Architecture) -> float:
    """Trained from random weights; the checkpoint of every epoch is kept."""
    network = network_of(arch)
    initialise(network, torch.Generator().manual_seed(search.settings.seed))
    recipe = replace(search.budget.finetune, epochs=search.budget.study.epochs)
    at = search.directory / "study" / arch.key()
    threads = search.settings.threads
    Trainer(network, search.data, recipe, at, device=search.device, threads=threads).run()
    return accuracy(network.eval(), search.data, search.data.validation, search.device)


def _chance(search: SearchTask, evaluate: Callable[[Architecture], float], log: _Log) -> None:
    """Of each the best by the supernet, and what that one reaches by itself."""
    judge, count = Judge(search.space, search.planner), search.budget.candidates
    seeds = search.budget.study.seeds
    for seed in range(len(log.rows["chance"]), seeds):
        search.say("study: search against chance", seed, seeds)
        storage = f"sqlite:///{(search.directory / f'study-{seed}.db').absolute()}"
        bred = winner(
            explore(judge, evaluate, storage, count, seed=seed, population=search.budget.population)
        )
        drawn = winner(random_search(judge, evaluate, count, seed))
        log.add(
            "chance",
            {
                "seed": seed,
                "search": bred.accuracy,
                "random": drawn.accuracy,
                "search_alone": _alone(search, bred.arch),
                "random_alone": _alone(search, drawn.arch),
            },
        )
