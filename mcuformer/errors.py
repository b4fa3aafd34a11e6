"""Every error that a user can meet: one clear message, a hint, the exit code of the contract; and doubts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """What a user should know and that stops nothing: a doubt, a reason.

    `where`: a layer, an ONNX node, or the dotted path of a field of report.json.
    """

    severity: Literal["info", "warning", "error"]
    code: str
    where: str | None
    message: str
    hint: str | None = None


class McuformerError(Exception):
    """What went wrong, where, and what to do about it.

    `exit_code` follows the contract: 1 bug, 2 usage, 3 unsupported model, 4 does not fit,
    5 validation failed, 6 tool missing, 7 flashing failed.
    """

    exit_code = 1
    json_printed = False  # a command has printed its own JSON document already
    report: dict[str, Any] | None = None  # report.json of a model that does not fit
    diagnostics: Sequence[Diagnostic] = ()  # what had been found before; its warnings are shown

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class UsageError(McuformerError):
    """A wrong flag, a missing or malformed file, data of the wrong shape."""

    exit_code = 2


class UnsupportedModelError(McuformerError):
    """The model is broken, hostile, or holds operators that the compiler does not handle."""

    exit_code = 3


class OutOfRangeError(UnsupportedModelError):
    """Weights or measured values that are too large or too small for the integers of a kernel."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(
            f"{where}: {what}",
            "its weights or the calibration data are far from those of a trained network: "
            "look for numbers beyond 1e6 around this layer",
        )


class DoesNotFitError(McuformerError):
    """The plan exceeds a memory region or a limit that the user gave.

    `needs`: bytes, or instructions, that it takes; of several programs the one with most is told.
    """

    exit_code = 4

    def __init__(self, message: str, hint: str | None = None, needs: int = 0) -> None:
        super().__init__(message, hint)
        self.needs = needs


class ValidationError(McuformerError):
    """A result differs from its reference."""

    exit_code = 5


class ToolMissingError(McuformerError):
    """A compiler, an emulator or a Python extra is not installed."""

    exit_code = 6


class ToolFailedError(ToolMissingError):
    """A compiler is there, and does not do what it should.

    `complains`: it says that its input is wrong, which may be so (targets/blame.py).
    """

    complains = False


class FlashError(McuformerError):
    """The probe or its software failed."""

    exit_code = 7


class Interrupted(McuformerError):
    """Ctrl-C, in a command that can be continued: the hint says how."""

    exit_code = 130
