"""What runs the samples: an emulator, or a board on a serial port."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from numpy.typing import NDArray

from mcuformer.errors import UsageError
from mcuformer.execution import Executor
from mcuformer.package import CompiledPackage
from mcuformer.targets.result import Inference
from mcuformer.validate.run import Device


@dataclass(frozen=True, slots=True)
class Tracer:
    """`run` brings inferences with their traces; None, and `why`, where layers cannot be seen."""

    run: Callable[[Sequence[NDArray]], Sequence[Inference]] | None
    why: str = ""


@contextmanager
def make_device(package: CompiledPackage, emulator: str, target: str | None) -> Iterator[Device]:
    """A function from device integers to output bytes; ValidationError when a board fails."""

    if target is not None:
        from mcuformer.targets import serial_device

        uart = package.board.uart
        if uart is None:
            raise UsageError(f"{package.board.name} has no serial port")
        baud, key = uart.baud, package.graph.meta["model_id"]

        def on_board(inputs: Sequence[NDArray]) -> list[bytes]:
            images = [x.tobytes() for x in inputs]
            result = serial_device.run(target, baud, images, model_id=key)
            return [i.output for i in result.inferences]

        yield on_board
        return
    with Executor(package, emulator) as executor:
        yield lambda inputs: [i.output for i in executor.run(inputs).inferences]


@contextmanager
def make_tracer(package: CompiledPackage, emulator: str, target: str | None) -> Iterator[Tracer]:
    """What shows the layers of the very thing that `make_device` runs, never of another one."""
    if target is not None:
        yield Tracer(None, f"the board at {target} does not show its layers; an emulator does")
    elif emulator == "renode":
        yield Tracer(None, "Renode does not show layers; unicorn, qemu and host do")
    else:
        with Executor(package, emulator, trace=True) as executor:
            yield Tracer(lambda inputs: executor.run(inputs).inferences)
