"""Widths over one blob: interpreter == host C (sanitized) == Unicorn, each equal to itself compiled alone."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from util_called import switch
from util_slimmable import Slimmable, slimmable_data, slimmable_files

from mcuformer.cli import invoke
from mcuformer.codegen.package import write_package
from mcuformer.compile import emitted
from mcuformer.compile.emitted import written
from mcuformer.compile.options import CompileOptions, Point
from mcuformer.compile.points import check_grids, plan_points
from mcuformer.compile.stages import compile_model
from mcuformer.errors import UsageError
from mcuformer.memory.check import check
from mcuformer.memory.simulate import simulate
from mcuformer.operators.interpreter import run_int
from mcuformer.package.compiled import numbered, open_package, variant_of
from mcuformer.package.execution import Executor
from mcuformer.report.rows import peak_layer
from mcuformer.targets import host_runner

MOST_SWITCH = 1000  # instructions
LABELS = ("0.25", "0.5", "0.75", "1")
CASES = (
    (Slimmable(), "balanced", "8"),
    (Slimmable(blocks=2, pool="token", seed=1), "speed", "8"),
    (Slimmable(width=48, heads=3, seed=2), "ram", "4"),
)


def options(folder: Path, net: Slimmable, **choices: object) -> CompileOptions:
    files = slimmable_files(folder, net)
    return CompileOptions(
        model=files[-1],
        board="stm32f746",
        calibration=slimmable_data(folder / "data.npz"),
        points=tuple(map(Point, LABELS, files)),
        **choices,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(("net", "optimize", "weight_bits"), CASES)
def test_every_width_is_its_own_graph(
    tmp_path: Path, net: Slimmable, optimize: str, weight_bits: str
) -> None:
    made = plan_points(
        options(tmp_path, net, optimize=optimize, weight_bits=weight_bits), lambda *_: None
    )
    rng = np.random.default_rng(0)
    for point in made.points:
        check(point.program, point.plan)
        simulate(point.program, point.plan)
    package = tmp_path / "package"
    package.mkdir()
    written(made, package)
    program = host_runner.build_host(package, sanitize=True, build=tmp_path / "objects")
    for number, point in enumerate(made.points):
        graph = point.graph
        x = rng.integers(0, 256, graph.type(graph.inputs[0]).shape).astype(np.uint8)
        wanted = run_int(graph, (x,))[graph.outputs[0]].tobytes()
        together = host_runner.run(program, [x.tobytes()], variant=number)
        assert together.inferences[0].output == wanted
        alone = tmp_path / f"alone{number}"
        alone.mkdir()
        write_package(alone, point.program, point.plan, point.board)
        single = host_runner.build_host(alone, build=tmp_path / "objects")
        assert host_runner.run(single, [x.tobytes()]).inferences[0].output == wanted


def test_compile_run_and_validate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slimmable_files(tmp_path, Slimmable())
    data = slimmable_data(tmp_path / "data.npz")
    package = tmp_path / "package"
    args = ["compile", str(tmp_path), "--operating-points", ",".join(LABELS), "--board", "stm32f746",
            "--calibration", str(data), "-o", str(package), "--accept-sqnr", "0"]  # fmt: skip
    assert invoke(args) == 0
    assert re.search(r"estimate of width 1: [\d,]+ instructions", capsys.readouterr().out)
    readme = (package / "README.md").read_text()
    assert "0 is width 0.25, 1 is width 0.5, " in readme
    assert "width_1_set_width(arena, 3); /* width 1 */" in readme
    report = json.loads((package / "report.json").read_text())
    rows = report["variants"]
    assert [row["label"] for row in rows] == list(LABELS)
    assert report["memory"]["arena_bytes"] == max(row["arena_bytes"] for row in rows) + 8
    costs = [row["instructions"] for row in rows]
    assert costs == sorted(costs)
    opened = open_package(package)
    x = np.random.default_rng(2).integers(0, 256, (8, 8, 1)).astype(np.uint8)
    for number, label in enumerate(LABELS):
        own = variant_of(opened, label)
        assert own.variant == number
        wanted = run_int(own.graph, (x[None],))[own.graph.outputs[0]].tobytes()
        for emulator in ("unicorn", "host"):
            with Executor(own, emulator) as executor:
                assert executor.run([x.tobytes()]).inferences[0].output == wanted
    full = run_int(numbered(opened, 3).graph, (x[None],))
    with Executor(opened, "unicorn") as executor:
        got = executor.run([x.tobytes()]).inferences[0].output
    assert got == full[opened.graph.outputs[0]].tobytes()
    assert (
        invoke(["validate", str(package), "--data", str(data), "--emulator", "host", "--json"]) == 0
    )
    *switches, (refused, _) = switch(package, len(LABELS))
    assert refused != 0
    assert all(status == 0 and count < MOST_SWITCH for status, count in switches)
    widths = json.loads(capsys.readouterr().out)["widths"]
    assert [w["width"] for w in widths] == list(LABELS)
    assert all(w["bit_exact"]["equal"] for w in widths)


@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="no qemu-system-arm")
def test_lines_of_pixels_in_qemu(tmp_path: Path) -> None:
    """Each width pulls its own lines; the same binary in QEMU and in Unicorn."""
    asked = options(tmp_path, Slimmable(), input_mode="bands", accept_sqnr=0.0)
    compile_model(asked, tmp_path / "package", lambda *_: None)
    opened = open_package(tmp_path / "package")
    x = np.random.default_rng(3).integers(0, 256, (8, 8, 1)).astype(np.uint8)
    for label in LABELS:
        own = variant_of(opened, label)
        wanted = run_int(own.graph, (x[None],))[own.graph.outputs[0]].tobytes()
        for emulator in ("qemu", "unicorn"):
            with Executor(own, emulator) as executor:
                assert executor.run([x.tobytes()]).inferences[0].output == wanted


@pytest.mark.parametrize(
    ("change", "message"),
    (
        (["--operating-points", "0.5"], "two or more"),
        (["--operating-points", "0.5,2"], "'2' is no width"),
        (["--operating-points", "0.5,0.75,1"], "2 files for 3"),
        ([], "one model at a time"),
    ),
)
def test_bad_points(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: list[str], message: str
) -> None:
    files = slimmable_files(tmp_path, Slimmable(), (0.5, 1))
    args = ["compile", *map(str, files), "--board", "host", "-o", str(tmp_path / "out"), *change]
    assert invoke(args) == 2
    assert message in capsys.readouterr().err


def test_a_file_is_not_two_widths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = slimmable_files(tmp_path, Slimmable(), (0.5, 1))
    again = tmp_path / "again.onnx"
    again.write_bytes(files[1].read_bytes())
    data = slimmable_data(tmp_path / "data.npz")
    args = ["compile", *map(str, (files[0], again, files[1])), "--operating-points", "0.5,0.75,1", "--board",
            "host", "--calibration", str(data), "-o", str(tmp_path / "out")]  # fmt: skip
    assert invoke(args) == 2
    assert "again and width-1 are the same slices" in capsys.readouterr().err


def test_all_widths_take_pixels_alike(tmp_path: Path) -> None:
    asked = options(tmp_path, Slimmable())
    model = onnx.load(asked.points[1].model)
    onnx.helper.set_model_props(model, {"mcuformer.mean": "0.4", "mcuformer.std": "0.25"})
    onnx.save(model, asked.points[1].model)
    with pytest.raises(
        UsageError, match=r"width-0\.5 normalises its input otherwise than width-0\.25"
    ):
        plan_points(asked, lambda *_: None)
    made = plan_points(replace(asked, mean=(0.5,), std=(0.25,)), lambda *_: None)
    graph = made.points[0].graph
    pixels = graph.values[graph.inputs[0]]
    grid = pixels.type.qparams
    assert grid is not None
    coarser = replace(pixels.type, qparams=replace(grid, scale=2 * grid.scale))
    values = {**graph.values, pixels.name: replace(pixels, type=coarser)}
    with pytest.raises(UsageError, match="normalises its input otherwise"):
        check_grids([graph, graph.replace(values=values)])


def test_the_bound_is_of_the_width_that_needs_most(tmp_path: Path) -> None:
    """`balanced` may leave a narrower one more bytes than the full one."""
    asked = options(tmp_path, Slimmable(pool="token"), emit_only=True, check=False)
    result = compile_model(asked, tmp_path / "out", lambda *_: None)
    memory, rows = result.report["memory"], result.report["variants"]
    most = max(rows, key=lambda row: row["arena_bytes"])
    assert most["label"] == "0.5" and memory["arena_bytes"] == most["arena_bytes"] + 8
    assert rows[-1]["arena_bytes"] < memory["lower_bound_bytes"] <= most["arena_bytes"]
    point = plan_points(asked, lambda *_: None).points[1]
    assert memory["peak_layer"] == peak_layer(point.program, point.plan)


def test_every_width_leaves_its_stages(tmp_path: Path) -> None:
    asked = options(tmp_path, Slimmable(), emit_only=True, check=False, save_temps=True)
    result = compile_model(asked, tmp_path / "out", lambda *_: None)
    names = [p.name.split("-", 1)[1] for p in (tmp_path / "out/stages").iterdir()]
    assert sorted(names) == sorted(
        f"{stage}-{label}.txt"
        for stage in ("onnx", "prepared", "int", "program", "plan")
        for label in LABELS
    )
    assert "<h2>Layers of width 1</h2>" in result.page()


def test_what_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    asked = options(tmp_path, Slimmable(), emit_only=True, check=False)
    monkeypatch.setattr(emitted, "save_graph", broken)
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(KeyboardInterrupt):
        compile_model(asked, place / "package", lambda *_: None)
    assert not [*place.iterdir()]


def test_other_networks_are_no_slices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other").mkdir()
    ours = slimmable_files(tmp_path, Slimmable(), (0.5, 1))
    theirs = slimmable_files(tmp_path / "other", Slimmable(seed=9), (0.5, 1))
    data = slimmable_data(tmp_path / "data.npz")
    args = ["compile", str(ours[0]), str(theirs[1]), "--operating-points", "0.5,1", "--board", "host",
            "--calibration", str(data), "-o", str(tmp_path / "out")]  # fmt: skip
    assert invoke(args) == 2
    assert "is no slice" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_layers_of_one_matrix_give_up_bits_together(tmp_path: Path) -> None:
    """And as few as the numbers of all widths leave room for."""
    found = []
    for flash in (100_000, 81_000):
        asked = options(tmp_path, Slimmable(width=48, heads=3), weight_bits="auto", flash=flash)
        graphs = [p.graph for p in plan_points(asked, lambda *_: None).points]
        bits = [
            {op.name: op.attrs.get("weight_bits", 8) for op in g.ops if "x_zp" in op.attrs}
            for g in graphs
        ]
        assert all(list(b.values()) == list(bits[0].values()) for b in bits)
        assert all(len({b[name] for name in "qkv"}) == 1 for b in bits)
        found.append(list(bits[0].values()).count(4))
    assert found[0] == 0 < found[1] < len(bits[0]) - 1
