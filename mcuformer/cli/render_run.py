"""The result of `mcuformer run` as text."""

from __future__ import annotations

from typing import Any

from mcuformer.cli.console import count, table
from mcuformer.util.names import printable

_BEST = 5


def as_text(document: dict[str, Any]) -> str:
    """The largest outputs, the counts, the memory that was touched."""
    parts = [_scores(output) for output in document["outputs"]]
    names = ("instructions", "io_instructions", "estimated_cycles", "sram_high_water_bytes",
             "stack_high_water_bytes")  # fmt: skip
    why = document["why"]
    rows = [[n, count(document[n]), why.get(n, "")] for n in names]
    parts.append(table([f"in {document['emulator']}", "", ""], rows))
    return "\n\n".join(parts)


def _scores(output: dict[str, Any]) -> str:
    flat = _flatten(output["data"])
    if all(isinstance(v, int) for v in flat):  # of an ArgMax
        return f"{printable(output['name'])}: {', '.join(map(str, flat))}"
    order = sorted(range(len(flat)), key=lambda i: -flat[i])[:_BEST]
    rows = [[str(i), f"{flat[i]:.4f}"] for i in order]
    shape = "x".join(map(str, output["shape"]))
    head = f"{printable(output['name'])} [{shape}], largest first"
    return f"{head}\n{table(['index', 'value'], rows)}"


def _flatten(data: Any) -> list[Any]:
    return [x for item in data for x in _flatten(item)] if isinstance(data, list) else [data]
