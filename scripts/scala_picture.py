"""Accuracy of widths against their time, trained together and alone: the picture of docs/one-model-many-places.md.

    python scripts/scala_picture.py --rows docs/scala/cifar10.json --report build/eye/report.json -o PICTURE.png

ROWS is what scripts/scala_table.py found; REPORT is of a package of the same widths, and has the seconds of each.
Points are means over the seeds, bars reach from the least to the most.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mcuformer.cli.failure import ended

NAMES: Mapping[str, str] = {
    "scala": "one network, isolated (Scala)",
    "nested": "one network, nested",
    "alone": "a network for each width",
}


def main() -> None:
    args = _arguments()
    rows: Sequence[Mapping[str, Any]] = json.loads(args.rows.read_text())
    report = json.loads(args.report.read_text())
    draw(rows, {float(v["label"]): 1000 * v["seconds"] for v in report["variants"]}, args.output)


def draw(
    rows: Sequence[Mapping[str, Any]], milliseconds: Mapping[float, float], path: Path
) -> None:
    """A line for every method that has all widths of `milliseconds`, which is by width."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams["font.size"] = 8
    figure, axes = pyplot.subplots(figsize=(5, 3), layout="constrained")
    for method, name in NAMES.items():
        found = [
            [r["test"] for r in rows if (r["method"], r["width"]) == (method, width)]
            for width in milliseconds
        ]
        if not all(found):
            continue
        means = [statistics.mean(values) for values in found]
        below = [mean - min(values) for mean, values in zip(means, found, strict=True)]
        above = [max(values) - mean for mean, values in zip(means, found, strict=True)]
        axes.errorbar(
            [*milliseconds.values()], means, (below, above), marker="o", markersize=3,
            linewidth=1, capsize=2, label=name,
        )  # fmt: skip
    axes.set_xlabel("ms of the width in the package (modelled)")
    axes.set_ylabel("% of test images")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=160)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(ended(main, sys.argv[1:]))
