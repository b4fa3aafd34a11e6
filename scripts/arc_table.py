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

from mcuformer.cli.adapt import parse_tasks
from mcuformer.cli.continued import SAME_COMMAND
from mcuformer.cli.failure import ended
from mcuformer.files.atomic import atomic_file
from mcuformer.search import data as sources
from mcuformer.search.adapt import Method, adapt, adapted_network, recipe_of
from mcuformer.search.data import Images
from mcuformer.search.fitted import fitted_images
from mcuformer.search.train import accuracy, device_of

RATES = (
    ("adapters", 1e-2),
    ("full", 1e-3),
)  # of the paper; the best of 3e-4, 1e-3, 3e-3 on one seed may be given


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    kept = args.rows or args.output / "table.json"
    rows: list[dict[str, Any]] = json.loads(kept.read_text()) if kept.is_file() else []
    args.output.mkdir(parents=True, exist_ok=True)
    tasks = parse_tasks(tuple(args.task))
    for seed, (name, spec), (kind, _) in product(range(args.seeds), tasks.items(), RATES):
        if any((r["seed"], r["task"], r["kind"]) == (seed, name, kind) for r in rows):
            continue
        rows.append(_trained(args, seed, name, spec, kind))
        with atomic_file(kept) as part:
            part.write_text(json.dumps(rows, indent=1))
        print(json.dumps(rows[-1]), flush=True)
    print(_table(rows))


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
    """Means over the seeds, with the least and the most."""
    lines = [
        "| task | full % | adapters % | difference | trained, of the network |",
        "|---|---|---|---|---|",
    ]
    for task in dict.fromkeys(row["task"] for row in rows):
        of = {k: [r for r in rows if (r["task"], r["kind"]) == (task, k)] for k, _ in RATES}
        full, few = ([r["test"] for r in of[k]] for k in ("full", "adapters"))
        gaps = [b - a for a, b in zip(full, few, strict=True)]
        share = of["adapters"][0]["share"]
        lines.append(
            f"| {task} | {_spread(full)} | {_spread(few)} | {_spread(gaps)} | {share:.2f} % |"
        )
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
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
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:], SAME_COMMAND))
