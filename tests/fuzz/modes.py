"""How a drawn model is to be compiled."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from fuzz.choices import Choices
from mcuformer.compile.options import CompileOptions, InputMode, Optimize, OutputMode

ACTIVATIONS = ("8", "auto", "16")
WEIGHT_BITS = ("8", "4", "auto")
BOARDS = ("stm32f746", "stm32f429")  # a Cortex-M7 and a Cortex-M4
METHODS = ("mse", "minmax", "percentile")


@dataclass(frozen=True, slots=True)
class Modes:
    """`optimize` and the others as the options of `compile` have them."""

    optimize: str = "balanced"
    input_mode: str = "resident"
    activations: str = "8"
    weight_bits: str = "8"
    board: str = "stm32f746"
    calibration_method: str = "mse"
    output_mode: str = "resident"

    def options(self, model: Path, data: Path) -> CompileOptions:
        return CompileOptions(model=model, calibration=data, **asdict(self))

    def labels(self) -> list[str]:
        return [f"{name} {value}" for name, value in asdict(self).items()]


def draw_modes(choices: Choices) -> Modes:
    """8 bits in half of all draws."""
    return Modes(
        choices.one_of(get_args(Optimize)),
        choices.one_of(get_args(InputMode)),
        choices.one_of(("8", *ACTIVATIONS)),
        choices.one_of(("8", *WEIGHT_BITS)),
        choices.one_of(BOARDS),
        choices.one_of(METHODS),
        choices.one_of(get_args(OutputMode)),
    )


def all_labels() -> list[str]:
    """Of every mode, whether it was drawn or not."""
    known = {
        "optimize": get_args(Optimize), "input_mode": get_args(InputMode),
        "activations": ACTIVATIONS, "weight_bits": WEIGHT_BITS, "board": BOARDS,
        "calibration_method": METHODS, "output_mode": get_args(OutputMode),
    }  # fmt: skip
    return [f"{name} {value}" for name, values in known.items() for value in values]
