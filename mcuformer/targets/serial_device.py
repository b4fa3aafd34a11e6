"""A board on a serial port: runs inferences over the UART protocol, and listens."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import serial

from mcuformer.errors import UsageError, ValidationError
from mcuformer.targets import frames
from mcuformer.targets.client import Client, StreamPort
from mcuformer.targets.frames import Frame, Parser
from mcuformer.targets.result import Inference, RunResult

_WHY = "RAM cannot be painted over the UART; Unicorn measures it"
_COMPUTE_S = 300.0  # of silence while the device computes
_NAMES: Mapping[int, str] = {
    frames.INFO: "INFO?", frames.RUN: "RUN", frames.DATA: "DATA", frames.OUTPUT: "OUTPUT?",
    frames.LAYERS: "LAYERS?", frames.TENSORS: "TENSORS?", frames.QUIT: "QUIT",
    frames.INFO | 0x80: "INFO", frames.DONE: "DONE",
    frames.WRITE: "WRITE", frames.TAKEN: "TAKEN",
    frames.READ: "READ", frames.OUTPUT | 0x80: "OUTPUT", frames.LAYERS | 0x80: "LAYERS",
    frames.TENSORS | 0x80: "TENSORS", frames.VARIANT: "VARIANT?", frames.VARIANT | 0x80: "VARIANT",
    frames.REFUSED: "REFUSED",
}  # fmt: skip


def run(
    port: str,
    baud: int,
    inputs: Sequence[bytes],
    *,
    model_id: str | None = None,
    progress: Callable[[int], None] = lambda done: None,
    timeout_s: float | None = None,
    variant: int | None = None,
) -> RunResult:
    """Run inputs on the device at `port`; the counts are cycles of its DWT counter.

    Each of `inputs` is what one inference reads, all inputs of the model one behind the other.

    ValidationError when the device holds another model than `model_id` (hex).
    """
    with open_port(port, baud) as line:
        client = Client(stream_port(line), compute_s=timeout_s or _COMPUTE_S)
        info = client.info()
        if model_id is not None and info.model_id != model_id:
            raise ValidationError(
                f"the device at {port} runs model {info.model_id[:12]} ({info.name}), "
                f"not {model_id[:12]}",
                "flash it first: mcuformer flash DIR",
            )
        if info.input_mode == "flash":
            raise UsageError("the model reads its image from flash, which the UART cannot write")
        if inputs and len(inputs[0]) != info.input_bytes:
            raise UsageError(
                f"an input has {len(inputs[0]):,} B, the device takes {info.input_bytes:,} B"
            )
        client.choose(variant)
        results = []
        for image in inputs:
            done = client.run(info, image)
            results.append(Inference(done.output, done.cycles, done.io_cycles, done.layers))
            progress(len(results))
    why = dict.fromkeys(("sram_high_water_bytes", "stack_high_water_bytes"), _WHY)
    return RunResult(port, tuple(results), why=why)


def monitor(port: str, baud: int, show: Callable[[str], None], *, ask_info: bool = True) -> None:
    """Show every line of text and every frame that the device sends, until interrupted."""
    parser = Parser()
    with open_port(port, baud) as line:
        stream = stream_port(line)
        if ask_info:
            stream.write(frames.encode(Frame(frames.INFO, 0, 0)))
        while True:
            data = stream.read(0.2)
            found = list(parser.feed(data) if data else parser.silence())
            for text in parser.lines():
                if text:
                    show(text)
            for frame in found:
                show(describe(frame))


def describe(frame: Frame) -> str:
    """'[READ 12: argument 1024, 4 B: 00040000]'"""
    name = _NAMES.get(frame.type, f"0x{frame.type:02x}")
    body = f", {len(frame.body)} B: {frame.body[:16].hex()}" if frame.body else ""
    return f"[{name} {frame.sequence}: argument {frame.argument}{body}]"


@contextmanager
def open_port(port: str, baud: int) -> Iterator[serial.Serial]:
    try:
        line = serial.serial_for_url(port, baudrate=baud, timeout=0.2, exclusive=True)
    except (serial.SerialException, ValueError, OSError) as error:
        number = getattr(
            error, "errno", None
        )  # pyserial's own words hold Python's of the same thing
        why = os.strerror(number) if number else f"it is no serial port ({error})"
        hint = "ls /dev/ttyACM* /dev/ttyUSB* lists the boards that are connected"
        raise UsageError(f"serial port {port} cannot be opened: {why}", hint) from None
    with line:
        line.reset_input_buffer()
        try:
            yield line
        except serial.SerialException as error:
            raise ValidationError(f"serial port {port} failed: {error}") from None


def stream_port(line: serial.Serial) -> StreamPort:
    def read_some(timeout_s: float) -> bytes:
        line.timeout = timeout_s
        first: bytes = line.read(1)
        return first + line.read(line.in_waiting) if first else b""

    return StreamPort(read_some, line.write)
