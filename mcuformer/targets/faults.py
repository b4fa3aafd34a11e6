"""What a firmware can do wrong while it runs."""

from __future__ import annotations

from mcuformer.errors import ValidationError


class FirmwareError(ValidationError):
    """The firmware stopped, complained or broke a rule of its chip."""


class StackError(FirmwareError):
    """The firmware wants more stack than the board file reserves."""
