"""mcuformer ops"""

from __future__ import annotations

from collections.abc import Mapping

import click

from mcuformer.cli.console import print_json, table
from mcuformer.cli.params import json_option

MEANINGS: Mapping[str, str] = {
    "compiled": "runs on the device",
    "moved": "data movement: becomes an index map, costs nothing or one copy",
    "folded": "computed at compile time: on constants and shapes only",
    "removed": "has no effect on the result",
}


@click.command("ops")
@json_option
def command(as_json: bool) -> None:
    """List the ONNX operators that can be compiled, and how each is used."""
    from mcuformer.frontend.proto import MAX_OPSET, MIN_OPSET
    from mcuformer.ir.optable import ONNX
    from mcuformer.operators.table import FROM_ONNX

    usable = [s for s in ONNX.values() if s.use != "compiled" or s.name in FROM_ONNX]
    specs = sorted(usable, key=lambda s: (list(MEANINGS).index(s.use), s.name))
    if as_json:
        print_json([{"name": s.name, "use": s.use, "notes": s.notes} for s in specs])
        return
    print(table(["operator", "use", "limits"], [[s.name, s.use, s.notes] for s in specs]))
    print(f"\nof opsets {MIN_OPSET} to {MAX_OPSET}, half and double floats included\n")
    print("\n".join(f"{use}: {meaning}" for use, meaning in MEANINGS.items()))
