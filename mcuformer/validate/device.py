"""What runs the samples: an emulator, or a board on a serial port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mcuformer.errors import UsageError
from mcuformer.execution import Executor
from mcuformer.package import CompiledPackage
from mcuformer.validate.run import Device


@contextmanager
def make_device(package: CompiledPackage, emulator: str, target: str | None) -> Iterator[Device]:
    """A function from input bytes to output bytes, per sample; ValidationError when a board fails."""

    if target is not None:
        from mcuformer.targets import serial_device

        uart = package.board.uart
        if uart is None:
            raise UsageError(f"{package.board.name} has no serial port")
        baud, key = uart.baud, package.graph.meta["model_id"]

        def on_board(images: Sequence[bytes]) -> list[bytes]:
            result = serial_device.run(target, baud, images, model_id=key)
            return [i.output for i in result.inferences]

        yield on_board
        return
    with Executor(package, emulator) as executor:
        yield lambda images: [i.output for i in executor.run(images).inferences]
