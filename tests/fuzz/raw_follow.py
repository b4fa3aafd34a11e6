"""How a draw of raw nodes is judged: the file's own numbers, the import against them, then the chain."""

from __future__ import annotations

import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from fuzz.draws import Drawn
from fuzz.errors import Mismatch
from fuzz.follow import Level, Outcome, follow
from fuzz.machine import Machine
from fuzz.reference import by_onnx, by_onnxruntime, numbers_of
from mcuformer.compile.source import read_source
from mcuformer.errors import McuformerError
from mcuformer.frontend.load import imported
from mcuformer.ir.interp_float import onnx_outputs, run_float

MOST = 1e4  # beyond it nothing is said of numbers: a draw may divide by next to nothing
TOLERANCE = 2e-3  # of the largest number: float32 sums in another order
COMPARED = 4
VALUES = "float values"
SOFTMAX, NEW_SOFTMAX = ("Softmax", "LogSoftmax"), 13


def judged(drawn: Drawn, level: Level, machine: Machine) -> Outcome:
    """As `follow`, with values judged before they are integers: what grids can hold of a quotient by next
    to nothing, nobody knows. "skipped" where the file has no numbers: no reference runs it, or they are not finite."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        path = Path(name) / "drawn.onnx"
        onnx.save(drawn.model, path)
        wanted = reference(path, [x[:COMPARED] for x in drawn.samples.values()])
        if wanted is None:
            return Outcome("skipped", "reference")
        outcome = _import_judged(drawn, path, wanted)
        if (
            outcome.stage == VALUES
            and outcome.result == "failed"
            and not _agreed(drawn, path, wanted)
        ):
            return Outcome("skipped", VALUES)
    if outcome.result == "ok" and level != "import":
        outcome = follow(drawn, level, machine, values=False)
    outcome.seconds = time.monotonic() - began
    return outcome


def reference(path: Path, samples: Sequence[NDArray]) -> list[NDArray] | None:
    """Every output [n, elements]; None where there is none, or none of any use."""
    try:
        wanted = list(numbers_of(path, samples))
    except Exception:  # noqa: BLE001, either reference has its own
        return None
    fine = all(np.isfinite(y).all() and np.abs(y).max() < MOST for y in wanted)
    return wanted if fine else None


def _agreed(drawn: Drawn, path: Path, wanted: Sequence[NDArray]) -> bool:
    """Whether onnxruntime and onnx say the same; of what onnx computes in another way, whether
    onnxruntime runs the file at all."""
    samples = [x[:COMPARED] for x in drawn.samples.values()]
    opset = drawn.model.opset_import[0].version
    if any(onnx_differs(node, opset) for node in drawn.model.graph.node):
        return by_onnxruntime(path, samples) is not None
    return all(_near(y, e) for y, e in zip(by_onnx(path, samples), wanted, strict=True))


def onnx_differs(node: onnx.NodeProto, opset: int) -> bool:
    """The two that onnx's evaluator computes unlike its own text and onnxruntime: a softmax before opset 13
    along its axis alone, not over all axes from it on; corners aligned with a length of broken cells."""
    attrs = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type in SOFTMAX:
        return opset < NEW_SOFTMAX and attrs.get("axis", 1) != -1
    return attrs.get("coordinate_transformation_mode") == b"align_corners"


def _near(y: NDArray, exact: NDArray) -> bool:
    error = np.abs(y.reshape(-1) - exact.reshape(-1)).max()
    return bool(error <= TOLERANCE * max(1e-3, float(np.abs(exact).max())))


def _import_judged(drawn: Drawn, path: Path, wanted: Sequence[NDArray]) -> Outcome:
    outcome = Outcome(operators={n.op_type for n in drawn.model.graph.node})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            _compare(drawn, path, wanted, outcome)
        except McuformerError as error:
            outcome.refuse(drawn, error)
        except Exception as error:  # noqa: BLE001, what it is, the outcome says
            outcome.result, outcome.message = "failed", f"{type(error).__name__}: {error}"
            outcome.trace = traceback.format_exc()
    return outcome


def _compare(drawn: Drawn, path: Path, wanted: Sequence[NDArray], outcome: Outcome) -> None:
    graph = imported(read_source(drawn.modes.options(path, path)).raw)
    outcome.stage = VALUES
    for i in range(COMPARED):
        found = onnx_outputs(
            graph, run_float(graph, [x[i : i + 1] for x in drawn.samples.values()])
        )
        for name, y, exact in zip(graph.outputs, found, wanted, strict=True):
            if not _near(y, exact[i]):
                error = np.abs(y.reshape(-1) - exact[i]).max()
                raise Mismatch(f"{name} is off by {error:.3g} of {np.abs(exact).max():.3g}")
