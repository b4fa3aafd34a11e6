"""One function of a package's firmware called by itself in Unicorn, and the instructions that it takes."""

from __future__ import annotations

from pathlib import Path

from unicorn import UC_HOOK_CODE, Uc

from mcuformer.package.compiled import ELF, open_package
from mcuformer.targets.elf import read_elf
from mcuformer.targets.unicorn_runner import EmulatedDevice

_RETURNED = 0x08000000  # the vector table: an address where no code runs


def switch(package: Path, choices: int) -> list[tuple[int, int]]:
    """(status, instructions) of NAME_set_width or NAME_set_task for each of so many choices, and for
    one number too many."""
    opened = open_package(package)
    kind = "task" if "adapters" in opened.report["options"] else "width"
    elf = read_elf(package / ELF)
    ending = f"_set_{kind}"
    name = next(s.name for s in elf.symbols if s.name.endswith(ending)).removesuffix(ending)
    device = EmulatedDevice(elf, opened.board)
    arena = elf.address("arena")

    def call(function: str, *arguments: int) -> tuple[int, int]:
        engine, count = device.machine.engine, [0]
        for register, value in zip(("r0", "r1"), arguments, strict=False):
            engine.set(register, value)  # type: ignore[arg-type]
        engine.set("lr", _RETURNED | 1)

        def one(_uc: Uc, _address: int, _size: int, _data: object) -> None:
            count[0] += 1

        hook = engine.uc.hook_add(UC_HOOK_CODE, one)
        engine.uc.emu_start(elf.address(function) | 1, _RETURNED)
        engine.uc.hook_del(hook)
        return engine.get("r0") - (engine.get("r0") >> 31 << 32), count[0]

    assert call(f"{name}_init", arena)[0] == 0
    return [call(f"{name}_set_{kind}", arena, k) for k in range(choices + 1)]
