"""The chain of one model: interpreter == host C (sanitized) == Unicorn == QEMU, every traced row."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcuformer import quant
from mcuformer.codegen.package import write_package
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import eval_steps
from mcuformer.ir.text import parse_graph
from mcuformer.memory.check import check
from mcuformer.memory.model import Arena
from mcuformer.memory.simulate import simulate
from mcuformer.operators.interpreter import run_int
from mcuformer.operators.verify import verify
from mcuformer.plan.fit import Schedule, build
from mcuformer.quant.policy import Mode
from mcuformer.targets import host_runner, qemu_runner, unicorn_runner
from mcuformer.targets.board import Board
from mcuformer.targets.board_file import load_board
from mcuformer.targets.firmware import build_firmware
from mcuformer.targets.result import RunResult
from mcuformer.validate.per_layer import traced_equal

SEED = 20240229


def draw_inputs(graph: Graph, seed: int = SEED) -> tuple[NDArray, ...]:
    """Any bytes are a legal input: extremes and noise of each input's own type."""
    rng = np.random.default_rng(seed)
    types = [graph.type(name) for name in graph.inputs]
    ranges = [(np.iinfo(t.dtype), t) for t in types]
    return tuple(rng.integers(i.min, i.max + 1, t.shape).astype(t.dtype) for i, t in ranges)


def joined(arrays: Iterable[NDArray]) -> bytes:
    """All inputs or outputs of an inference, one after the other."""
    return b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)


def scheduled(graph: Graph, mode: str, optimize: str) -> Schedule:
    """Placed, checked by the independent checker, replayed byte by byte."""
    made = build(graph, [Arena("sram", 0x20000000, 300_000)], mode, optimize)
    check(made.program, made.plan)
    simulate(made.program, made.plan)
    return made


def follow(
    made: Schedule, work: Path, emulators: tuple[str, ...], board: str | Board = "stm32f746"
) -> None:
    """Compile for host and board and compare every traced value with the interpreter's."""
    package = work / "package"
    package.mkdir()
    target = board if isinstance(board, Board) else load_board(board)
    write_package(package, made.program, made.plan, target)
    x = draw_inputs(made.graph)
    values = run_int(made.graph, x)
    expected = joined(values[name] for name in made.graph.outputs)
    meanings = [(t.value, t.first_byte) for t in made.program.traces]
    for name in emulators:
        result = run(name, package, work / "objects", target, joined(x))
        inference = result.inferences[0]
        trace = inference.trace or {}
        assert set(range(len(meanings))) == set(trace), f"{name}: untraced values"
        wrong = [n for n, same in traced_equal(meanings, trace, values).items() if not same]
        assert not wrong, f"{name} differs from the interpreter first at {wrong[0]}"
        assert inference.output == expected, f"{name}: output differs"
        if result.sram_high_water_bytes is not None:
            total = made.plan.arena_bytes + target.stack_bytes + 4096
            assert result.sram_high_water_bytes <= total


def follow_quantised(text: str, mode: Mode, work: Path, everywhere: bool) -> None:
    """A float graph of one input, quantised on 40 seeded samples of which one judges it, through the chain as the
    smallest and as the fastest schedule: on the host, and the smallest one in Unicorn and QEMU where `everywhere`."""
    graph = verify(parse_graph(text).pruned())
    shape, onnx_shape = graph.type("x").shape, graph.meta["input_shapes"][0]
    samples = np.random.default_rng(1).normal(size=(40, *onnx_shape[1:])).astype(np.float32)
    stats = quant.calibrate(graph, samples)
    lowered = quant.lower(graph, stats, mode)
    assert stats.samples is not None
    assert signal_db(graph, lowered, stats.samples[0].reshape(-1, *shape)) > (
        35 if mode == "16" else 25
    )
    emulators = ("host", "unicorn", "qemu") if everywhere else ("host",)
    for optimize in ("ram", "speed"):
        (work / optimize).mkdir()
        follow(scheduled(lowered, "resident", optimize), work / optimize, emulators)
        emulators = ("host",)


def run(name: str, package: Path, objects: Path, board, image: bytes) -> RunResult:  # type: ignore[no-untyped-def]
    if name == "host":
        program = host_runner.build_host(package, trace=True, sanitize=True, build=objects)
        return host_runner.run(program, [image], trace=True)
    elf = build_firmware(package, board, trace=True, qemu=name == "qemu", build=objects)
    if name == "qemu":
        return qemu_runner.run(elf, [image], trace=True, core=board.core)
    return unicorn_runner.run(elf, board, [image], trace=True)


def signal_db(graph: Graph, lowered: Graph, x: np.ndarray) -> float:
    """Of all outputs on all samples, against the float graph."""
    *_, (_, env) = eval_steps(graph, x)
    name = graph.outputs[0]
    q = lowered.type(name).qparams
    grid = lowered.type(lowered.inputs[0])
    assert q is not None and grid.qparams is not None
    y = q.dequantise(run_int(lowered, grid.qparams.quantise(x, grid.dtype))[name])
    noise = np.square(y - env[name]).mean()
    return float(10 * np.log10(np.square(env[name]).mean() / noise))
