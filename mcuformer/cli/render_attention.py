"""The result of `mcuformer attention` as text."""

from __future__ import annotations

from typing import Any

from mcuformer.cli.console import table
from mcuformer.util.names import printable

_RADII = (1, 2, 3)


def as_text(document: dict[str, Any]) -> str:
    head = (
        f"{printable(document['model'])}: {document['samples']:,} of "
        f"{document['samples_available']:,} samples; float, and the integer graph's own in brackets"
    )
    return "\n\n".join([head, table(list(_HEADINGS), list(_rows(document))), _summary(document)])


_HEADINGS = ("layer", "head", "distance", "entropy", *(f"within {r}" for r in _RADII))


def _rows(document: dict[str, Any]) -> list[list[str]]:
    rows = []
    for layer in document["layers"]:
        name = printable(layer["layer"], 40)
        if layer["why"]:
            rows.append([name, "-", layer["why"], *[""] * (len(_HEADINGS) - 3)])
        for i, ours in enumerate(layer["heads"]):
            ints = layer["int_heads"][i] if layer["int_heads"] else None
            mass = [_pair(_within(ours, r), ints and _within(ints, r)) for r in _RADII]
            rows.append([name if i == 0 else "", str(i), _pair(ours["distance"], ints and ints["distance"]),
                         _pair(ours["entropy"], ints and ints["entropy"]), *mass])  # fmt: skip
    return rows


def _pair(ours: float, ints: float | None) -> str:
    return f"{ours:.3f} ({'-' if ints is None else f'{ints:.3f}'})"


def _within(head: dict[str, Any], radius: int) -> float:
    mass = head["mass"]
    return float(mass[min(radius, len(mass) - 1)])


def _summary(document: dict[str, Any]) -> str:
    heads = [h for layer in document["layers"] for h in layer["heads"]]
    if not heads:
        return "no layer whose rows are patches"
    distances = [h["distance"] for h in heads]
    mean = sum(distances) / len(distances)
    return f"{len(heads)} heads: distance {min(distances):.3f} at least, {mean:.3f} in the mean"
