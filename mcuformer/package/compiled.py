"""The directory that `compile` leaves, opened again: report, integer graph, board."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
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
VARIANTS = "variants"  # folder of the graphs of several programs over the same weights
TASK_GRAPH = "{}.lowered.npz"  # in it: a task before any schedule rewrote it, by number
BOARD = "board.toml"
ELF = "build/firmware.elf"

_ALONE = "{} holds one program, of no widths and no tasks"


@dataclass(frozen=True, slots=True)
class CompiledPackage:
    """`report` as in report.json; `graph` is the integer graph that the C was made from.

    `variant`: of several programs over the same weights the number of the one that this is about;
    None: the one after init, or the only one. `carried`: bytes of each output of the one after init, as many
    as runners bring whatever the variant.
    """

    directory: Path
    report: dict[str, Any]
    graph: Graph
    board: Board
    variant: int | None = None
    carried: tuple[int, ...] = ()

    @property
    def outputs(self) -> tuple[Output, ...]:
        """In the order of the ONNX file."""
        return outputs_of(self.graph)

    def own_output(self, data: bytes) -> bytes:
        """The variant's own, of what a runner brought: an output with fewer numbers has others behind it."""
        if not self.carried:
            return data
        sizes = [o.type.size_bytes for o in self.outputs]
        firsts = accumulate(self.carried, initial=0)
        return b"".join(data[at : at + size] for at, size in zip(firsts, sizes, strict=False))


def variant_of(package: CompiledPackage, label: str) -> CompiledPackage:
    """The program of a width as `compile --operating-points` named it: its graph, and a report in which
    model and estimate are its own. UsageError where there is none."""
    found = {row["label"]: row for row in package.report.get("variants", ())}
    row = found.get(label) or next((r for k, r in found.items() if _same(k, label)), None)
    if row is None:
        kind = "task" if "adapters" in package.report["options"] else "width"
        known = ", ".join(found)
        raise UsageError(
            f"{package.directory} has no {kind} {label}"
            if known
            else _ALONE.format(package.directory),
            f"it has {known}" if known else "compile --operating-points, --adapters make several",
        )
    return numbered(package, row["number"])


def numbered(package: CompiledPackage, number: int) -> CompiledPackage:
    """The same by its number in C."""
    from mcuformer.ir.store import load_graph

    row = package.report["variants"][number]
    own = {"path": row["path"], "sha256": row["sha256"], "macs": row["macs"]}
    report = package.report | {
        "model": package.report["model"] | own,
        "estimate": {"instructions": row["instructions"], "seconds": row["seconds"]},
    }
    graph = load_graph(package.directory / VARIANTS / f"{number}.npz")
    carried = package.carried or tuple(o.type.size_bytes for o in package.outputs)
    return CompiledPackage(package.directory, report, graph, package.board, number, carried)


def _same(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return False


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
