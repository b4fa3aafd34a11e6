"""One model through the real pipeline: compiled, linked, run; its figures as rows of the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from counted import Layer as Geometry
from vit_onnx import Shape, smooth_pixels, write_vit

from mcuformer.compile.options import CompileOptions
from mcuformer.compile.stages import plan_model, write_model
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.store import load_graph
from mcuformer.package.compiled import ELF, GRAPH, CompiledPackage
from mcuformer.package.execution import run_once
from mcuformer.program.expressions import Expr
from mcuformer.program.program import Layer, Program
from mcuformer.targets.elf import read_elf

SAMPLES = 2
KINDS = ("qkv", "proj", "fc1", "fc2")


@dataclass(frozen=True, eq=False)
class Measured:
    """`document` and `qemu` are what `run --json` prints; `folder` holds the package."""

    shape: Shape
    folder: Path
    program: Program
    document: Mapping[str, Any]
    qemu: Mapping[str, Any] | None
    why_not_qemu: str = ""


def measure(shape: Shape, folder: Path) -> Measured:
    """Balanced plan, image by bands, stm32f746; one inference in Unicorn and in QEMU."""
    pixels = smooth_pixels(shape, SAMPLES)
    np.savez(folder / "calibration.npz", x=pixels)
    np.save(folder / "x.npy", pixels[:1])
    options = CompileOptions(
        model=write_vit(shape, folder), board="stm32f746", calibration=folder / "calibration.npz",
        calibration_method="minmax", input_mode="bands",
    )  # fmt: skip
    out = folder / "package"
    out.mkdir()
    figures = plan_model(options, _silent, needs_data=True)
    assert figures.error is None, figures.error
    write_model(figures, out, _silent)
    package = CompiledPackage(out, {}, load_graph(out / GRAPH), figures.board)
    document = run_once(package, [str(folder / "x.npy")], True, "unicorn", _silent)
    qemu, why = _qemu(package, folder / "x.npy")
    if qemu is not None:
        assert qemu["outputs"] == document["outputs"], f"{shape.name}: QEMU's output differs"
    return Measured(shape, out, figures.program, document, qemu, why)


def _qemu(package: CompiledPackage, x: Path) -> tuple[Mapping[str, Any] | None, str]:
    from mcuformer.errors import ToolMissingError

    try:
        return run_once(package, [str(x)], True, "qemu", _silent), ""
    except ToolMissingError as error:
        return None, error.message


def _silent(stage: str, done: int = 0, total: int = 0) -> None:
    pass


def kind_of(graph: Graph, op: Op, width: int) -> str | None:
    """Which of a block's linear layers this is, by its shape and epilogue."""
    if op.kind != "q_linear" or op.attrs.get("groups", 1) != 1:
        return None
    n, k = graph.type(str(op.inputs[1])).shape
    if op.operand(5) is not None:
        return {width: "proj", 4 * width: "fc2"}.get(k)
    return {width: "qkv", 4 * width: "fc1"}.get(n) if k == width else None


def linear_layers(m: Measured) -> Iterator[tuple[str, Layer, int]]:
    """(kind, layer, executed instructions) of the layers that see every token.

    In the last block of a model with a class token, one row alone goes on: not a matter of these
    figures, but of the whole inference's.
    """
    ops = {op.name: op for op in m.program.graph.ops}
    for layer, run in zip(m.program.layers, m.document["layers"], strict=True):
        op = ops.get(layer.name)
        kind = op and kind_of(m.program.graph, op, m.shape.width)
        if kind and layer.shape[0] == m.shape.tokens:
            yield kind, layer, run["instructions"]


def worst_blocks(m: Measured) -> dict[str, tuple[int, int]]:
    """kind -> (instructions, MACs) of the layer, or q, k and v together, that costs most."""
    found: dict[str, list[tuple[int, int]]] = {kind: [] for kind in KINDS}
    for kind, layer, instructions in linear_layers(m):
        found[kind].append((instructions, layer.macs))
    thirds = [found["qkv"][i : i + 3] for i in range(0, len(found["qkv"]) - 2, 3)]
    found["qkv"] = [(sum(i for i, _ in t), sum(n for _, n in t)) for t in thirds]
    return {kind: max(rows, key=lambda row: row[0] / row[1]) for kind, rows in found.items()}


def calls_of(m: Measured, kind: str) -> Counter[Geometry]:
    """Every mcf_linear call of the first block's layers of this kind, as the plan makes them."""
    layers = [layer.id for k, layer, _ in linear_layers(m) if k == kind]
    wanted = set(layers[: 3 if kind == "qkv" else 1])
    calls: Counter[Geometry] = Counter()
    for call, env in m.program.executions():
        if call.layer in wanted and call.kernel == "mcf_linear":
            rows = call.args[6]
            assert isinstance(rows, Expr) and call.params is not None
            calls[_geometry(m.program, call.params, rows.value(env))] += 1
    return calls


def _geometry(program: Program, key: str, rows: int) -> Geometry:
    param, graph = program.params[key], program.graph
    op, choices = param.op, param.choices
    n, k = graph.type(str(op.inputs[1])).shape
    res = op.operand(5)
    return Geometry(
        rows, k, n, choices.get("panel", 0), choices.get("tile", 2),
        table_bits=int(op.attrs.get("table_bits", 0)),
        res=None if res is None else graph.type(res).dtype,
        x=graph.type(str(op.inputs[0])).dtype, y=graph.type(op.outputs[0]).dtype,
        weight_bits=int(op.attrs.get("weight_bits", 8)),
    )  # fmt: skip


def instructions_of(m: Measured, op_kind: str, shape: tuple[int, ...]) -> list[int]:
    """Executed instructions of the layers of one kind of operator and shape."""
    pairs = zip(m.program.layers, m.document["layers"], strict=True)
    return [r["instructions"] for la, r in pairs if la.op == op_kind and la.shape == shape]


def code_bytes(m: Measured) -> tuple[int, int]:
    """Linked bytes of executable sections (kernels, generated calls, port), and those in ITCM."""
    sections = [s for s in read_elf(m.folder / ELF).sections if s.executable]
    hot = sum(s.size_bytes for s in sections if s.name == ".mcf_itcm")
    return sum(s.size_bytes for s in sections), hot
