"""Pictures of a search: accuracy against SRAM with the limit, and the space's evolution."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcuformer.search.explore import Candidate, pareto
from mcuformer.search.families import arch_of

PICTURES = ("pareto.png", "evolution.png")


def draw(
    found: Sequence[Candidate],
    best: Candidate,
    history: Sequence[dict[str, Any]],
    limit_bytes: int,
    directory: Path,
) -> None:
    """The files PICTURES; none where matplotlib is not installed."""
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
        _evolution(pyplot, history, directory / PICTURES[1])


def _evolution(pyplot: Any, history: Sequence[dict[str, Any]], path: Path) -> None:
    names = history[0]["axes"]
    figure, panels = pyplot.subplots(
        1, len(names), figsize=(3 * len(names), 3.2), sharey=True, squeeze=False
    )
    for i, (name, panel) in enumerate(zip(names, panels[0], strict=True)):
        for number, entry in enumerate(history):
            scored = [p for p in entry["points"] if p["score"] is not None]
            panel.scatter(
                [p["point"][i] for p in scored],
                [p["score"] for p in scored],
                s=22,
                color=pyplot.cm.viridis(number / max(1, len(history))),
                label=f"round {number + 1}",
            )
        panel.set_xlabel(f"{name} (smallest 0 .. largest 1)")
    panels[0][0].set_ylabel("score of the subspace (%)")
    panels[0][-1].legend(fontsize="small")
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
    return environment.get_template("search.html.j2").render(
        document=document, images=images, brief=lambda table: arch_of(table).brief
    )
