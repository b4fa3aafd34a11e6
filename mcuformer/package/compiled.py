"""The directory that `compile` leaves, opened again: report, integer graph, board."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcuformer.errors import UsageError
from mcuformer.files.kept import read_json
from mcuformer.package.outputs import Output, outputs_of

if TYPE_CHECKING:
    from mcuformer.ir.graph import Graph
    from mcuformer.targets.board import Board

REPORT = "report.json"
GRAPH = "graph.npz"
BOARD = "board.toml"
ELF = "build/firmware.elf"


@dataclass(frozen=True, slots=True)
class CompiledPackage:
    """`report` as in report.json; `graph` is the integer graph that the C was made from."""

    directory: Path
    report: dict[str, Any]
    graph: Graph
    board: Board

    @property
    def outputs(self) -> tuple[Output, ...]:
        """In the order of the ONNX file."""
        return outputs_of(self.graph)


def open_package(directory: Path) -> CompiledPackage:
    """Read what `compile` left; UsageError when `directory` is no compiled package."""
    from mcuformer.ir.store import load_graph
    from mcuformer.targets.board_file import load_board

    try:
        report = read_json(directory / REPORT, lambda table: table, "compile again")
    except OSError as error:
        raise UsageError(
            f"{directory} holds no compiled model ({REPORT}: {error.strerror})",
            "mcuformer compile MODEL.onnx --board B -o DIR makes one",
        ) from error
    if not isinstance(report, dict) or report.get("schema_version") != 1:
        raise UsageError(f"{directory / REPORT} has no schema_version 1", "compile again")
    return CompiledPackage(
        directory, report, load_graph(directory / GRAPH), load_board(directory / BOARD)
    )
