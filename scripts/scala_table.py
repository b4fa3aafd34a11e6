"""Widths of one slimmable network beside the same networks trained alone, over seeds: the table of
docs/one-model-many-places.md. Resumable: run the same command again after a stop.

    python scripts/scala_table.py --data cifar10:PATH -o build/scala --epochs 15 --seeds 2

Every training is one of `mcuformer train`: DIR/SEED/scala (isolated activation), DIR/SEED/nested, and DIR/SEED/alone-R
for each width. It goes on from its last whole epoch; what is finished is not trained again. Test images are read
once a training is over. Several processes may share DIR, each with --methods of its own. DIR/table.json has all
figures, or the file of --rows: what is listed there, on whatever machine it was trained, is not trained here. The
table so far is printed after each training and on --show, which trains nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rows_file import NUMBER, RowsFile

from mcuformer.cli.continued import SAME_COMMAND
from mcuformer.cli.failure import ended
from mcuformer.search import data as sources
from mcuformer.search.arch import Arch
from mcuformer.search.slimmable import Widths, arch_at, at_width, parse_ratios
from mcuformer.search.teacher import trained_network
from mcuformer.search.train import Recipe, accuracy, device_of
from mcuformer.search.train_one import train_one

METHODS = ("scala", "alone", "nested")  # in the order of training
COLUMNS = ("alone", "scala", "nested")
KEY = ("seed", "method", "training", "width")
FIELDS = {
    "seed": (int,), "method": (str,), "training": (*NUMBER, type(None)), "width": NUMBER, "test": NUMBER,
}  # fmt: skip


def main() -> None:
    args = _arguments()
    args.output.mkdir(parents=True, exist_ok=True)
    kept = RowsFile(args.rows or args.output / "table.json", FIELDS, KEY)
    if not args.show:
        kept.check()
    ratios = parse_ratios(args.ratios)
    for seed, method, ratio in () if args.show else _trainings(args, ratios):
        training = {"seed": seed, "method": method, "training": ratio}
        widths = ratios if ratio is None else (ratio,)
        if all(_has(kept.read(), {**training, "width": r}) for r in widths):
            continue
        found = _trained(args, ratios, seed, method, ratio)
        print(table(kept.add([training | row for row in found]), ratios), flush=True)
    print(table(kept.read(), ratios))


def _has(rows: Iterable[dict[str, Any]], part: dict[str, Any]) -> bool:
    return any(part.items() <= row.items() for row in rows)


def _trainings(
    args: argparse.Namespace, ratios: Iterable[float]
) -> Iterable[tuple[int, str, float | None]]:
    """(seed, method, width): the first seed whole before the next one."""
    for seed in range(args.seeds):
        for method in args.methods:
            widths = ratios if method == "alone" else [None]
            yield from ((seed, method, ratio) for ratio in widths)


def _trained(
    args: argparse.Namespace, ratios: tuple[float, ...], seed: int, method: str, ratio: float | None
) -> list[dict[str, Any]]:
    """Width, percent of the test images and their number, for each width that the training brings."""
    folder = args.output / str(seed) / (method if ratio is None else f"{method}-{ratio:g}")
    folder.mkdir(parents=True, exist_ok=True)
    full = Arch(
        image=(args.side, args.side, args.channels), classes=args.classes, stem="patch", patch=args.patch,
        pool="mean", relative=False, dim=args.dim, heads=args.heads, head_dim=args.dim // args.heads,
        hidden=(args.mlp * args.dim,) * args.depth,
    )  # fmt: skip
    arch = full if ratio is None else arch_at(full, ratio)
    (folder / "arch.json").write_text(json.dumps(arch.as_dict()))
    recipe = Recipe(
        epochs=args.epochs,
        batch=args.batch,
        lr=args.lr,
        optimizer="muon",
        protocol=args.protocol,
        amp=args.amp,
        seed=seed,
    )
    widths = None if ratio is not None else Widths(ratios, method == "nested")

    told = 0

    def say(what: str, done: int = 0, total: int = 0) -> None:
        nonlocal told
        if total and done * 20 // total != told:
            told = done * 20 // total
            print(f"seed {seed}, {folder.name}: {what}, {done} of {total} steps", flush=True)

    train_one(
        folder / "arch.json", args.data, folder, recipe, args.threads, None, say, widths=widths
    )
    network, _ = trained_network(folder)
    data, device = sources.load(args.data, seed), device_of()
    test = sources.load_test(args.data)
    found = []
    for r in (ratio,) if ratio is not None else ratios:
        one = network if widths is None else at_width(network, widths, r)
        percent = accuracy(one.to(device).eval(), data, test, device)
        found.append({"width": r, "test": percent, "images": len(test)})
    return found


def table(rows: list[dict[str, Any]], ratios: Sequence[float]) -> str:
    """Means over the seeds that are there, with the least and the most; differences to the networks
    trained alone are of the same seeds."""
    lines = ["| width | alone % | Scala % | nested % |", "|---|---|---|---|"]
    for r in ratios:
        cells = [_spread([x["test"] for x in rows if (x["method"], x["width"]) == (m, r)])
                 for m in COLUMNS]  # fmt: skip
        lines.append(f"| {r:g} | {' | '.join(cells)} |")
    means = {m: _means(rows, m, ratios) for m in METHODS}
    cells = [_spread([*means[m].values()]) for m in COLUMNS]
    lines.append(f"| mean of all | {' | '.join(cells)} |")
    gaps = [
        _spread([v - means["alone"][s] for s, v in means[m].items() if s in means["alone"]])
        for m in ("scala", "nested")
    ]
    lines.append(f"| less alone | | {' | '.join(gaps)} |")
    return "\n".join(lines)


def _means(rows: list[dict[str, Any]], method: str, ratios: Sequence[float]) -> dict[int, float]:
    """By seed, where all widths are there."""
    by_seed: dict[int, list[float]] = {}
    for row in rows:
        if row["method"] == method and row["width"] in ratios:
            by_seed.setdefault(row["seed"], []).append(row["test"])
    return {s: statistics.mean(v) for s, v in by_seed.items() if len(v) == len(ratios)}


def _spread(values: list[float]) -> str:
    if not values:
        return "not yet"
    return f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--rows", type=Path, help="figures of finished trainings, read and written")
    parser.add_argument("--ratios", default="0.25:1:0.25")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--protocol", default="baseline")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--amp", action="store_true", help="bfloat16 where the processor has it")
    for name, value in {
        "side": 32, "channels": 3, "classes": 10, "patch": 4, "dim": 96, "heads": 3, "depth": 8, "mlp": 4,
    }.items():  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--show", action="store_true", help="print the table so far")
    args = parser.parse_args()
    if low := [n for n, v in vars(args).items() if type(v) is int and v < 1]:
        parser.error(f"--{low[0].replace('_', '-')} {getattr(args, low[0])} is too small")
    return args


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:], SAME_COMMAND))
