"""The result of `mcuformer validate` as text."""

from __future__ import annotations

from typing import Any

from mcuformer.cli.console import table
from mcuformer.util.names import counted, printable


def as_text(document: dict[str, Any]) -> str:
    exact, accuracy = document["bit_exact"], document["accuracy"]
    found, why = document["agreement"] or {}, document["why"]
    differing = len(exact["differing"])
    equal = "all equal" if exact["equal"] else f"{differing} differ"
    rows = [
        ["samples", f"{document['samples']:,}", f"of {document['samples_available']:,}"],
        ["accuracy", _number(accuracy["percent"], "%"), why.get("accuracy", "")],
        ["accuracy of the float model", _number(accuracy["float_percent"], "%"), ""],
        ["top-1 agreement with float", _number(found.get("top1_percent"), "%"),
         why.get("agreement", "")],
        ["SQNR of the outputs", _number(found.get("sqnr_db"), "dB"), ""],
        ["cosine", _number(found.get("cosine"), "", 5), ""],
        ["rmse", _number(found.get("rmse"), "", 5), ""],
        ["bits against the interpreter", equal, counted(exact["samples"], "sample")],
    ]  # fmt: skip
    width = f"width {document['width']}: " if "width" in document else ""
    head = f"{width}{printable(document['model'])} for {document['board']}, run in {document['emulator']}"
    parts = [head, table(["", "", ""], rows)]
    if len(document["outputs"]) > 1:
        parts.append(_outputs(document["outputs"]))
    if "layers" in document:
        parts.append(why["layers"] if "layers" in why else _layers(document["layers"]))
    return "\n\n".join(parts)


def _outputs(outputs: list[dict[str, Any]]) -> str:
    rows = [
        [printable(row["name"], 40), _number(row["sqnr_db"], "dB"), _number(row["cosine"], "", 5),
         _number(row["rmse"], "", 5), _number(row["top1_percent"], "%"),
         "equal" if row["equal"] else "DIFFERS"]
        for row in outputs
    ]  # fmt: skip
    return table(["output", "SQNR", "cosine", "rmse", "top-1", "bits"], rows)


def _layers(layers: list[dict[str, Any]]) -> str:
    words = {True: "equal", False: "DIFFERS", None: "not traced"}
    rows = [
        [str(row["id"]), printable(row["name"], 40), row["op"], _number(row["sqnr_db"], "dB"),
         words[row["equal"]]]
        for row in layers
    ]  # fmt: skip
    return table(["id", "layer", "op", "SQNR", "bits"], rows)


def _number(value: float | None, unit: str, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f} {unit}".rstrip()
