"""Frames on the UART (docs/uart.md): C5 4D, type, sequence, length, argument and body, CRC-32."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

SYNC = b"\xc5\x4d"
MAX_BODY = 1024
INFO, RUN, DATA, OUTPUT, LAYERS, QUIT, TENSORS, TAKEN, VARIANT = 1, 2, 3, 4, 5, 6, 7, 8, 9
ANSWER = 0x80  # the bit that makes a request's type its answer's
DONE, READ, WRITE, REFUSED = RUN | ANSWER, DATA | ANSWER, TAKEN | ANSWER, 0x8F
_HEAD = struct.Struct("<BBHI")  # type, sequence, length of argument and body, argument
_OVERHEAD = len(SYNC) + _HEAD.size + 4


@dataclass(frozen=True, slots=True)
class Frame:
    type: int
    sequence: int
    argument: int
    body: bytes = b""


def encode(frame: Frame) -> bytes:
    head = _HEAD.pack(frame.type, frame.sequence & 0xFF, len(frame.body) + 4, frame.argument)
    covered = head + frame.body
    return SYNC + covered + struct.pack("<I", zlib.crc32(covered))


class Parser:
    """Splits what a device sends into frames and lines of text; damaged frames vanish."""

    def __init__(self) -> None:
        self.pending = bytearray()
        self.text = bytearray()
        self.damaged = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        self.pending += data
        while (frame := self._next()) is not None:
            yield frame

    def silence(self) -> Iterator[Frame]:
        """Nothing more comes: what waits for its end will not get it, but may hide a frame."""
        while self.pending:
            self._skip(1)
            yield from self.feed(b"")

    def lines(self) -> Iterator[str]:
        """Complete lines of text that came between frames."""
        *lines, rest = self.text.split(b"\n")
        self.text = rest
        for line in lines:
            yield line.decode("ascii", "replace").strip()

    def _next(self) -> Frame | None:
        while self.pending:
            at = self.pending.find(SYNC)
            if at < 0:
                keep = 1 if self.pending.endswith(SYNC[:1]) else 0
                self._skip(len(self.pending) - keep)
                return None
            self._skip(at)
            if len(self.pending) < len(SYNC) + _HEAD.size:
                return None
            kind, sequence, length, argument = _HEAD.unpack_from(self.pending, len(SYNC))
            total = _OVERHEAD + length - 4
            if 4 <= length <= MAX_BODY + 4:
                if len(self.pending) < total:
                    return None
                covered = bytes(self.pending[len(SYNC) : total - 4])
                (sent,) = struct.unpack_from("<I", self.pending, total - 4)
                if sent == zlib.crc32(covered):
                    del self.pending[:total]
                    return Frame(kind, sequence, argument, covered[_HEAD.size :])
            self.damaged += 1
            self._skip(1)
        return None

    def _skip(self, count: int) -> None:
        self.text += self.pending[:count]
        del self.pending[:count]
