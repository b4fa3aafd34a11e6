"""Board files: found by name, alias or path; every wrong key and value reported at once."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

from mcuformer.errors import UsageError
from mcuformer.files.paths import BOARDS
from mcuformer.targets.board import (
    HOST,
    Board,
    Clock,
    MemoryKind,
    MemoryRegion,
    Qspi,
    Runners,
    Uart,
)
from mcuformer.targets.board_check import board_problems
from mcuformer.targets.cores import CORES
from mcuformer.util.sizes import parse_size


def load_board(name: str | Path) -> Board:
    """The board with this name or alias, or from this file (with a / or ending in .toml)."""
    text = str(name)
    path = Path(text)
    if text.endswith(".toml") or path.name != text:
        if not path.is_file():
            raise UsageError(f"board file {text} does not exist")
        return _require(path)
    known = {label: board for board in shipped_boards() for label in (board.name, *board.aliases)}
    if text in known:
        return known[text]
    close = difflib.get_close_matches(text, known, n=1, cutoff=0.5)
    guess = f"did you mean {close[0]}? " if close else ""
    raise UsageError(
        f"no board is called '{text[:60]}'",
        f"{guess}known are {', '.join(sorted(known))}; a board file of your own goes by its path",
    )


@cache
def shipped_boards() -> tuple[Board, ...]:
    return tuple(_require(path) for path in sorted(BOARDS.glob("*.toml")))


def check_board_file(path: Path) -> list[str]:
    """Everything that is wrong with a board file; empty when it is sound."""
    return read_board_file(path)[1]


def read_board_file(path: Path) -> tuple[Board | None, list[str]]:
    """The board, when the file's form allows one, and every problem found."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return None, [f"not a TOML file: {error}"]
    except RecursionError:
        return None, ["not a TOML file: nested too deeply"]
    problems: list[str] = []
    board = _board(_Table(document, "", problems))
    if problems or board is None:
        return None, problems
    return board, board_problems(board)


def _require(path: Path) -> Board:
    board, problems = read_board_file(path)
    if board is None or problems:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise UsageError(f"board file {path.name} is not usable:{listed}")
    return board


class _Table:
    """A TOML table that notes which keys are wrong, missing or left over."""

    def __init__(self, data: dict[str, Any], where: str, problems: list[str]) -> None:
        self.data, self.where, self.problems = dict(data), where, problems

    def problem(self, key: str, text: str) -> None:
        self.problems.append(f"{self.where}{key}: {text}")

    def take(self, key: str, kind: type, default: Any = ...) -> Any:
        """The value of `key`; a wrong or missing one is noted and gives an empty value."""
        value = self.data.pop(key, default)
        if value is ...:
            self.problem(key, "missing")
        elif value is default or (isinstance(value, kind) and (kind is bool or value is not True)):
            return value
        else:
            self.problem(key, f"{value!r} is no {_TYPE_NAMES[kind]}")
        return kind()

    def size(self, key: str, default: Any = ...) -> int:
        value = self.data.pop(key, default)
        if value is ...:
            self.problem(key, "missing")
            return 0
        try:
            return value if type(value) is int else parse_size(str(value))
        except UsageError as error:
            self.problem(key, error.message)
            return 0

    def choice(self, key: str, choices: tuple[str, ...]) -> Any:
        value = self.take(key, str)
        if value and value not in choices:
            self.problem(key, f"{value!r} is none of {', '.join(choices)}")
        return value

    def strings(self, key: str, default: Any = ...) -> tuple[str, ...]:
        values = self.take(key, list, default)
        if not all(isinstance(v, str) for v in values):
            self.problem(key, "is no list of strings")
            return ()
        return tuple(values)

    def table(self, key: str) -> _Table | None:
        value = self.data.pop(key, None)
        if value is not None and not isinstance(value, dict):
            self.problem(key, "is no table")
            return None
        return None if value is None else _Table(value, f"{self.where}{key}.", self.problems)

    def finish(self) -> None:
        for key in self.data:
            self.problem(key, "unknown key")


_TYPE_NAMES: Mapping[type, str] = {int: "integer", str: "string", bool: "boolean", list: "list"}


def _board(top: _Table) -> Board | None:
    core = top.choice("core", (*CORES, HOST))
    board = Board(
        name=top.take("name", str),
        aliases=top.strings("aliases", []),
        description=top.take("description", str, ""),
        core=core,
        family=None if core == HOST else top.take("family", str, None),
        stack_bytes=top.size("stack_bytes"),
        memory=_memory(top),
        clock=_clock(top.table("clock")),
        uart=_uart(top.table("uart")),
        qspi=_qspi(top.table("qspi")),
        runners=_runners(top.table("runners")),
    )
    top.finish()
    return None if top.problems else board


def _memory(top: _Table) -> tuple[MemoryRegion, ...]:
    rows = top.take("memory", list)
    if not rows or not all(isinstance(row, dict) for row in rows):
        top.problem("memory", "needs at least one [[memory]] table")
        return ()
    regions = []
    for index, row in enumerate(rows):
        table = _Table(row, f"memory[{index}].", top.problems)
        kind = table.choice("kind", get_args(MemoryKind))
        regions.append(
            MemoryRegion(
                table.take("name", str),
                kind,
                table.size("base"),
                table.size("size"),
                table.size("fast", 0),
            )
        )
        table.finish()
    return tuple(regions)


def _clock(table: _Table | None) -> Clock | None:
    if table is None:
        return None
    clock = Clock(
        table.take("hse_hz", int, 0),
        table.take("hse_bypass", bool, False),
        table.take("cpu_hz", int),
    )
    table.finish()
    return clock


def _uart(table: _Table | None) -> Uart | None:
    if table is None:
        return None
    uart = Uart(
        table.take("name", str),
        table.take("tx", str),
        table.take("tx_af", int),
        table.take("rx", str),
        table.take("rx_af", int),
        table.take("baud", int, 115_200),
    )
    table.finish()
    return uart


def _qspi(table: _Table | None) -> Qspi | None:
    if table is None:
        return None
    qspi = Qspi(
        table.take("read_command", int),
        table.take("dummy_cycles", int),
        table.take("prescaler", int),
        table.strings("pins"),
    )
    table.finish()
    return qspi


def _runners(table: _Table | None) -> Runners:
    if table is None:
        return Runners()
    runners = Runners(
        table.strings("emulators", ["host"]),
        table.strings("flash", []),
        table.take("openocd_config", str, None),
    )
    table.finish()
    return runners
