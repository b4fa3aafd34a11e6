"""What the row of a function of one number holds (`ir/functions.py` has the rows)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

Function = Callable[..., NDArray]
AnyTwin = Callable[..., Any]
NO_TWIN = None


@dataclass(frozen=True, slots=True)
class Number:
    """An attribute of an ONNX operator, its default there, and from where to where tests draw it.

    `above`: the function is known for larger numbers only.
    """

    attribute: str
    default: float
    low: float
    high: float
    above: float = -math.inf


@dataclass(frozen=True, slots=True)
class Spelling:
    """An ONNX operator that is the function where its attributes are `fixed`; `numbers` follow x."""

    operator: str
    numbers: tuple[Number, ...] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""
    domain: str = ""


@dataclass(frozen=True, slots=True)
class FunctionRow:
    """`evaluate(x, *numbers)` in numpy; `twin(F, x, *numbers)` in torch, F its nn.functional.

    `plain`: the name alone means something, and is found in any spelling by its samples.
    `clamp(*numbers)`: low and high of a function that only cuts there. `grid`: scale, zero point
    and dtype that hold all of its values, where those have limits by nature. `domain(*numbers)`: from
    where to where it is known; what rounding brings beyond is cut there. `ends`: whether its values
    end, or grow steadily, on both sides, so that a table over accumulators can follow it.
    """

    name: str
    evaluate: Function
    twin: AnyTwin | None
    onnx: tuple[Spelling, ...]
    numbers: tuple[str, ...] = ()
    plain: bool = True
    clamp: Callable[..., tuple[float, float]] | None = None
    grid: tuple[float, int, str] | None = None
    domain: Callable[..., tuple[float, float]] | None = None
    ends: bool = True

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.numbers)})" if self.numbers else self.name
