"""validate --per-layer: rows of what really ran, on the samples whose outputs are compared."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mcuformer.cli import invoke
from mcuformer.errors import ValidationError
from mcuformer.package import execution
from mcuformer.package.compiled import CompiledPackage, open_package
from mcuformer.targets.result import Inference
from mcuformer.validate.device import Tracer, make_tracer
from mcuformer.validate.per_layer import per_layer

sys.path.insert(0, str(Path(__file__).parents[1] / "targets"))

from test_serial_device import board_on_a_pty

Files = dict[str, Path]


@pytest.fixture(scope="module")
def traced(files: Files) -> tuple[CompiledPackage, list[Inference]]:
    """All samples of the tiny model, on the host."""
    package = open_package(files["package"])
    seen: list[Inference] = []
    with make_tracer(package, "host", None) as tracer:

        def run(inputs: Sequence[NDArray]) -> Sequence[Inference]:
            assert tracer.run is not None
            seen.extend(tracer.run(inputs))
            return seen

        rows = per_layer(package, files["data"], None, Tracer(run), None, [])
    assert len(seen) == 12 and all(row["equal"] for row in rows)
    return package, seen


def harmed(inference: Inference, number: int) -> Inference:
    assert inference.trace is not None
    trace = {n: np.array(rows) for n, rows in inference.trace.items()}
    trace[number][0, 0] ^= 0x40
    return replace(inference, trace=trace)


def test_a_byte_of_any_sample_counts(
    files: Files, traced: tuple[CompiledPackage, list[Inference]]
) -> None:
    """One byte of one layer in the last sample: that layer differs, and its SQNR is of those bits."""
    package, seen = traced
    number = 4  # of the traced values
    wrong = [*seen[:-1], harmed(seen[-1], number)]
    args = (files["data"], files["model"])
    right = per_layer(package, *args, Tracer(lambda _: seen), None, [])
    rows = per_layer(package, *args, Tracer(lambda _: wrong), None, [])
    value = package.graph.meta["traces"][number][0]
    layer = next(op.name for op in package.graph.ops if op.outputs[0] == value)
    assert [row["name"] for row in rows if not row["equal"]] == [layer]
    for before, after in zip(right, rows, strict=True):
        assert (before["sqnr_db"] != after["sqnr_db"]) == (before["name"] == layer)


def test_a_tracing_build_that_computes_something_else(
    files: Files, traced: tuple[CompiledPackage, list[Inference]]
) -> None:
    package, seen = traced
    wrong = [*seen[:-1], replace(seen[-1], output=b"\0" * len(seen[-1].output))]
    with pytest.raises(ValidationError, match="other outputs for sample 11"):
        per_layer(package, files["data"], None, Tracer(lambda _: wrong), None, [])
    with pytest.raises(ValidationError, match="other outputs for sample 3"):
        per_layer(package, files["data"], None, Tracer(lambda _: seen), None, [3])


def test_a_board_shows_no_layers_of_an_emulator(
    files: Files, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --target nothing else runs: the rows are null and the reason is given."""
    package = open_package(files["package"])
    built = (package.directory / "build/firmware.elf", package.board)
    monkeypatch.delattr(execution.Executor, "run")
    args = ["validate", str(files["package"]), "--data", str(files["data"]), "--limit", "2"]
    with board_on_a_pty(built) as port:
        assert invoke([*args, "--target", port, "--per-layer", "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert invoke([*args, "--target", port, "--per-layer"]) == 0
    assert document["bit_exact"] == {"samples": 2, "equal": True, "differing": []}
    assert len(document["layers"]) == len(package.report["layers"])
    assert {(row["sqnr_db"], row["equal"]) for row in document["layers"]} == {(None, None)}
    assert "does not show its layers" in document["why"]["layers"]
    assert "does not show its layers" in capsys.readouterr().out
