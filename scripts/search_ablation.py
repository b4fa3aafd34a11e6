"""What parts of the search buy: whole searches at equal budgets, without one part each, over seeds.

"formula" takes MCUFormer's memory formula for the limit (search/formula.py), with the supernet of the
whole space: what it finds may not fit, and then has no int8 accuracy on the chip.

Run: python scripts/search_ablation.py -o DIR [--data fashion-mnist] [--ram 4k] [--seeds 3]
Every search keeps its stages in DIR, so the same command goes on after a break; with --variant and
--seed it runs one of them, for a process per core.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from mcuformer.cli.continued import SAME_COMMAND
from mcuformer.cli.failure import ended
from mcuformer.errors import DoesNotFitError
from mcuformer.search.run import Search
from mcuformer.search.settings import Settings, save_settings
from mcuformer.search.space import Space, load_space
from mcuformer.util.sizes import parse_size

Found = dict[str, Any] | None
DENSE = {name: [1.0] for name in ("rank_qkv", "rank_proj", "rank_fc1", "rank_fc2")}
VARIANTS: dict[str, dict[str, list[Any]]] = {
    "whole space": {},
    "no low rank": DENSE,
    "one patch size": {"patch": [4]},
    "neither": {**DENSE, "patch": [4]},
    "formula": {},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--space", default="tiny")
    parser.add_argument("--variant", choices=list(VARIANTS))
    parser.add_argument("--seed", type=int)
    parser.add_argument("--ram", type=parse_size, default=parse_size("4k"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--supernet-epochs", type=int, default=20)
    parser.add_argument("--finetune-epochs", type=int, default=20)
    parser.add_argument("--candidates", type=int, default=32)
    args = parser.parse_args()
    seeds = range(args.seeds) if args.seed is None else [args.seed]
    rows = {
        name: [one(args, name, changes, seed) for seed in seeds]
        for name, changes in VARIANTS.items()
        if args.variant in (None, name)
    }
    print(f"\n{args.data}, {args.ram:,} B of SRAM, {len(seeds)} seeds: int8 % on test images")
    for name, found in rows.items():
        print(row(name, found))


def one(args: argparse.Namespace, name: str, changes: dict[str, Any], seed: int) -> Found:
    """search.json of one search; None where what it chose does not fit."""
    directory = args.output / f"{name.replace(' ', '-')}-{seed}"
    directory.mkdir(parents=True, exist_ok=True)
    space = directory / "space.toml"
    space.write_text(as_toml(load_space(args.space).with_choices(**changes)))
    settings = Settings(
        ram=args.ram,
        data=args.data,
        space=str(space),
        budget="small",
        seed=seed,
        threads=1,
        supernet_epochs=args.supernet_epochs,
        finetune_epochs=args.finetune_epochs,
        candidates=args.candidates,
        supernet=str(args.output / f"whole-space-{seed}") if name == "formula" else None,
    )
    save_settings(settings, directory)
    search = Search(settings, directory, lambda *_: None)
    search.planner.memory_model = "formula" if name == "formula" else "plan"
    try:
        found = search.run()
    except DoesNotFitError as error:
        print(f"{name}, seed {seed}: {error.message}", flush=True)
        return None
    short = {"int8": found["accuracy"]["int8"], "sram_total_bytes": found["sram_total_bytes"]}
    print(f"{name}, seed {seed}: {json.dumps(short)}", flush=True)
    return found


def as_toml(space: Space) -> str:
    """JSON's lists of numbers, texts and truth values are TOML's too."""
    lists = {**space.as_dict()["choices"], "ratio": list(space.ratio), "image": list(space.image)}
    return "".join(f"{name} = {json.dumps(values)}\n" for name, values in lists.items())


def row(name: str, rows: list[Found]) -> str:
    """Mean and spread over the seeds whose network fits."""
    found = [f for f in rows if f is not None]
    if not found:
        return f"{name:16} none of {len(rows)} fits"
    percents = [f["accuracy"]["int8"] for f in found]
    spread = statistics.stdev(percents) if len(percents) > 1 else 0.0
    sram = statistics.mean(f["sram_total_bytes"] for f in found)
    legal = 100 * statistics.mean(f["legal_share"] for f in found)
    misfits = f", {len(rows) - len(found)} of {len(rows)} do not fit" if None in rows else ""
    return (
        f"{name:16} {statistics.mean(percents):6.2f} +- {spread:4.2f}   {sram:7,.0f} B   "
        f"{legal:3.0f} % of random networks legal{misfits}"
    )


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:], SAME_COMMAND))
