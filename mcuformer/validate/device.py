"""What runs the samples: an emulator, or a board on a serial port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mcuformer.execution import Executor
from mcuformer.package import CompiledPackage
from mcuformer.validate.run import Device


@contextmanager
def make_device(
    package: CompiledPackage, emulator: str, target: str | None
) -> Iterator[Device]:
    """A function from device integers to output bytes; ValidationError when a board fails."""

    with Executor(package, emulator) as executor:
        yield lambda inputs: [i.output for i in executor.run(inputs).inferences]
