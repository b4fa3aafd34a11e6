"""What the evolution of a space buys: the best network of the evolved space against that of the space it began
with and of random spaces of the same size, at equal budgets, over seeds.

Every seed has one supernet of all lists; every space gets as many candidates, and the best of each, by shared
weights, is fine-tuned alike. tau is the supernet's, over random legal networks trained alone.

Run: python scripts/space_study.py -o DIR [--space s3] [--data fashion-mnist] [--ram 24k] [--flash 512k]
Every stage stays in DIR, so the same command goes on after a break; with --seed it runs one seed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from mcuformer.cli.continued import SAME_COMMAND
from mcuformer.cli.failure import ended
from mcuformer.files.atomic import atomic_file
from mcuformer.search.budget import Study
from mcuformer.search.evolve import evolve, middle, scattered, stretched
from mcuformer.search.explore import Judge, explore, winner
from mcuformer.search.run import Search
from mcuformer.search.settings import Settings, save_settings
from mcuformer.search.space import Space
from mcuformer.search.study import study
from mcuformer.util.sizes import parse_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--space", default="s3")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ram", type=parse_size, default=parse_size("24k"))
    parser.add_argument("--flash", type=parse_size, default=parse_size("512k"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--randoms", type=int, default=2, help="random spaces of a seed")
    parser.add_argument("--supernet-epochs", type=int, default=6)
    parser.add_argument("--finetune-epochs", type=int, default=6)
    parser.add_argument("--candidates", type=int, default=32)
    parser.add_argument("--tau-networks", type=int, default=8)
    args = parser.parse_args()
    seeds = range(args.seeds) if args.seed is None else [args.seed]
    rows = [row for seed in seeds for row in one(args, seed)]
    for kind in dict.fromkeys(str(row["kind"]) for row in rows):
        found = [row for row in rows if row["kind"] == kind]
        alone, shared = ([row[n] for row in found] for n in ("alone", "shared"))
        spread = statistics.stdev(alone) if len(alone) > 1 else 0.0
        print(
            f"{kind:10} best {statistics.mean(alone):6.2f} +- {spread:4.2f} % validation, by shared weights "
            f"{statistics.mean(shared):6.2f} %, {len(found)} spaces"
        )


def one(args: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    """A row for each space of a seed."""
    directory = args.output / f"seed-{seed}"
    settings = Settings(
        ram=args.ram,
        flash=args.flash,
        data=args.data,
        space=args.space,
        budget="small",
        seed=seed,
        threads=1,
        supernet_epochs=args.supernet_epochs,
        finetune_epochs=args.finetune_epochs,
        candidates=args.candidates,
    )
    save_settings(settings, directory)
    search = Search(settings, directory, lambda *_: None)
    networks = Study(args.tau_networks, args.finetune_epochs, seeds=0)
    search.budget = replace(search.budget, rounds=args.rounds, study=networks)
    supernet = search.supernet()
    survey = search.evaluator(supernet, search.budget.surveyed)
    judge = Judge(search.space, search.planner)
    log = directory / "evolution.json"
    evolved, _ = evolve(judge, survey, args.rounds, seed, log)
    spaces = [("evolved", evolved), ("first", stretched(search.space, middle(search.space)))]
    spaces += [
        ("random", stretched(search.space, scattered(search.space, Random(f"space/{seed}/{i}"))))
        for i in range(args.randoms)
    ]
    rows = [row(search, i, kind, space) for i, (kind, space) in enumerate(spaces)]
    tau = study(search)["tau"]
    print(f"seed {seed}: tau {tau:.2f} over {args.tau_networks} networks", flush=True)
    return rows


def row(search: Search, number: int, kind: str, space: Space) -> dict[str, Any]:
    """Accuracies in percent of the best network of a space; from its file where there is one."""
    path = search.directory / f"space-{number}.json"
    if not path.exists():
        supernet = search.supernet()
        found = winner(
            explore(
                Judge(space, search.planner),
                search.evaluator(supernet),
                f"sqlite:///{(search.directory / f'space-{number}.db').absolute()}",
                search.budget.candidates,
                seed=search.settings.seed,
                population=8,
            )
        )
        _, alone = search.finetuned(supernet, found.arch)
        document = {
            "kind": kind,
            "seed": search.settings.seed,
            "shared": found.accuracy,
            "alone": alone,
            "sram_total_bytes": found.cost.sram_total_bytes,
            "flash_total_bytes": found.cost.flash_total_bytes,
            "arch": found.arch.as_dict(),
            "choices": space.as_dict()["choices"],
        }
        with atomic_file(path) as part:
            part.write_text(json.dumps(document, indent=1))
    made: dict[str, Any] = json.loads(path.read_text())
    short = {n: made[n] for n in ("kind", "seed", "shared", "alone", "sram_total_bytes")}
    print(json.dumps(short), flush=True)
    return made


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:], SAME_COMMAND))
