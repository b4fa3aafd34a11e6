"""Pictures of a search: accuracy against SRAM with the limit, and the space's evolution."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcuformer.search.explore import Candidate, pareto
from mcuformer.search.space import Space

PICTURES = ("pareto.png", "evolution.png")


def draw(
    found: Sequence[Candidate],
    best: Candidate,
    history: Sequence[dict[str, Any]],
    space: Space,
    limit_bytes: int,
    directory: Path,
) -> None:
    """The files PICTURES; none where matplotlib is not installed. `history` is of evolve.py in `space`."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return
    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    size = [c.cost.sram_total_bytes / 1024 for c in found]
    axes.scatter(size, [c.accuracy for c in found], s=14, color="0.65", label="candidates")
    front = pareto(found)
    axes.step(
        [c.cost.sram_total_bytes / 1024 for c in front],
        [c.accuracy for c in front],
        where="post",
        color="tab:blue",
        label="not beaten",
    )
    axes.scatter(
        [best.cost.sram_total_bytes / 1024],
        [best.accuracy],
        marker="*",
        s=160,
        color="tab:red",
        zorder=3,
        label="chosen",
    )
    axes.axvline(limit_bytes / 1024, color="black", linestyle="--", label="limit")
    axes.set_xlabel("SRAM in all (KiB), planned")
    axes.set_ylabel("validation accuracy in the supernet (%)")
    axes.set_xscale("log")
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(directory / PICTURES[0], dpi=120)
    pyplot.close(figure)
    if history:
        _evolution(pyplot, history, space, directory / PICTURES[1])


def _evolution(pyplot: Any, history: Sequence[dict[str, Any]], space: Space, path: Path) -> None:
    """The space's errors by round, and the stretch of every dimension in every round."""
    names = list(history[0]["stretches"])
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(11, 1.8 + 0.28 * len(names)), width_ratios=(1, 1.6)
    )
    rounds = range(len(history))
    for key, label in (("mean", "all (E)"), ("error", "both (Q)"), ("top", "top tier (T)")):
        left.plot(rounds, [entry[key] for entry in history], marker="o", label=label)
    left.set_xticks(list(rounds))
    left.set_xlabel("round (0: the first space)")
    left.set_ylabel("error of the space's networks by shared weights (%)")
    left.legend(fontsize="small")
    for row, name in enumerate(reversed(names)):
        most = len(space.choices[name]) - 1
        for number, entry in enumerate(history):
            first, behind = entry["stretches"][name]
            y = row + 0.3 - 0.6 * number / max(1, len(history) - 1)
            color = pyplot.cm.viridis(number / max(1, len(history)))
            told = f"round {number}" if row == 0 else None
            ends = [first / most, (behind - 1) / most]
            right.plot(ends, [y, y], color=color, linewidth=3, marker="|", label=told)
    right.set_yticks(range(len(names)), list(reversed(names)))
    right.set_xticks([0, 1], ["first choice", "last choice"])
    right.set_title("what each dimension may be")
    right.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def page(document: dict[str, Any], directory: Path) -> str:
    """One HTML file with the pictures of `directory` inside."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from mcuformer.files.paths import TEMPLATES

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=True
    )
    drawn = [p for name in PICTURES if (p := directory / name).is_file()]
    images = [base64.b64encode(p.read_bytes()).decode() for p in drawn]
    return environment.get_template("search.html.j2").render(document=document, images=images)
