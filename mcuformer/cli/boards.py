"""mcuformer boards list | show | check"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from mcuformer.cli.console import print_json, table
from mcuformer.cli.params import json_option


@click.group("boards")
def command() -> None:
    """List, show and check board files."""


@command.command("list")
@json_option
def list_boards(as_json: bool) -> None:
    """List the boards that the package brings."""
    from mcuformer.targets.board_file import shipped_boards

    boards = shipped_boards()
    if as_json:
        print_json(
            [
                {
                    "name": b.name,
                    "aliases": list(b.aliases),
                    "core": b.core,
                    "sram_bytes": b.sram_bytes,
                    "flash_bytes": b.flash_bytes,
                    "description": b.description,
                }
                for b in boards
            ]
        )
        return
    rows = [
        [
            b.name,
            ", ".join(b.aliases),
            b.core,
            f"{b.sram_bytes:,}",
            f"{b.flash_bytes:,}",
            b.description,
        ]
        for b in boards
    ]
    print(table(["board", "alias", "core", "SRAM bytes", "flash bytes", ""], rows))


@command.command("show")
@click.argument("board", metavar="NAME|FILE.toml")
@json_option
def show(board: str, as_json: bool) -> None:
    """Print all that is known about a board."""
    from mcuformer.targets.board_file import load_board

    found = load_board(board)
    if as_json:
        print_json(dataclasses.asdict(found))
        return
    print(f"{found.name}: {found.description}\n")
    rows = [
        [r.name, r.kind, f"0x{r.base:08x}", f"{r.size_bytes:,}", f"{r.fast_bytes:,}"]
        for r in found.memory
    ]
    print(table(["memory", "kind", "base", "bytes", "coupled"], rows) + "\n")
    if found.clock is not None:
        print(f"clock      {found.clock.cpu_hz / 1e6:g} MHz")
    if found.uart is not None:
        print(f"uart       {found.uart.name} at {found.uart.baud:,} baud")
    print(f"stack      {found.stack_bytes:,} B")
    print(f"emulators  {', '.join(found.runners.emulators)}")
    print(f"flashing   {', '.join(found.runners.flash) or 'none'}")


@command.command("check")
@click.argument("boards", metavar="[NAME|FILE.toml]...", nargs=-1)
@json_option
def check(boards: tuple[str, ...], as_json: bool) -> None:
    """Look for nonsense in board files; without a name, in all that the package brings."""
    from mcuformer.cli.failure import reported
    from mcuformer.errors import UsageError
    from mcuformer.files.paths import BOARDS
    from mcuformer.targets.board_file import check_board_file, load_board

    names = boards or tuple(sorted(str(path) for path in BOARDS.glob("*.toml")))
    found: dict[str, list[str]] = {}
    for name in names:
        is_file = name.endswith(".toml") or Path(name).name != name
        label = Path(name).stem if not boards else name
        found[label] = check_board_file(Path(name)) if is_file else []
        if not is_file:
            load_board(name)
    if as_json:
        print_json([{"board": name, "problems": problems} for name, problems in found.items()])
    else:
        for name, problems in found.items():
            print("\n  - ".join([f"{name}: {'not usable' if problems else 'ok'}", *problems]))
    wrong = [name for name, problems in found.items() if problems]
    if wrong:
        raise reported(UsageError(f"not usable: {', '.join(wrong)}"), as_json)
