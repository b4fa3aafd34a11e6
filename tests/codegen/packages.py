"""Small models as packages for this machine, and programs of a user's that call them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from util_models import VitConfig, images, vit

from mcuformer import quant
from mcuformer.codegen.package import write_package
from mcuformer.ir.graph import Graph
from mcuformer.ir.types import QParams, TensorType, Value
from mcuformer.memory.check import check
from mcuformer.memory.model import MemoryPlan
from mcuformer.memory.placement import plan
from mcuformer.operators.interpreter import run_int
from mcuformer.operators.line_outputs import by_lines
from mcuformer.plan.fit import build
from mcuformer.program.buffers import Buffer
from mcuformer.program.program import IoTensor, Program
from mcuformer.targets.board_file import load_board

STRICT = (
    "-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fno-sanitize-recover=all",
    "-fsanitize=address,undefined",
)  # fmt: skip
EXTRA = 24  # bytes of the second input, which is the second output too


@dataclass(frozen=True)
class Small:
    """`graph` is the int graph of input 0 and output 0."""

    graph: Graph
    program: Program
    plan: MemoryPlan

    def input(self, seed: int = 1) -> NDArray:
        type_ = self.graph.type(self.graph.inputs[0])
        info = np.iinfo(type_.dtype)
        rng = np.random.default_rng(seed)
        return rng.integers(info.min, info.max + 1, type_.shape).astype(type_.dtype)

    def expected(self, x: NDArray) -> bytes:
        return run_int(self.graph, x)[self.graph.outputs[0]].tobytes()


def small(name: str = "small", mode: str = "resident", **choices: object) -> Small:
    """A transformer of a few hundred weights, planned; `choices` are VitConfig's."""
    config = VitConfig(**{"image": (8, 8), "blocks": 1, **choices})  # type: ignore[arg-type]
    graph = vit(config)
    stats = quant.calibrate(graph, images(config, 4))
    made = build(quant.lower(graph, stats).replace(name=name), load_board("host").arenas, mode)
    return Small(made.graph, replace(made.program, name=name), made.plan)


def rows_by_lines() -> Graph:
    """An int graph whose rows of tokens leave by lines, and whose scores stay."""
    config = VitConfig(image=(8, 8), blocks=1)
    graph = vit(config)
    rows = next(
        op.outputs[0] for op in reversed(graph.ops) if graph.type(op.outputs[0]).shape[0] > 1
    )
    shapes = (*graph.meta["output_shapes"], (1, *graph.type(rows).shape))
    graph = graph.replace(
        outputs=(*graph.outputs, rows), meta={**graph.meta, "output_shapes": shapes}
    )
    return by_lines(quant.lower(graph, quant.calibrate(graph, images(config, 4))))


def with_extra(made: Small) -> Small:
    """The same with a second input, resident, whose bytes are the second output."""
    program = made.program
    type_ = TensorType((3, 8), "int8", QParams(np.array([0.5] * 8), np.arange(8.0)))
    graph = program.graph
    graph = graph.replace(
        values={**graph.values, "extra": Value("extra", type_)},
        inputs=(*graph.inputs, "extra"),
        outputs=(*graph.outputs, "extra"),
    )
    tensor = IoTensor("extra", "extra", 0, 3, 8)
    program = replace(
        program,
        graph=graph,
        buffers={**program.buffers, "extra": Buffer("extra", EXTRA, kind="input")},
        inputs=(*program.inputs, tensor),
        outputs=(*program.outputs, tensor),
    )
    placed = plan(program, load_board("host").arenas)
    check(program, placed)
    return Small(made.graph, program, placed)


def package(made: Small, directory: Path, board: str = "host", name: str | None = None) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    write_package(directory, made.program, made.plan, load_board(board), name=name)
    return directory


def include_flags(*packages: Path) -> list[str]:
    return [f"-I{p}" for p in packages] + [f"-I{p}/runtime/include" for p in packages]


def kernels(directory: Path) -> list[str]:
    return sorted(map(str, (directory / "runtime" / "src").glob("*.c")))


def run(*argv: str | Path, cwd: Path | None = None) -> str:
    """Its stdout; the tool's own words where it fails."""
    result = subprocess.run(
        list(map(str, argv)), cwd=cwd, check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, " ".join(map(str, argv)) + "\n" + result.stdout + result.stderr
    return result.stdout


def c_bytes(data: bytes) -> str:
    return ", ".join(map(str, data))
