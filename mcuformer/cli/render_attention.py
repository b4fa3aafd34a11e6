"""The result of `mcuformer attention` as text, and what `compile --localize-attention` chose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcuformer.cli.console import count, table
from mcuformer.util.names import counted, printable

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
    return f"{counted(len(heads), 'head')}: distance {min(distances):.3f} at least, {mean:.3f} in the mean"


_MEASURES: Mapping[str, str] = {
    "top-1": "points of top-1",
    "agreement": "% of samples told otherwise",
    "variance": "% of the outputs' variance",
}


def localisation_table(report: dict[str, Any]) -> str:
    """Nothing where it was not asked for. In brackets: if all heads saw all keys."""
    parts = []
    for found in report.get("localisation", ()):
        heads = [r for layer in found["layers"] for r in layer["radii"]]
        near = sum(1 for r in heads if r)
        parts.append(
            f"near     {near} of {len(heads)} heads see patches within {_radii(heads) or found['radius']}, "
            f"{found['loss']:.2f} {_MEASURES[found['measure']]} lost in float ({found['max_loss']:g} allowed, "
            f"{found['samples']:,} samples)"
        )
        rows = [
            [
                printable(layer["layer"], 40),
                " ".join(str(r or "-") for r in layer["radii"]),
                layer["schedule"],
                _beside(layer, "kv_bytes"),
                _beside(layer, "instructions"),
            ]
            for layer in found["layers"]
        ]
        header = ["layer", "radius per head", "schedule", "K and V B", "instructions"]
        parts.append(table(header, rows))
        tried = ", ".join(f"{p['loss']:.2f} at {p['heads']}" for p in found["curve"])
        parts.append(f"loss by heads that are localised: {tried}")
    return "\n\n".join(parts)


def _radii(heads: list[int]) -> str:
    return ", ".join(map(str, sorted({r for r in heads if r})))


def _beside(layer: dict[str, Any], name: str) -> str:
    return f"{count(layer[name])} ({count(layer[f'{name}_whole'])})"
