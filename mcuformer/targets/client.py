"""The host's end of the UART protocol, over any byte stream: a serial port, a pty, an emulator."""

from __future__ import annotations

import secrets
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from mcuformer.targets import frames
from mcuformer.targets.faults import FirmwareError
from mcuformer.targets.frames import Frame, Parser, encode
from mcuformer.targets.written import Written

PROTOCOL_VERSION, LINES_VERSION = 2, 3  # 3: of a model whose outputs leave by lines
_INFO = struct.Struct("<6I3HBB16s40s")
_DONE = struct.Struct("<iQQ")
INPUT_LOST, OUTPUT_LOST = -1, -3
_REASONS: Mapping[int, str] = {
    INPUT_LOST: "the device did not get its input",
    OUTPUT_LOST: "the device could not send its lines",
}
_COUNT = struct.Struct("<I")
_PAUSE_S = 0.1
_MOST_BYTES = 1 << 28  # of anything that a device tells of itself: 256 MiB
_MOST_TENSORS = 4096
_MOST_READ = 100  # questions for 32 bytes: a bad line asks often, and bands are read again
_MOST_NOISE = 20  # times a time limit, of bytes that may hold the answer
INPUT_MODES = ("resident", "bands", "flash")


class Port(Protocol):
    """Bytes both ways. `read` returns what has come, or b"" after `timeout_s` without any.

    `seconds` is the port's clock: an emulator's differs from the wall's.
    """

    def write(self, data: bytes) -> object: ...
    def read(self, timeout_s: float) -> bytes: ...
    def seconds(self) -> float: ...


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """`inputs` and `outputs` are bytes of each; the lines are those of input 0. `leaving`: which outputs
    the device sends while it computes, by lines."""

    name: str
    model_id: str  # hex
    input_mode: str
    line_bytes: int
    lines: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    arena_bytes: int
    layers: int
    profiled: bool
    cycles_hz: int
    leaving: tuple[bool, ...] = ()

    @property
    def input_bytes(self) -> int:
        """Of one inference: all inputs, one behind the other."""
        return sum(self.inputs)

    @property
    def output_bytes(self) -> int:
        return sum(self.outputs)


@dataclass(frozen=True, slots=True)
class DeviceRun:
    """`output`: all outputs, one behind the other.

    `cycles` of invoke without input and counting; `io_cycles` of fetching lines in it.
    """

    output: bytes
    cycles: int
    io_cycles: int
    layers: tuple[int, ...] | None


def _forged(what: str) -> FirmwareError:
    """Right checksums around what no firmware of ours says."""
    return FirmwareError(
        f"the device sends what no firmware of mcuformer sends: {what}",
        "is it the right port? mcuformer monitor PORT shows what comes; flash the package again",
    )


def _unpacked(fields: struct.Struct, frame: Frame) -> tuple:
    if len(frame.body) != fields.size:
        raise _forged(f"{len(frame.body)} B where {fields.size} belong (frame {frame.type:#04x})")
    return fields.unpack(frame.body)


