"""What does not fit is tried with fewer values of 16 bits, as long as there are any."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from mcuformer.compile import placed
from mcuformer.errors import DoesNotFitError


@dataclass
class Measured:
    """Stands for what compile/quantise.py measured, with `wide` values of 16 bits."""

    wide: int
    source: str = "source"

    def narrower(self) -> Measured | None:
        return Measured(self.wide // 2) if self.wide else None


@pytest.mark.parametrize(("room", "tried"), [(9, [6]), (2, [6, 3, 1]), (-1, [6, 3, 1, 0])])
def test_values_are_narrowed_until_the_program_fits(
    monkeypatch: pytest.MonkeyPatch, room: int, tried: list[int]
) -> None:
    seen: list[int] = []

    def place(source: str, graph: int, evidence: None) -> Any:
        seen.append(graph)
        return SimpleNamespace(error=None if graph <= room else DoesNotFitError("too large"))

    monkeypatch.setattr(placed, "quantised", lambda found: (found.wide, None))
    monkeypatch.setattr(placed, "placed", place)
    graph, figures = placed.scheduled(Measured(6), lambda *_: None)  # type: ignore[arg-type]
    assert seen == tried and graph == tried[-1]
    assert (figures.error is None) == (room >= 0)
