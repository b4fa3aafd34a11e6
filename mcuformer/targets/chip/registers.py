"""A peripheral as a bank of 32-bit registers."""

from __future__ import annotations


class Peripheral:
    """Registers that keep what was written; subclasses give some of them a life of their own."""

    def __init__(self, reset: dict[int, int] | None = None) -> None:
        self.values: dict[int, int] = dict(reset or {})

    def read(self, offset: int) -> int:
        return self.values.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        self.values[offset] = value


def mirrored(value: int, pairs: dict[int, int]) -> int:
    """`value` with each ready bit equal to its enable bit: {enable bit: ready bit}."""
    for enable, ready in pairs.items():
        value = value & ~(1 << ready) | (value >> enable & 1) << ready
    return value
