"""What a user may ask of a compilation, checked and ready for the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from mcuformer.compile.localised import Localisation
    from mcuformer.targets.board import WantedFlash

Optimize = Literal["balanced", "ram", "speed"]
InputMode = Literal["resident", "bands", "flash"]
OutputMode = Literal["resident", "lines"]
AdapterMode = Literal["fold", "runtime"]


@dataclass(frozen=True, slots=True)
class Point:
    """The file of a width or a task, and what it is called. `calibration`: the task's own samples."""

    label: str
    model: Path
    calibration: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileOptions:
    """`calibration_method` None is the default of quant; sizes in bytes; None is no limit.

    `check`: run what was emitted. `accept_sqnr`: least dB of the outputs against the ONNX file.
    `name` is the prefix of all names in C, None: the model file's. `points`: several widths over one
    set of weights, `model` the full one of them; or tasks of one network, where `adapter_mode` says how. `onto`:
    a package whose tasks and network stay as they are, and to which `points` adds one.
    `localisation`: the heads that see near patches alone.
    """

    model: Path
    board: str
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    calibration: Path | None = None
    calibration_method: Literal["minmax", "percentile", "mse"] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    optimize: Optimize = "balanced"
    input_mode: InputMode = "resident"
    output_mode: OutputMode = "resident"
    weights: WantedFlash = "auto"
    weight_bits: Literal["4", "8", "auto"] = "8"
    activations: Literal["8", "auto", "16"] = "8"
    ram: int | None = None
    flash: int | None = None
    max_instructions: int | None = None
    check: bool = True
    accept_sqnr: float = 10.0
    name: str | None = None
    emit_only: bool = False
    save_temps: bool = False
    points: tuple[Point, ...] = ()
    adapter_mode: AdapterMode | None = None
    onto: Path | None = None
    localisation: Localisation | None = None

    @property
    def kind(self) -> Literal["width", "task"]:
        """What `points` are."""
        return "task" if self.adapter_mode else "width"

    @property
    def runtime_adapters(self) -> bool:
        return self.adapter_mode == "runtime"

    def for_report(self) -> dict[str, Any]:
        """The options as JSON, without paths of the model and the board (they stand elsewhere)."""
        names = (
            "calibration_method",
            "optimize",
            "input_mode",
            "output_mode",
            "weights",
            "weight_bits",
            "activations",
            "ram",
            "flash",
            "max_instructions",
            "accept_sqnr",
            "name",
        )
        return (
            {name: getattr(self, name) for name in names}
            | {
                "calibration": str(self.calibration) if self.calibration else None,
                "mean": list(self.mean) if self.mean else None,
                "std": list(self.std) if self.std else None,
                "input_shapes": {k: list(v) for k, v in self.input_shapes.items()},
            }
            | self._points_for_report()
        )

    def _points_for_report(self) -> dict[str, Any]:
        labels = [p.label for p in self.points]
        if self.adapter_mode:
            return {"adapters": labels, "adapter_mode": self.adapter_mode}
        return {"operating_points": labels} if labels else {}
