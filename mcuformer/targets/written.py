"""Bytes of the outputs that a device sends while it computes."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Written:
    """`data`: bytes of all outputs, one behind the other; `came`: of which of them, 1 each."""

    data: bytearray
    came: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.came = bytearray(len(self.data))

    def put(self, at: int, part: bytes) -> bool:
        """Bytes from `at` on, perhaps once more; False where there is no room for them."""
        end = at + len(part)
        if end > len(self.data):
            return False
        self.data[at:end] = part
        self.came[at:end] = bytes([1]) * len(part)
        return True

    def whole(self, at: int, size: int) -> bytes | None:
        """`size` bytes from `at` on; None where one has not come."""
        return bytes(self.data[at : at + size]) if all(self.came[at : at + size]) else None
