"""The firmware around a model: port files, mcf_board.h, main.c and link.ld of a package."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2

from mcuformer.files.paths import RUNTIME_C, TEMPLATES
from mcuformer.targets.board import Board, Qspi
from mcuformer.targets.clocks import clock_tree
from mcuformer.targets.cores import CORES
from mcuformer.targets.families import FAMILIES, Family
from mcuformer.targets.mpu import mpu_regions
from mcuformer.targets.pins import pin, pin_function

PORT = RUNTIME_C / "port"
_HEADERS = ("mcf_port.h", "mcf_profile.h", "mcf_frame.h")
_SOURCES = ("startup.c", "memory.c", "core.c", "mpu.c", "uart.c", "qspi.c", "frame.c", "serve.c",
            "profile.c", "trace.c", "firmware.c")  # fmt: skip


@dataclass(frozen=True, slots=True)
class PortPlan:
    """What the firmware must know of a model. `image_bytes` > 0 only in input mode flash.

    `model` is its name in C.
    """

    model: str
    arena_bytes: int
    layers: int
    stack_bytes: int
    qspi: bool = False  # weights lie in QSPI
    image_bytes: int = 0
    model_id: bytes = (
        b""  # with `qspi`: 16 bytes that the start-up code looks for beside the weights
    )


@dataclass(frozen=True, slots=True)
class InitialiserRows:
    """Rows of a C initialiser, each without its braces."""

    rows: tuple[str, ...]


def write_port(directory: Path, board: Board, plan: PortPlan) -> None:
    """Write DIR/port/ and, for a chip, DIR/link.ld; on the host board only main.c and headers."""
    port = directory / "port"
    port.mkdir(parents=True, exist_ok=True)
    chip = None if board.family is None else FAMILIES[board.family]
    names = ("mcf_port.h",) if chip is None else (*_HEADERS, *_SOURCES, chip.clock_source)
    for name in names:
        shutil.copyfile(PORT / name, port / name)
    (port / "main.c").write_text(main_c(plan), encoding="utf-8")
    if chip is not None:
        (port / "mcf_board.h").write_text(board_header(board, plan.qspi), encoding="utf-8")
        (directory / "link.ld").write_text(linker_script(board, plan), encoding="utf-8")


def main_c(plan: PortPlan) -> str:
    return render_template(
        "main.c.j2",
        model=plan.model,
        arena_bytes=plan.arena_bytes,
        layers=max(plan.layers, 1),
        image_bytes=plan.image_bytes,
        weights_id=", ".join(f"0x{byte:02x}" for byte in plan.model_id) if plan.qspi else "",
    )


def linker_script(board: Board, plan: PortPlan) -> str:
    """Places everything in the board's regions; what does not fit is a link error."""
    used = [r for r in board.memory if r.kind != "qspi" or plan.qspi]
    flags = {"flash": "rx", "qspi": "r", "itcm": "rwx"}
    return render_template(
        "link.ld.j2",
        board_name=board.name,
        regions=[
            {
                "name": r.name,
                "flags": flags.get(r.kind, "rw"),
                "base": r.base,
                "size_bytes": r.size_bytes,
            }
            for r in used
        ],
        flash=board.flash.name,
        qspi=board.qspi_region.name if plan.qspi and board.qspi_region else None,
        itcm=board.itcm.name if board.itcm else None,
        arenas=[r.name for r in board.arenas],
        stack_bytes=plan.stack_bytes,
    )


