"""Runs a board's firmware in Renode, on our own platform with the chip's true memory sizes."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mcuformer.errors import ToolMissingError, UsageError
from mcuformer.targets.board import Board
from mcuformer.targets.child import child
from mcuformer.targets.client import Client, StreamPort
from mcuformer.targets.clocks import clock_tree
from mcuformer.targets.families import FAMILIES
from mcuformer.targets.faults import FirmwareError
from mcuformer.targets.limits import DEFAULT_S, endless
from mcuformer.targets.port import render_template
from mcuformer.targets.result import Inference, RunResult

# Renode only logs an access to an address without a peripheral and goes on.
_UNHANDLED = "non existing peripheral"
_START_S = 60.0
_WHY: Mapping[str, str] = {
    "instructions": "Renode's cycle counter follows virtual time in steps, not single instructions",
    "io_instructions": "as instructions",
    "layers": "as instructions",
    "sram_high_water_bytes": "Unicorn measures RAM",
    "stack_high_water_bytes": "Unicorn measures RAM",
}
# What the start-up code waits for, as statements on `value`, read from register `at`.
_RCC = (
    "if at == 0: value = value & ~0x02020002 | (value & 0x01010001) << 1",
    "if at == 8: value = value & ~0xC | (value & 3) << 2",
)
_PWR = ("if at == 4: value = regs.get(0, 0) & 0x30000",)
_QUADSPI = ("if at == 8: value = 2", "if at == 0x20: value = 0x18BA20")


def run(
    elf: Path, board: Board, inputs: Sequence[bytes], *, trace: bool = False,
    timeout_s: float = DEFAULT_S, variant: int | None = None,
) -> RunResult:  # fmt: skip
    """Each input is the whole image as bytes. An access that the board lacks is an error, and so is a
    run of more than `timeout_s`."""
    if trace:
        raise UsageError("layers cannot be traced in Renode", "use unicorn, qemu or host")
    with tempfile.TemporaryDirectory(prefix="mcuformer-") as name:
        folder = Path(name)
        port = _free_port()
        write_platform(folder, board, port)
        shutil.copyfile(elf, folder / "firmware.elf")
        with _renode(folder), _connect(port, timeout_s) as line:
            client = Client(line, compute_s=timeout_s)
            info = client.info()
            if info.input_mode == "flash":
                raise UsageError(
                    "an image in flash cannot be given to Renode", "use unicorn or qemu"
                )
            client.choose(variant)
            results = [Inference(client.run(info, image).output) for image in inputs]
            client.quit()
        _check_log(folder / "renode.log", board)
    return RunResult("renode", tuple(results), why=dict(_WHY))


def renode_command() -> str:
    path = shutil.which("renode")
    if path is None:
        raise ToolMissingError(
            "renode is not installed", "get it from renode.io; the default is unicorn"
        )
    return path


def write_platform(folder: Path, board: Board, port: int) -> None:
    """board.repl and run.resc: the firmware's UART becomes a TCP server on `port`."""
    family = FAMILIES.get(str(board.family))
    if family is None or not family.renode_usart or board.clock is None or board.uart is None:
        raise UsageError(f"no Renode platform for {board.name}")
    tree = clock_tree(family.name, board.clock)
    usart = family.usarts[board.uart.name]
    names = {"board_name": board.name, "uart_name": board.uart.name.lower()}
    platform = render_template(
        "renode.repl.j2", **names, core=board.core, cpu_hz=board.clock.cpu_hz,
        mips=board.clock.cpu_hz // 1_000_000, memory=board.memory, usart=family.renode_usart, uart_base=usart.base,
        uart_hz=tree.apb1_hz if usart.bus == 1 else tree.apb2_hz,
        devices=[
            ("rcc", family.rcc, 0x400, _RCC),
            ("flash_interface", family.flash_interface, 0x400, ()),
            ("pwr", family.pwr, 0x400, _PWR), ("gpio", family.gpio, 0x2C00, ()),
            *([("quadspi", family.quadspi, 0x400, _QUADSPI)] if family.quadspi else []),
        ],
    )  # fmt: skip
    script = render_template("renode.resc.j2", **names, flash_base=board.flash.base, port=port)
    (folder / "board.repl").write_text(platform, encoding="utf-8")
    (folder / "run.resc").write_text(script, encoding="utf-8")


@contextmanager
def _renode(folder: Path) -> Iterator[None]:
    argv = [renode_command(), "--disable-xwt", "--console", "--plain", "-e", "include @run.resc"]
    with child(argv, folder, talks=False) as process:
        yield
        with suppress(subprocess.TimeoutExpired):
            process.communicate("quit\n", timeout=20)


@contextmanager
def _connect(port: int, timeout_s: float) -> Iterator[StreamPort]:
    """The firmware's UART; EndlessError at a read after `timeout_s`."""
    until, over = (time.monotonic() + seconds for seconds in (_START_S, timeout_s))
    while True:
        try:
            line = socket.create_connection(("127.0.0.1", port), timeout=1)
            break
        except OSError:
            if time.monotonic() > until:
                raise FirmwareError(f"Renode did not start within {_START_S:.0f} s") from None
            time.sleep(0.2)

    def read_some(wait_s: float) -> bytes:
        if time.monotonic() > over:
            raise endless("Renode", timeout_s)
        line.settimeout(wait_s)
        try:
            return line.recv(4096)
        except TimeoutError:
            return b""

    with line:
        yield StreamPort(read_some, line.sendall)


def _check_log(log: Path, board: Board) -> None:
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    bad = [line for line in lines if _UNHANDLED in line]
    if bad:
        raise FirmwareError(
            f"Renode: an access that {board.name} has nothing for: {bad[0].strip()}"
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
