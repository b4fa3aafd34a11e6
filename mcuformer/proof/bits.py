"""Whether the emitted code computes the interpreter's bytes, and which layer is the first that does not."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence

import numpy as np

from mcuformer.errors import DoesNotFitError, McuformerError, ToolMissingError, ValidationError
from mcuformer.ir.graph import Graph
from mcuformer.package.compiled import ELF, CompiledPackage
from mcuformer.package.execution import Executor
from mcuformer.targets.faults import FirmwareError, StackError
from mcuformer.targets.limits import EndlessError
from mcuformer.targets.qemu_runner import qemu_command
from mcuformer.targets.toolchain import find_toolchain
from mcuformer.util.names import printable
from mcuformer.validate.per_layer import InterpreterValues, traced_equal

_HINT = (
    "this is a bug in mcuformer or in a compiler: no package was written; please report the model"
)


def emulator_for(package: CompiledPackage) -> str | None:
    """Unicorn where it is installed and there is a firmware; QEMU for the library of a board that has
    none, whose assembly the host does not run; else the host where a compiler is."""
    offered = package.board.runners.emulators
    firmware = (package.directory / ELF).is_file()
    if firmware and "unicorn" in offered and importlib.util.find_spec("unicorn"):
        return "unicorn"
    if "qemu" in offered and not package.board.has_firmware and _has_qemu():
        return "qemu"
    compiler = any(shutil.which(name) for name in ("cc", "gcc", "clang"))
    return "host" if compiler and "host" in offered else None


def _has_qemu() -> bool:
    try:
        return bool(qemu_command() and find_toolchain())
    except ToolMissingError:
        return False


def compare_bits(
    package: CompiledPackage,
    emulator: str,
    images: Sequence[bytes],
    expected: Sequence[InterpreterValues],
) -> None:
    """ValidationError unless every output byte of every sample is the interpreter's; DoesNotFitError
    where the board file reserves too little stack for it.

    `images` are whole inputs as runners take them, `expected` the interpreter's values for each.
    """
    try:
        with Executor(package, emulator) as executor:
            outputs = [i.output for i in executor.run(images).inferences]
    except (ToolMissingError, EndlessError):  # a trace would not end either
        raise
    except StackError as error:  # the code is right, the board file is not
        raise DoesNotFitError(error.message, error.hint) from error
    except FirmwareError as error:
        raise _differs(package, emulator, images[0], expected[0], error.message) from error
    for image, values, got in zip(images, expected, outputs, strict=True):
        wanted = [np.ascontiguousarray(values[n]).tobytes() for n in package.graph.outputs]
        if got != b"".join(wanted):
            value, what = _first_output(package.graph, wanted, got)
            raise _differs(package, emulator, image, values, what, value)


def _first_output(graph: Graph, wanted: Sequence[bytes], got: bytes) -> tuple[str, str]:
    """The value of the first output that is wrong, and what is wrong with it."""
    at = 0
    for name, data in zip(graph.outputs, wanted, strict=True):
        if at + len(data) > len(got):
            return name, f"output {printable(name)} is missing"
        if got[at : at + len(data)] != data:
            return name, f"output {printable(name)} differs"
        at += len(data)
    return graph.outputs[-1], f"{len(got) - at} bytes more than all outputs have come out"


def _differs(
    package: CompiledPackage, emulator: str, image: bytes, values: InterpreterValues, what: str,
    output: str | None = None,
) -> ValidationError:  # fmt: skip
    layer = _first_layer(package, emulator, image, values)
    maker = package.graph.producers().get(str(output))
    if layer is not None:
        where = f"layer {printable(layer)} is the first that differs"
    elif maker is not None:
        where = f"layer {printable(maker.name)} computes it rightly, and it is lost behind that"
    else:
        where = "no layer differs"
    return ValidationError(
        f"the emitted code does not compute in {emulator} what the interpreter does: {what}; {where}",
        _HINT,
    )


def _first_layer(
    package: CompiledPackage, emulator: str, image: bytes, values: InterpreterValues
) -> str | None:
    """By a build that shows every layer's rows; on the host where the emulator breaks off."""
    for runner in dict.fromkeys((emulator, "host")):
        try:
            with Executor(package, runner, trace=True) as executor:
                trace = executor.run([image]).inferences[0].trace or {}
        except McuformerError:
            continue
        equal = traced_equal(package.graph.meta["traces"], trace, values)
        for op in package.graph.ops:
            if equal.get(op.outputs[0]) is False:
                return op.name
    return None