def board_header(board: Board, qspi: bool) -> str:
    """mcf_board.h: the board file as macros for the start-up code."""
    assert board.clock is not None and board.uart is not None and board.family is not None
    tree, family = clock_tree(board.family, board.clock), FAMILIES[board.family]
    usart = family.usarts[board.uart.name]
    tx, rx = pin(board.uart.tx), pin(board.uart.rx)
    macros: dict[str, object] = {
        "CPU_HZ": board.clock.cpu_hz,
        "RESET_HZ": family.reset_hz,
        "HSE_BYPASS": int(board.clock.hse_bypass),
        "PLL_M": tree.m, "PLL_N": tree.n, "PLL_P": tree.p, "PLL_Q": tree.q,
        "APB1_CODE": _divider_code(tree.apb1_divider),
        "APB2_CODE": _divider_code(tree.apb2_divider),
        "OVERDRIVE": int(tree.overdrive),
        "FLASH_ACR": f"0x{family.flash_acr | tree.wait_states:x}u",
        "HAS_CACHES": int(CORES[board.core].cache_line_bytes > 0),
        "GPIO_BASE": f"0x{family.gpio:x}u",
        "GPIO_ENABLE": f"0x{family.rcc + family.gpio_enable:x}u",
        **_ram_macros(board, family),
        "USART_BASE": f"0x{usart.base:x}u",
        "USART_HAS_ISR": int(family.usart_has_isr),
        "USART_ENABLE": f"0x{family.rcc + usart.enable_offset:x}u",
        "USART_ENABLE_BIT": usart.enable_bit,
        "UART_CLOCK_HZ": tree.apb1_hz if usart.bus == 1 else tree.apb2_hz,
        "UART_BAUD": board.uart.baud,
        "UART_TX_PIN": f"{tx[0]}, {tx[1]}, {board.uart.tx_af}",
        "UART_RX_PIN": f"{rx[0]}, {rx[1]}, {board.uart.rx_af}",
        **_mpu_macros(board),
        **_qspi_macros(board, qspi),
    }  # fmt: skip
    return _header(board, macros)


def _define(name: str, value: object) -> list[str]:
    """A table has a row in each line, whatever width a formatter is set to."""
    if not isinstance(value, InitialiserRows):
        return [f"#define {name} {_literal(value)}"]
    rows = [f"    {{{row}}}," for row in value.rows]
    lines = [f"#define {name} {{", *rows]
    return [
        "/* clang-format off */",
        *(f"{line} \\" for line in lines),
        "}",
        "/* clang-format on */",
    ]


def _literal(value: object) -> str:
    return f"{value}u" if isinstance(value, int) else str(value)


def _divider_code(divider: int) -> int:
    """RCC's code of an APB divider: 0 for 1, 4..7 for 2..16."""
    return {1: 0, 2: 4, 4: 5, 8: 6, 16: 7}[divider]


def mpu_header(board: Board) -> str:
    """mcf_board.h of a machine without clocks and pins (QEMU)."""
    return _header(board, _mpu_macros(board))


def _header(board: Board, macros: dict[str, object]) -> str:
    lines = [line for key, value in macros.items() for line in _define(f"MCF_{key}", value)]
    return "\n".join(
        [f"/* {board.name}: generated by mcuformer from its board file. */", "#ifndef MCF_BOARD_H",
         "#define MCF_BOARD_H", "", *lines, "", "#endif", ""]
    )  # fmt: skip


def _mpu_macros(board: Board) -> dict[str, object]:
    regions = mpu_regions(board)
    late = sum(r.late for r in regions)
    table = InitialiserRows(tuple(f"0x{r.rbar:08x}u, 0x{r.rasr:08x}u" for r in regions))
    return {"MPU_REGIONS": table, "MPU_EARLY": len(regions) - late, "MPU_LATE": late}


def _ram_macros(board: Board, family: Family) -> dict[str, object]:
    """The clocks of the board's RAM that a reset leaves off."""
    bits = sum({1 << c.enable_bit for region in board.arenas for c in family.clocked(region)})
    if not bits or family.ram_enable is None:
        return {"RAM_CLOCKS": 0}
    return {"RAM_CLOCKS": f"0x{bits:x}u", "RAM_ENABLE": f"0x{family.rcc + family.ram_enable:x}u"}


def _qspi_macros(board: Board, used: bool) -> dict[str, object]:
    if not used or board.qspi is None or board.qspi_region is None:
        return {"HAS_QSPI": 0}
    qspi: Qspi = board.qspi
    pins = InitialiserRows(tuple(f"{a}, {b}, {c}" for a, b, c in map(pin_function, qspi.pins)))
    return {
        "HAS_QSPI": 1,
        "QSPI_SIZE_LOG2": board.qspi_region.size_bytes.bit_length() - 1,
        "QSPI_PRESCALER": qspi.prescaler,
        "QSPI_READ_COMMAND": qspi.read_command,
        "QSPI_DUMMY_CYCLES": qspi.dummy_cycles,
        "QSPI_PINS": pins,
    }


def render_template(name: str, **values: object) -> str:
    return _template(name).render(**values)


@cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template(name)