class Client:
    """Stop and wait: every request is repeated until its answer comes unharmed."""

    def __init__(
        self, port: Port, *, answer_s: float = 0.5, tries: int = 20, compute_s: float = 300.0
    ) -> None:
        self.port, self.answer_s, self.tries, self.compute_s = port, answer_s, tries, compute_s
        self.parser = Parser()
        self.sequence = secrets.randbelow(256)
        self.run_number = secrets.randbelow(1 << 31) + 1
        self.repeats = 0
        self.lines: list[str] = []

    def info(self) -> DeviceInfo:
        """What the device runs; FirmwareError where it speaks another version of the protocol."""
        answer = self._ask(frames.INFO, 0)
        if answer.argument not in (PROTOCOL_VERSION, LINES_VERSION):
            raise FirmwareError(
                f"the device speaks protocol {answer.argument}, this mcuformer {PROTOCOL_VERSION}: "
                "flash the firmware of this package (mcuformer flash DIR)"
            )
        (
            arena, hz, input_bytes, output_bytes, line, lines, inputs, outputs, layers, mode, profiled,
            key, name,
        ) = _unpacked(_INFO, answer)  # fmt: skip
        tensors = inputs + outputs
        if mode >= len(INPUT_MODES) or not (inputs and outputs) or tensors > _MOST_TENSORS:
            raise _forged(f"input mode {mode}, {inputs} inputs, {outputs} outputs")
        if max(arena, input_bytes, output_bytes, line * lines, 4 * layers) > _MOST_BYTES:
            raise _forged(f"sizes beyond {_MOST_BYTES:,} B")
        numbers = tensors + outputs * (answer.argument == LINES_VERSION)
        sizes: tuple[int, ...] = struct.unpack(
            f"<{numbers}I", self._fetch(frames.TENSORS, 4 * numbers)
        )
        info = DeviceInfo(
            name.rstrip(b"\0").decode("ascii", "replace"), key.hex(), INPUT_MODES[mode], line, lines,
            sizes[:inputs], sizes[inputs:tensors], arena, layers, bool(profiled), hz,
            tuple(size > 0 for size in sizes[tensors:]) or (False,) * outputs,
        )  # fmt: skip
        if (info.input_bytes, info.output_bytes) != (input_bytes, output_bytes):
            raise FirmwareError("the device contradicts itself about the sizes of its tensors")
        return info

    def choose(self, variant: int | None) -> None:
        """Which of several programs the next runs are of; None leaves it. FirmwareError where the
        device has no such one."""
        if variant is not None:
            self._ask(frames.VARIANT, variant)

    def run(self, info: DeviceInfo, image: bytes) -> DeviceRun:
        """One inference; `image` is what the device may ask for: all inputs, one behind the other.

        In input mode flash input 0 lies on the device and is not asked for.
        """
        self.run_number = self.run_number % 0xFFFFFFFF + 1
        written = Written(bytearray(info.output_bytes))
        done = self._run(image, written)
        status, cycles, io_cycles = _unpacked(_DONE, done)
        if status:
            why = _REASONS.get(status, "invoke failed")
            raise FirmwareError(f"{why} (status {status})")
        layers = None
        if info.profiled:
            layers = struct.unpack(f"<{info.layers}I", self._fetch(frames.LAYERS, 4 * info.layers))
        return DeviceRun(self._output(info, written), cycles, io_cycles, layers)

    def _output(self, info: DeviceInfo, written: Written) -> bytes:
        """All outputs: what the device has written on its way, and what lies in its arena."""
        at, parts = 0, []
        for size, leaves in zip(info.outputs, info.leaving, strict=True):
            part = written.whole(at, size) if leaves else self._fetch(frames.OUTPUT, size, at)
            if part is None:
                raise FirmwareError("the device has not sent every line of its outputs")
            parts.append(part)
            at += size
        return b"".join(parts)

    def quit(self, status: int = 0) -> None:
        """The firmware prints `@exit <status>` and sleeps until a reset."""
        for _ in range(self.tries):
            self._send(Frame(frames.QUIT, self._next_sequence(), status))
            for _ in self._frames(self.answer_s):
                pass
            if any(line.startswith("@exit") for line in self.lines):
                return

    def _run(self, image: bytes, written: Written) -> Frame:
        """Answer the device's requests until it reports this run as done."""
        request = Frame(frames.RUN, self._next_sequence(), self.run_number)
        self._send(request)
        most = len(image) + len(written.data)
        last_heard, left = self.port.seconds(), _MOST_READ * (most // 32 + 64)
        while self.port.seconds() - last_heard < self.compute_s:
            heard = False
            for frame in self._frames(2 * self.answer_s):
                if frame.type in (frames.READ, frames.WRITE):
                    heard = True
                    if frame.type == frames.READ:
                        self._supply(frame, image)
                    else:
                        self._take(frame, written)
                    left -= 1
                    if left < 0:
                        raise _forged("questions for its input, or lines, without end")
                elif frame.type == frames.DONE and frame.argument == self.run_number:
                    return frame
            if heard:
                last_heard = self.port.seconds()
            else:
                self.repeats += 1
                self._send(request)  # a lost request or a lost answer; else the device ignores it
        raise FirmwareError(f"the device has said nothing for {self.compute_s:.0f} s")

    def _supply(self, request: Frame, image: bytes) -> None:
        (count,) = _unpacked(_COUNT, request)
        if count > frames.MAX_BODY or request.argument + count > len(image):
            raise _forged(f"a question for {count:,} B of its input from {request.argument:,} on")
        data = image[request.argument : request.argument + count]
        self._send(Frame(frames.DATA, request.sequence, request.argument, data))

    def _take(self, told: Frame, written: Written) -> None:
        if not written.put(told.argument, told.body):
            raise _forged(f"{len(told.body):,} B of its outputs from {told.argument:,} on")
        self._send(Frame(frames.TAKEN, told.sequence, told.argument))

    def _fetch(self, kind: int, size_bytes: int, first: int = 0) -> bytes:
        result = b""
        while len(result) < size_bytes:
            part = self._ask(kind, first + len(result)).body
            if not 0 < len(part) <= size_bytes - len(result):
                raise _forged(f"{len(part):,} of {size_bytes - len(result):,} B still to come")
            result += part
        return result

    def _ask(self, kind: int, argument: int) -> Frame:
        for _ in range(self.tries):
            request = Frame(kind, self._next_sequence(), argument)
            self._send(request)
            for frame in self._frames(self.answer_s):
                if frame.sequence != request.sequence:
                    continue
                if frame.type == kind | frames.ANSWER:
                    return frame
                if frame.type == frames.REFUSED:
                    raise FirmwareError(
                        f"the device refuses request {kind} with argument {argument}"
                    )
            self.repeats += 1
        raise FirmwareError(f"the device does not answer ({self.tries} tries)")

    def _frames(self, timeout_s: float) -> Iterator[Frame]:
        """Frames as they come, until nothing has come for `timeout_s`; noise without end ends too.

        A frame comes in one piece: after a short pause inside one, its end is not waited for.
        """
        until = self.port.seconds() + timeout_s
        last = until + _MOST_NOISE * timeout_s
        while self.port.seconds() < last and (left := until - self.port.seconds()) > 0:
            data = self.port.read(min(left, _PAUSE_S) if self.parser.pending else left)
            if data:
                until = self.port.seconds() + timeout_s
                yield from self._note(self.parser.feed(data))
            elif self.parser.pending:
                yield from self._note(self.parser.silence())
            else:
                return

    def _note(self, found: Iterator[Frame]) -> Iterator[Frame]:
        yield from found
        for line in self.parser.lines():
            self.lines.append(line)
            if line.startswith("@error"):
                raise FirmwareError(f"the firmware reports: {line.removeprefix('@error').strip()}")

    def _send(self, frame: Frame) -> None:
        self.port.write(encode(frame))

    def _next_sequence(self) -> int:
        self.sequence = (self.sequence + 1) & 0xFF
        return self.sequence


@dataclass(slots=True)
class StreamPort:
    """A Port over blocking read and write functions, on the wall's clock."""

    read_some: Callable[[float], bytes]
    write_all: Callable[[bytes], object]

    def write(self, data: bytes) -> object:
        return self.write_all(data)

    def read(self, timeout_s: float) -> bytes:
        return self.read_some(timeout_s)

    def seconds(self) -> float:
        return time.monotonic()
