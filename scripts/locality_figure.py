"""What near heads save in a network trained with CutMix: the figure of docs/locality.md. Resumable.

    python scripts/locality_figure.py -o DIR [--picture FILE.png]

A plain ViT of 14 x 14 patches is trained on Fashion-MNIST with CutMix, exported, and compiled: as it is, with
--localize-attention auto as far as --max-loss allows on validation images, and with more heads near (--wider),
before and after one more epoch of training with that mask; beside it the network as it is after as much training
(points are those to the whole network of as many epochs). Each program is then asked the first 2,000 test images on
the host, and one in Unicorn, which counts executed instructions. The curve is the loss of all choices, measured on
the validation images.

Trainings go on after their last epoch, and what is in DIR/rows.json is not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mcuformer.cli.console import count
from mcuformer.cli.console import table as text_table
from mcuformer.cli.continued import SAME_COMMAND
from mcuformer.cli.failure import ended
from mcuformer.compile.localised import Localisation
from mcuformer.compile.options import CompileOptions
from mcuformer.compile.stages import compile_model
from mcuformer.files.atomic import atomic_file
from mcuformer.inputs.codec import device_bytes
from mcuformer.locality.localise import localise
from mcuformer.package.compiled import open_package
from mcuformer.package.execution import Executor, codec_of
from mcuformer.search import data as sources
from mcuformer.search.finish import save_arrays
from mcuformer.search.train import Recipe
from mcuformer.search.train_one import export_one, train_one
from mcuformer.validate.run import validate

NETWORK = {
    "image": [28, 28, 1],
    "classes": 10,
    "stem": "patch",
    "patch": 2,
    "pool": "mean",
    "relative": False,
    "dim": 32,
    "heads": 2,
    "head_dim": 16,
    "hidden": [64] * 4,
}
CHOSEN_ON, TESTED, EVERYTHING = 512, 2000, 100.0


def main() -> None:
    args = _arguments()
    args.output.mkdir(parents=True, exist_ok=True)
    kept = args.output / "rows.json"
    rows: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}

    def once(name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if name not in rows:
            rows[name] = make()
            with atomic_file(kept) as part:
                part.write_text(json.dumps(rows, indent=1))
        found: dict[str, Any] = rows[name]
        return found

    model = args.output / "model.onnx"
    once("training", lambda: trained(args, args.output / "trained", model))
    once("whole", lambda: measured(options(args, model), args.output / "whole"))
    once("curve", lambda: asdict(chosen(args, model, EVERYTHING)))
    once("near", lambda: near(args, model, args.max_loss, args.output / "near"))
    if args.epochs:
        once("wider", lambda: near(args, model, args.wider, args.output / "wider"))
        mask = args.output / "wider/report.json"
        for name, given in (("wider, trained", mask), ("whole, trained", None)):
            folder = args.output / name.replace(", ", "-")
            again = folder / "model.onnx"
            once(f"training of {name}", partial(trained, args, folder, again, given, more=True))
            once(name, partial(measured, options(args, again), folder / "package"))
    print(table(rows))
    print(f"\nloss by heads that are near: {curve(rows)}")
    if args.picture:
        draw(rows, args.picture)


def trained(
    args: argparse.Namespace,
    folder: Path,
    model: Path,
    mask: Path | None = None,
    more: bool = False,
) -> dict[str, Any]:
    """Train and export; `more`: on from the first training, with the `mask` of a report or none. The first
    also writes the samples."""
    file = args.output / "network.json"
    file.write_text(json.dumps(NETWORK))
    recipe = Recipe(
        epochs=args.epochs if more else 3,
        batch=64,
        lr=1e-3 if more else 4e-3,
        warmup_epochs=0.1 if more else 0.5,
        optimizer="muon",
        protocol="cutmix",
        smoothing=0.1,
        seed=args.seed,
    )
    start = args.output / "trained" if more else None
    document = train_one(
        file, args.data, folder, recipe, args.threads, None, _say, start=start, localize=mask
    )
    export_one(folder, model, None, False)
    if not more:
        held = sources.load(args.data, args.seed).validation
        spread = np.linspace(0, len(held) - 1, CHOSEN_ON).round().astype(np.int64)
        save_arrays(args.output / "chosen-on.npz", x=held.x[spread], y=held.y[spread])
        test = sources.load_test(args.data)
        save_arrays(args.output / "test.npz", x=test.x[:TESTED], y=test.y[:TESTED])
    return {"validation": document["validation"], "recipe": asdict(recipe)}


def options(args: argparse.Namespace, model: Path) -> CompileOptions:
    samples = args.output / "chosen-on.npz"
    return CompileOptions(model=model, board=args.board, calibration=samples)


def chosen(args: argparse.Namespace, model: Path, max_loss: float) -> Localisation:
    return localise(options(args, model), None, max_loss, _say)


def near(args: argparse.Namespace, model: Path, max_loss: float, output: Path) -> dict[str, Any]:
    found = chosen(args, model, max_loss)
    return measured(replace(options(args, model), localisation=found), output)


def measured(how: CompileOptions, output: Path) -> dict[str, Any]:
    """Compile, ask the test images on the host, and run one in Unicorn."""
    report = compile_model(how, output, _say).report
    package = open_package(output)
    assert how.calibration is not None
    test = how.calibration.with_name("test.npz")
    with Executor(package, "host") as executor:
        document = validate(
            package, test, None, None, "host",
            lambda images: [i.output for i in executor.run(images).inferences], _say,
        )  # fmt: skip
    with Executor(package, "unicorn") as executor:
        first = codec_of(package).to_int([np.load(test)["x"][:1]])
        result = executor.run(device_bytes(first))
    attentions = [n for n in report["layers"] if n["op"] == "q_attention"]
    return {
        "samples": document["samples"],
        "accuracy": document["accuracy"],
        "bit_exact": document["bit_exact"]["equal"],
        "instructions": result.inferences[0].instructions,
        "attention": sum(result.inferences[0].layers[n["id"]] for n in attentions),
        "schedules": [n["schedule"] for n in attentions],
        "high_water": result.sram_high_water_bytes,
        "memory": report["memory"],
        "localisation": report["localisation"],
    }


def table(rows: dict[str, Any]) -> str:
    whole, lines = rows["whole"], []
    for name in ("whole", "near", "wider", "whole, trained", "wider, trained"):
        if name not in rows:
            continue
        row = rows[name]
        of = rows["wider"] if name == "wider, trained" else row
        base = rows.get("whole, trained", whole) if "trained" in name else whole
        lines.append(
            [
                name,
                _heads(of),
                f"{row['accuracy']['percent']:.2f} %",
                f"{row['accuracy']['percent'] - base['accuracy']['percent']:+.2f}",
                count(row["instructions"]),
                f"{row['instructions'] / whole['instructions']:.2f}",
                f"{row['attention'] / whole['attention']:.2f}",
                str(sum("ring" in s for s in row["schedules"])),
                count(row["memory"]["sram_total_bytes"]),
                count(row["high_water"]),
            ]
        )
    header = ["network", "radii by layer", "int8 top-1", "points", "instructions", "of whole"]
    header += ["attention", "rings", "SRAM B", "written B"]
    return text_table(header, lines)


def _heads(row: dict[str, Any]) -> str:
    layers = [n for found in row["localisation"] for n in found["layers"]]
    return ", ".join(" ".join(str(r or "-") for r in n["radii"]) for n in layers) or "all see all"


def curve(rows: dict[str, Any]) -> str:
    heads = sum(len(n["radii"]) for n in rows["curve"]["layers"])
    return ", ".join(f"{loss:+.2f} at {n} of {heads}" for n, loss in rows["curve"]["curve"])


def draw(rows: dict[str, Any], path: Path) -> None:
    """Points of top-1 lost against the share of heads that are near."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    heads = sum(len(n["radii"]) for n in rows["curve"]["layers"])
    share = [100 * n / heads for n, _ in rows["curve"]["curve"]]
    figure, axes = pyplot.subplots(figsize=(6, 3.5))
    axes.plot(share, [loss for _, loss in rows["curve"]["curve"]], marker="o")
    axes.axhline(rows["near"]["localisation"][0]["max_loss"], color="grey", linewidth=0.8)
    axes.set_xlabel("share of heads that see near patches alone, %")
    axes.set_ylabel("points of top-1 lost")
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def _say(what: str, done: int = 0, total: int = 0) -> None:
    if total and done * 50 // total == (done - 1) * 50 // total:
        return
    print(f"{what} {done} of {total}" if total else what, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument(
        "--data", default="fashion-mnist", metavar="D", help="as of mcuformer train"
    )
    parser.add_argument("--board", default="stm32f746")
    parser.add_argument("--max-loss", type=float, default=0.5, help="points, on validation images")
    parser.add_argument(
        "--wider", type=float, default=6.0, help="points, before the mask is trained"
    )
    parser.add_argument("--epochs", type=int, default=1, help="with the mask; 0: leave it away")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--picture", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:], SAME_COMMAND))
