"""What the training protocol does to where heads look: the table and picture of docs/locality.md. Resumable.

    python scripts/locality_experiment.py -o DIR --data cifar10:PATH [--seeds 3] [--epochs 12] [--table]

After Toledo and Martinez (arXiv 2605.16390): a baseline and a modern protocol (AutoAugment with colour jitter, CutMix,
label smoothing), each of the three added to the one and taken from the other, everything else alike. The
paper's architecture and hyperparameters were not obtained: this is a reconstruction at the size of two cores.

Each run is a training in DIR/CONDITION-SEED that goes on after its last epoch; beside it are the exported
network and row.json. The same command does what is missing; --only and --seed pick one run, and
--table prints what is there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mcuformer.cli.continued import SAME_COMMAND
from mcuformer.cli.failure import ended
from mcuformer.compile.options import CompileOptions
from mcuformer.files.atomic import atomic_file
from mcuformer.locality.study import study
from mcuformer.search import data as sources
from mcuformer.search.teacher import trained_network
from mcuformer.search.train import Recipe, accuracy, device_of
from mcuformer.search.train_one import export_one, train_one

PARTS = ("cutmix", "autoaugment", "smoothing")
MODERN = frozenset(PARTS)
_OF_PART = ((part, frozenset({part})) for part in PARTS)  # what the paper says most of comes first
CONDITIONS: dict[str, frozenset[str]] = {
    "baseline": frozenset(),
    "modern": MODERN,
    **{
        k: v for p, of in _OF_PART for k, v in ((f"baseline+{p}", of), (f"modern-{p}", MODERN - of))
    },
}
SMOOTHING = 0.1


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    if not args.table:
        for seed in range(args.seeds) if args.seed is None else [args.seed]:
            for condition in args.only or CONDITIONS:
                print(json.dumps(run(args, condition, seed) | {"layers": "..."}), flush=True)
    rows = list(finished(args.output))
    print(table(rows))
    if args.picture:
        draw(rows, args.picture)


def run(args: argparse.Namespace, condition: str, seed: int) -> dict[str, Any]:
    """The row of one training: test accuracy in percent, distance and entropy of each head by layer."""
    folder = args.output / f"{condition}-{seed}"
    kept = folder / "row.json"
    if kept.exists():
        row: dict[str, Any] = json.loads(kept.read_text())
        return row
    parts = CONDITIONS[condition]
    recipe = Recipe(
        epochs=args.epochs,
        batch=args.batch,
        lr=args.lr,
        warmup_epochs=args.warmup,
        optimizer="muon",
        protocol="+".join(["baseline", *sorted(parts - {"smoothing"})]),
        smoothing=SMOOTHING if "smoothing" in parts else 0.0,
        seed=seed,
    )
    args.output.mkdir(parents=True, exist_ok=True)
    network_file = args.output / "network.json"
    network_file.write_text(json.dumps(network(args)))
    train_one(network_file, args.data, folder, recipe, args.threads, None, lambda *_: None)
    model, looked_at = folder / "model.onnx", args.output / "looked-at.npz"
    export_one(folder, model, None, False)
    test = sources.load_test(args.data)
    if not looked_at.exists():
        spread = np.linspace(0, len(test) - 1, args.images).round().astype(np.int64)
        np.savez_compressed(looked_at, x=test.x[spread])
    trained, _ = trained_network(folder)
    data = sources.load(args.data, seed)
    percent = accuracy(trained.to(device_of()).eval(), data, test, device_of())
    options = CompileOptions(model=model, board="host", calibration=looked_at)
    seen = study(options, None, 0, lambda *_: None)
    layers = [
        {key: [head[key] for head in layer["heads"]] for key in ("distance", "entropy")}
        for layer in seen["layers"]
    ]
    row = {"condition": condition, "seed": seed, "epochs": args.epochs, "test": percent}
    row |= {"images": args.images, "layers": layers}
    with atomic_file(kept) as part:
        part.write_text(json.dumps(row))
    return row


def network(args: argparse.Namespace) -> dict[str, Any]:
    """A plain ViT of one width, mean pool; the image is that of the data."""
    return {
        "image": [32, 32, 3],
        "classes": 10,
        "stem": "patch",
        "patch": args.patch,
        "pool": "mean",
        "relative": False,
        "dim": args.dim,
        "heads": args.heads,
        "head_dim": args.dim // args.heads,
        "hidden": [2 * args.dim] * args.depth,
    }


def finished(folder: Path) -> Iterable[dict[str, Any]]:
    for condition in CONDITIONS:
        for path in sorted(folder.glob(f"{condition}-[0-9]*/row.json")):
            yield json.loads(path.read_text())


def table(rows: list[dict[str, Any]]) -> str:
    """Per condition, means over the seeds with the least and the most where there are several."""
    lines = [
        "| protocol | seeds | test % | distance, least | mean | entropy, least | mean | nearest head by layer |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for condition in CONDITIONS:
        of = [row for row in rows if row["condition"] == condition]
        if not of:
            continue
        cells = [_spread([row["test"] for row in of], 2)]
        for key in ("distance", "entropy"):
            values = [[v for layer in row["layers"] for v in layer[key]] for row in of]
            cells += [_spread([min(v) for v in values], 3)]
            cells += [_spread([statistics.mean(v) for v in values], 3)]
        least = [[min(layer["distance"]) for layer in row["layers"]] for row in of]
        by_layer = " ".join(f"{statistics.mean(v):.2f}" for v in zip(*least, strict=True))
        lines.append(f"| {condition} | {len(of)} | {' | '.join(cells)} | {by_layer} |")
    return "\n".join(lines)


def _spread(values: list[float], digits: int) -> str:
    mean = f"{statistics.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Mean distance of every head by layer, a panel for each condition."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    there = [c for c in CONDITIONS if any(row["condition"] == c for row in rows)]
    figure, panels = pyplot.subplots(
        2, -(-len(there) // 2), figsize=(11, 5), sharex=True, sharey=True, squeeze=False
    )
    for condition, axes in zip(there, panels.flat, strict=False):
        for row in (row for row in rows if row["condition"] == condition):
            for number, layer in enumerate(row["layers"]):
                heads = layer["distance"]
                axes.scatter([number] * len(heads), heads, s=16, alpha=0.6, color="tab:blue")
        axes.set_title(condition, fontsize=10)
        axes.set_ylim(0, 0.6)
        axes.set_xticks(range(max(len(row["layers"]) for row in rows)))
    figure.supxlabel("layer")
    figure.supylabel("mean attention distance, diagonal 1")
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--data", required=True, metavar="D", help="cifar10:PATH")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--only", action="append", choices=list(CONDITIONS))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--warmup", type=float, default=0.5, help="epochs of rising rate")
    parser.add_argument("--patch", type=int, default=4)
    parser.add_argument("--dim", type=int, default=32)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument(
        "--images", type=int, default=500, help="test images whose attention counts"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="train nothing, print what is there")
    parser.add_argument("--picture", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:], SAME_COMMAND))
