"""What makes `validate` fail."""

from __future__ import annotations

from typing import Any

from mcuformer.errors import ValidationError
from mcuformer.validate.per_layer import first_difference


def verdict(
    document: dict[str, Any], min_sqnr: float | None, min_agreement: float | None
) -> ValidationError | None:
    """The first broken promise: unequal bits, then the limits that the user gave."""
    layer = first_difference(document.get("layers", []))
    if layer is not None:
        return ValidationError(
            f"layer {layer['id']} ({layer['name']}) is the first that differs from the interpreter",
            f"{layer['op']} in {document['emulator']}",
        )
    exact = document["bit_exact"]
    if not exact["equal"]:
        return ValidationError(
            f"{len(exact['differing'])} of {exact['samples']} samples differ from the interpreter",
            "--per-layer shows the first layer that differs",
        )
    found = document["agreement"] or {}
    for key, least, what in (
        ("sqnr_db", min_sqnr, "SQNR in dB"),
        ("top1_percent", min_agreement, "top-1 agreement in percent"),
    ):
        if least is None or (key == "sqnr_db" and found and found[key] is None):
            continue  # no limit, or no error at all
        if found.get(key) is None:
            return ValidationError(f"{what} is not known: {document['why'].get('agreement', '')}")
        if found[key] < least:
            return ValidationError(f"{what} is {found[key]:.2f}, at least {least:g} was asked for")
    return None
