"""What runs the samples: an emulator, or a board on a serial port."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mcuformer.errors import UsageError
from mcuformer.package.compiled import CompiledPackage
from mcuformer.package.execution import Executor
from mcuformer.targets.result import Inference
from mcuformer.validate.run import Device


@dataclass(frozen=True, slots=True)
class Tracer:
    """`run` brings inferences with their traces; None, and `why`, where layers cannot be seen."""

    run: Callable[[Sequence[bytes]], Sequence[Inference]] | None
    why: str = ""


@contextmanager
def make_device(
    package: CompiledPackage, emulator: str, target: str | None, timeout_s: float | None = None
) -> Iterator[Device]:
    """A function from input bytes to output bytes, per sample; ValidationError when a board fails.

    `timeout_s`: of a run of an emulator, of a board's silence.
    """

    if target is not None:
        from mcuformer.targets import serial_device

        uart = package.board.uart
        if uart is None:
            raise UsageError(f"{package.board.name} has no serial port")
        baud, key = uart.baud, package.graph.meta["model_id"]

        def on_board(images: Sequence[bytes]) -> list[bytes]:
            result = serial_device.run(
                target, baud, images, model_id=key, timeout_s=timeout_s, variant=package.variant
            )
            return [package.own_output(i.output) for i in result.inferences]

        yield on_board
        return
    with Executor(package, emulator, timeout_s=timeout_s) as executor:
        yield lambda images: [i.output for i in executor.run(images).inferences]


@contextmanager
def make_tracer(
    package: CompiledPackage, emulator: str, target: str | None, timeout_s: float | None = None
) -> Iterator[Tracer]:
    """What shows the layers of the very thing that `make_device` runs, never of another one."""
    if target is not None:
        yield Tracer(None, f"the board at {target} does not show its layers; an emulator does")
    elif emulator == "renode":
        yield Tracer(None, "Renode does not show layers; unicorn, qemu and host do")
    else:
        with Executor(package, emulator, trace=True, timeout_s=timeout_s) as executor:
            yield Tracer(lambda images: executor.run(images).inferences)
