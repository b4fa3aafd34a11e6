"""Builds what an emulator needs of a package directory, and runs it there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mcuformer.errors import UsageError
from mcuformer.targets.board import Board
from mcuformer.targets.result import RunResult


def run_package(
    directory: Path,
    board: Board,
    emulator: str,
    inputs: Sequence[bytes],
    *,
    trace: bool = False,
    sanitize: bool = False,
    build: Path | None = None,
) -> RunResult:
    """`emulator`: unicorn, qemu, renode or host. Objects and programs lie in `build` (DIR/build).

    `sanitize` (host only): address and undefined-behaviour sanitizers.
    """
    if emulator not in board.runners.emulators:
        raise UsageError(
            f"{board.name} does not run in {emulator}",
            f"it runs in {', '.join(board.runners.emulators)}",
        )
    if emulator == "host":
        from mcuformer.targets import host_runner

        program = host_runner.build_host(directory, trace=trace, sanitize=sanitize, build=build)
        return host_runner.run(program, inputs, trace=trace)
    from mcuformer.targets.firmware import build_firmware

    elf = build_firmware(directory, board, trace=trace, qemu=emulator == "qemu", build=build)
    if emulator == "qemu":
        from mcuformer.targets import qemu_runner

        return qemu_runner.run(elf, inputs, trace=trace, core=board.core)
    if emulator == "renode":
        from mcuformer.targets import renode_runner

        return renode_runner.run(elf, board, inputs, trace=trace)
    from mcuformer.targets import unicorn_runner

    return unicorn_runner.run(elf, board, inputs, trace=trace)
