"""attention.html: one self-contained page with a picture of all heads by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from mcuformer.files.paths import TEMPLATES

FIGURES = (("distance", "mean attention distance"), ("entropy", "entropy"))


def page(document: dict[str, Any]) -> str:
    """The whole HTML of what `study` returns."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    return environment.get_template("attention.html.j2").render(
        document=document,
        title=document["model"].replace("\\", "/").rsplit("/", 1)[-1],
        style=Markup(style),
        figures=FIGURES,
        shade=shade,
        radii=radii(document["layers"]),
    )


def shade(value: float) -> str:
    """0..1 as a colour from pale to deep blue."""
    v = min(max(value, 0.0), 1.0)
    return f"rgb({round(240 - 204 * v)},{round(244 - 156 * v)},{round(250 - 39 * v)})"


def radii(layers: Sequence[dict[str, Any]], most: int = 8) -> list[int]:
    """Radii that a table has columns for."""
    largest = max((len(h["mass"]) - 1 for layer in layers for h in layer["heads"]), default=0)
    return list(range(min(largest, most) + 1))
