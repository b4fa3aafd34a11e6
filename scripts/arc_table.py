"""Adapters beside full fine-tuning, over seeds: the table of docs/one-model-many-places.md. Resumable.

    python scripts/arc_table.py --base DIR|MODEL -o DIR --epochs 20 --rank 8 --seeds 3 \
        --task digits=digits --task grey=grey:cifar10:PATH

Every training is one of `mcuformer adapt`, in DIR/SEED/adapters/TASK and DIR/SEED/full/TASK; what is finished is
not trained again. Test images are read once each training is over. table.json has all figures, or the file of
--rows: what is listed there, on whatever machine it was trained, is not trained here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rows_file import NUMBER, RowsFile

from mcuformer.cli.adapt import parse_tasks
from mcuformer.cli.continued import SAME_COMMAND
from mcuformer.cli.failure import ended
from mcuformer.search import data as sources
from mcuformer.search.adapt import Method, adapt, adapted_network, recipe_of
from mcuformer.search.data import Images
from mcuformer.search.fitted import fitted_images
from mcuformer.search.train import accuracy, device_of

RATES = (
    ("adapters", 1e-2),
    ("full", 1e-3),
)  # of the paper; the best of 3e-4, 1e-3, 3e-3 on one seed may be given

KEY = ("seed", "task", "kind")
FIELDS = {"seed": (int,), "task": (str,), "kind": (str,), "test": NUMBER, "share": NUMBER}


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    args.output.mkdir(parents=True, exist_ok=True)
    kept = RowsFile(args.rows or args.output / "table.json", FIELDS, KEY)
    kept.check()
    tasks = parse_tasks(tuple(args.task))
    for seed, (name, spec), (kind, _) in product(range(args.seeds), tasks.items(), RATES):
        if any((r["seed"], r["task"], r["kind"]) == (seed, name, kind) for r in kept.read()):
            continue
        row = _trained(args, seed, name, spec, kind)
        kept.add([row])
        print(json.dumps(row), flush=True)
    print(_table(kept.read()))


def _trained(
    args: argparse.Namespace, seed: int, name: str, spec: str, kind: str
) -> dict[str, Any]:
    method = Method(args.rank, args.att_only, kind == "full")
    rate = args.full_lr if kind == "full" else args.lr
    recipe = recipe_of(args.epochs, args.batch, rate, args.protocol, seed, args.amp)
    folder = args.output / str(seed) / kind
    (found,) = adapt(args.base, {name: spec}, folder, method, recipe, args.threads, None, _quiet)
    network, data = adapted_network(folder / name)
    device = device_of()
    test = fitted_images(_spread_out(sources.load_test(spec), args.images), network.arch.image)
    percent = accuracy(network.to(device), data, test, device)
    kept = {key: found[key] for key in ("task", "trained", "head", "share", "validation")}
    return {"seed": seed, "kind": kind, **kept, "test": percent, "images": len(test)}


def _spread_out(images: Images, count: int) -> Images:
    """`count` of them, as many of every class as there are in all, always the same ones; 0: all."""
    if not count or count >= len(images):
        return images
    return images.take(np.flatnonzero(sources.stratified(images.y, count / len(images), seed=0)))


def _quiet(*_: object) -> None:
    pass


def _table(rows: list[dict[str, Any]]) -> str:
    """Means over the seeds that are there, with the least and the most; differences are of the same seeds."""
    lines = [
        "| task | full % | adapters % | difference | trained, of the network |",
        "|---|---|---|---|---|",
    ]
    for task in dict.fromkeys(row["task"] for row in rows):
        of = {
            k: {r["seed"]: r for r in rows if (r["task"], r["kind"]) == (task, k)} for k, _ in RATES
        }
        full, few = of["full"], of["adapters"]
        gaps = [few[s]["test"] - full[s]["test"] for s in few if s in full]
        cells = [
            _spread(v) for v in (*([r["test"] for r in x.values()] for x in (full, few)), gaps)
        ]
        share = next((f"{r['share']:.2f} %" for r in few.values()), "not yet")
        lines.append(f"| {task} | {' | '.join(cells)} | {share} |")
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    if not values:
        return "not yet"
    return f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--task", action="append", required=True, metavar="NAME=DATA")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--att-only", action="store_true")
    parser.add_argument("--lr", type=float, default=RATES[0][1])
    parser.add_argument("--full-lr", type=float, default=RATES[1][1])
    parser.add_argument("--protocol", default="baseline")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=0, help="test images of a task, 0 for all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--amp", action="store_true", help="bfloat16 where the processor has it")
    parser.add_argument("--rows", type=Path, help="figures of finished trainings, read and written")
    args = parser.parse_args()
    if low := [
        n for n, v in vars(args).items() if type(v) is int and v < (0 if n == "images" else 1)
    ]:
        parser.error(f"--{low[0].replace('_', '-')} {getattr(args, low[0])} is too small")
    return args


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:], SAME_COMMAND))
