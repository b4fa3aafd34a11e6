"""What `assign` decides, and the inputs that it is told about: plain records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph
from mcuformer.ir.types import QParams
from mcuformer.quant.attention_scales import Magnitudes
from mcuformer.quant.policy import Policy


@dataclass(frozen=True, slots=True)
class InputFormat:
    """Raw uint8 pixels, real = (pixel / 255 - mean) / std per channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def pair(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and std."""
        return self.mean, self.std

    def qparams(self) -> QParams:
        std = np.asarray(self.std, np.float64)
        return QParams(1.0 / (255.0 * std), 255.0 * np.asarray(self.mean, np.float64))


Formats = InputFormat | Sequence[InputFormat | None] | None
"""Of the only input, or per input; None: quantised as the ONNX input itself."""


@dataclass(slots=True)
class Assignment:
    """`qparams`, `dtypes` per activation; `multiples` a[C] of streams; `ratios`, `limits` per attention.

    Policies, types and limits follow from structure (`typed`), the rest from statistics (`assign`).
    """

    policies: Mapping[str, Policy]
    qparams: dict[str, QParams] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    multiples: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    ratios: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    limits: dict[str, Magnitudes] = field(default_factory=dict)


def per_input(graph: Graph, formats: Formats) -> tuple[InputFormat | None, ...]:
    """One entry per input of the graph."""
    given = (formats,) if isinstance(formats, InputFormat) else tuple(formats or ())
    return (*given, *[None] * (len(graph.inputs) - len(given)))
