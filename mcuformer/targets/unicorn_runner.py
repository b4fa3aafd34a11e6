"""Runs a board's firmware in Unicorn, through its own UART protocol, and measures it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mcuformer.errors import ToolMissingError
from mcuformer.targets.board import Board
from mcuformer.targets.client import Client, DeviceInfo
from mcuformer.targets.elf import Elf, read_elf
from mcuformer.targets.faults import FirmwareError
from mcuformer.targets.limits import DEFAULT_S
from mcuformer.targets.result import Inference, RunResult, Tile, assemble

if TYPE_CHECKING:
    from mcuformer.targets.chip.machine import Machine


def run(
    elf: Path,
    board: Board,
    inputs: Sequence[bytes],
    *,
    trace: bool = False,
    dead: Collection[str] = (),
    seed: int = 0,
    timeout_s: float = DEFAULT_S,
    variant: int | None = None,
) -> RunResult:
    """Each input is what one inference reads: all inputs, lines in order, one behind the other.

    `trace` needs an ELF built with trace=True. `dead` names ready bits that never come, `seed`
    draws the noise that RAM holds at first, `variant` says which of several programs runs.
    FirmwareError when the firmware complains, faults, writes a byte of RAM that belongs to
    nothing, or has not ended after `timeout_s`.
    """
    device = EmulatedDevice(
        read_elf(elf), board, trace=trace, dead=dead, seed=seed, timeout_s=timeout_s
    )
    device.client.choose(variant)
    inferences = tuple(device.infer(image) for image in inputs)
    device.client.quit()
    device.check_memory()
    sram, stack = device.high_water()
    return RunResult("unicorn", inferences, sram, stack, device.machine.counter.block_counts())


class EmulatedDevice:
    """A booted board, and the client that talks to it."""

    def __init__(
        self,
        elf: Elf,
        board: Board,
        *,
        trace: bool = False,
        dead: Collection[str] = (),
        seed: int = 0,
        timeout_s: float = DEFAULT_S,
    ) -> None:
        self.machine = _machine(elf, board, dead, seed)
        self.machine.end_within(timeout_s)
        self.tiles: list[Tile] | None = [] if trace else None
        if trace:
            self.machine.engine.on_instruction(elf.address("mcf_trace"), self._trace)
        # no other party shares the line: what is lost is lost for good, so few tries are enough
        self.client = Client(EmulatedPort(self.machine), tries=4, compute_s=30.0)
        self.info: DeviceInfo = self.client.info()

    def infer(self, image: bytes) -> Inference:
        if len(image) != self.info.input_bytes:
            raise FirmwareError(
                f"the input has {len(image):,} B, the model takes {self.info.input_bytes:,} B"
            )
        if self.tiles is not None:
            self.tiles.clear()
        if self.info.input_mode == "flash":
            first = image[: self.info.inputs[0]]
            self.machine.write(self.machine.elf.address("mcf_image"), first)
        done = self.client.run(self.info, image)
        traced = None if self.tiles is None else assemble(self.tiles)
        return Inference(done.output, done.cycles, done.io_cycles, done.layers, traced)

    def high_water(self) -> tuple[int, int]:
        """Bytes of SRAM and of stack in use, from the outermost bytes that changed.

        A byte that got the value it had before is not seen: with noise there, one in 256.
        """
        sram = stack = 0
        top = self.machine.elf.address("mcf_stack_top")
        for region in self.machine.board.arenas:
            touched = np.flatnonzero(self.machine.written(region)) + region.base
            below, above = touched[touched < top], touched[touched >= top]
            if top in range(region.base, region.end + 1):
                stack = int(top - below[0]) if len(below) else 0
                sram += stack + (int(above[-1]) + 1 - top if len(above) else 0)
            elif len(touched):
                sram += int(touched[-1]) + 1 - region.base
        return sram, stack

    def check_memory(self) -> None:
        """Every byte of RAM that changed lies in a section of the ELF."""
        for region in self.machine.board.arenas:
            stray = self.machine.written(region).copy()
            for section in self.machine.elf.sections:
                if section.address in region:
                    stray[section.address - region.base : section.end - region.base] = False
            if stray.any():
                address = region.base + int(np.flatnonzero(stray)[0])
                raise FirmwareError(
                    f"a byte at 0x{address:08x} was written, which belongs to no section "
                    f"(behind {self.machine.elf.where(address)})"
                )

    def _trace(self) -> None:
        """mcf_trace(layer, rows, stride, row_bytes, first_row, count): four in registers."""
        engine = self.machine.engine
        layer, address = engine.get("r0"), engine.get("r1")
        stride, row_bytes = engine.get("r2"), engine.get("r3")
        stack = np.frombuffer(self.machine.read(engine.get("sp"), 8), dtype="<u4")
        first, count = int(stack[0]), int(stack[1])
        rows = [self.machine.read(address + stride * i, row_bytes) for i in range(count)]
        tile = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(count, row_bytes)
        assert self.tiles is not None
        self.tiles.append(Tile(layer, first, tile))


class EmulatedPort:
    """The emulated USART as a client's Port. Time passes while the firmware runs, waits or sleeps."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.asleep = False

    def write(self, data: bytes) -> None:
        self.machine.chip.usart.received.extend(data)

    def read(self, timeout_s: float) -> bytes:
        sent, until = self.machine.chip.usart.sent, self.seconds() + timeout_s
        while not sent and not self.asleep and self.seconds() < until:
            self.asleep = self.machine.resume() == "asleep"
        if self.asleep and not sent:
            self.machine.pass_time(timeout_s)
        data = bytes(sent)
        sent.clear()
        return data

    def seconds(self) -> float:
        assert self.machine.board.clock is not None
        return self.machine.ticks() / self.machine.board.clock.cpu_hz


def _machine(elf: Elf, board: Board, dead: Collection[str], seed: int) -> Machine:
    try:
        from mcuformer.targets.chip.machine import Machine
    except ImportError as error:
        raise ToolMissingError(
            f"Unicorn cannot be loaded: {error}", "pip install 'mcuformer[emulate]'"
        ) from None
    return Machine(elf, board, dead, seed)
