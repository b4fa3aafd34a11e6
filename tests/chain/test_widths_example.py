"""The trained widths in examples/: rounded together each is nearly what it is by itself, and as right as in float."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mcuformer.cli import invoke
from mcuformer.compile.options import CompileOptions, Point
from mcuformer.compile.points import plan_points
from mcuformer.compile.stages import plan_model
from mcuformer.ir.graph import Graph
from mcuformer.operators.interpreter import run_int
from mcuformer.package.compiled import numbered, open_package
from mcuformer.validate.metrics import sqnr_db
from mcuformer.validate.reference import FloatReference

pytest.importorskip("onnxruntime")
FOLDER = Path(__file__).parents[2] / "examples" / "digits_widths"
LABELS = ("0.25", "0.5", "1")
MOST_DB, MOST_POINTS = 1.0, 0.5


def reals(graph: Graph, x: NDArray[np.uint8]) -> NDArray[np.float64]:
    name = graph.outputs[0]
    qparams = graph.type(name).qparams
    assert qparams is not None
    found = run_int(graph, (x.transpose(0, 2, 3, 1),))[name]
    return qparams.dequantise(found).reshape(len(x), -1)


@pytest.mark.long
def test_widths_lose_little_by_sharing() -> None:
    files = [FOLDER / f"width-{label}.onnx" for label in LABELS]
    common = {"board": "stm32f746", "calibration": FOLDER / "calibration.npz"}
    points = tuple(map(Point, LABELS, files))
    made = plan_points(CompileOptions(model=files[-1], points=points, **common), lambda *_: None)
    with np.load(FOLDER / "test.npz") as data:
        x, y = data["x"], data["y"]
    props = made.graph.meta["metadata_props"]
    mean, std = (float(props[f"mcuformer.{n}"]) for n in ("mean", "std"))
    pixels = ((x / 255 - mean) / std).astype(np.float32)
    for file, point in zip(files, made.points, strict=True):
        wanted = FloatReference(file, [(1, 1, 24, 24)], threads=1).run([pixels])[0]
        wanted = wanted.reshape(len(x), -1)
        together = reals(point.graph, x)
        alone = plan_model(CompileOptions(model=file, **common), lambda *_: None, needs_data=True)
        own = sqnr_db(wanted, reals(alone.graph, x))
        shared = sqnr_db(wanted, together)
        assert own is not None and shared is not None and shared > own - MOST_DB
        right = [100 * float((z.argmax(axis=1) == y).mean()) for z in (together, wanted)]
        assert right[0] >= right[1] - MOST_POINTS and right[1] > 97


def test_layers_of_every_width_are_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Widths are scheduled apart, so one may have layers that another has not; and each stream is
    compared with the float one in the basis in which the widths share it."""
    package, data = tmp_path / "package", str(FOLDER / "calibration.npz")
    args = ["compile", str(FOLDER), "--operating-points", ",".join(LABELS), "--board", "host",
            "--optimize", "ram", "--calibration", data, "-o", str(package), "--no-check"]  # fmt: skip
    assert invoke(args) == 0
    opened = open_package(package)
    names = [{op.name for op in numbered(opened, k).graph.ops} for k in range(len(LABELS))]
    assert any(own != names[-1] for own in names)  # else this shows nothing
    capsys.readouterr()
    asked = ["validate", str(package), "--data", data, "--emulator", "host", "--limit", "3"]
    assert invoke([*asked, "--per-layer", "--json"]) == 0
    for width in json.loads(capsys.readouterr().out)["widths"]:
        rows = width["layers"]
        assert all(row["equal"] for row in rows)
        measured = [row["sqnr_db"] for row in rows if row["sqnr_db"] is not None]
        assert len(measured) > len(rows) // 2 and min(measured) > 20, (width["width"], measured)
    assert invoke([*asked, "--per-layer", "--width", "0.5"]) == 0
    assert "blocks.0.attn.q" in capsys.readouterr().out
    assert invoke([*asked, "--width", "0.6"]) == 2
    assert f"{package} has no width 0.6" in capsys.readouterr().err
