"""The result of `mcuformer train` as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mcuformer.cli.console import table
from mcuformer.util.names import printable


def as_text(document: dict[str, Any], directory: Path) -> str:
    """How far it went, what the validation images say, and what can be done with it."""
    done, epochs = document["epochs"], document["recipe"]["epochs"]
    parts = [
        f"trained     {done} of {epochs} epochs on {printable(document['data'])}",
        f"validation  {_percent(document['validation'])}",
    ]
    rounded = document["qat"]
    if rounded:
        parts.append(
            f"rounded     {_percent(rounded['validation'])} with {rounded['weight_bits']}-bit weights "
            f"({_percent(rounded['before'])} before it was trained with the rounding)"
        )
    lines = ["\n".join(parts)]
    widths = document["slimmable"]
    if widths and document["validation"] is not None:
        rows = [[ratio, _percent(found)] for ratio, found in widths["validation"].items()]
        lines.append(table(["width", "validation"], rows))
    more = "" if done == epochs else "; the same command without --until goes on"
    lines.append(f"kept in {printable(str(directory))}{more}")
    return "\n\n".join(lines)


def _percent(value: float | None) -> str:
    return "trained on, too (--refit)" if value is None else f"{value:.2f} %"
