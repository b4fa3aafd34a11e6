"""What the stages leave with --save-temps: one text file each, in their order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcuformer.ir.graph import Graph
    from mcuformer.memory.model import MemoryPlan
    from mcuformer.program.program import Program

FOLDER = "stages"


@dataclass(slots=True)
class Temps:
    """`folder` None: nothing is written."""

    folder: Path | None = None
    _count: int = field(default=0, init=False)

    def graph(self, stage: str, graph: Graph) -> None:
        from mcuformer.ir.text import print_graph

        self._write(stage, lambda: print_graph(graph))

    def program(self, stage: str, program: Program, plan: MemoryPlan) -> None:
        from mcuformer.plan.text import print_program

        self._write(stage, lambda: print_program(program, plan))

    def plan(self, stage: str, program: Program, plan: MemoryPlan) -> None:
        from mcuformer.report.timeline import chart, timeline

        self._write(stage, lambda: chart(timeline(program, plan)) + "\n")

    def _write(self, stage: str, text: Callable[[], str]) -> None:
        if self.folder is None:
            return
        self.folder.mkdir(exist_ok=True)
        self._count += 1
        (self.folder / f"{self._count}-{stage}.txt").write_text(text(), encoding="utf-8")
