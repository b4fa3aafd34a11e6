"""What must not be in a firmware: a heap, libc beyond memcpy and memset, double precision."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mcuformer.targets.elf import Elf, Section

# Names of libc and of its helpers; memcpy, memset and memmove are the port's own.
_FORBIDDEN = re.compile(
    r"^_*(?:malloc|calloc|realloc|free|sbrk|v?s?n?f?i?printf\w*|puts|putchar|abort|assert\w*|exit|atexit|"
    r"str(?:len|cpy|cmp|cat|chr|dup|tol|toul)\w*|mem(?:cmp|chr)|qsort|rand|fopen|fread|fwrite|"
    r"exp|log|sqrt|pow|tanh|erf|sin|cos)f?(?:_r)?$"
)
_SOFT_DOUBLE = re.compile(
    r"^__aeabi_(?:d(?:add|sub|mul|div|cmp\w*|2\w+)|\w+2d|drsub)$|^__\w+df\w{1,3}$|^__\w+didf$"
)


def elf_problems(elf: Elf, model: str = "") -> list[str]:
    """Empty when the firmware keeps its promises; names that begin with `model` are its own."""
    return [*_symbol_problems(elf, model), *_f64_problems(elf)]


def _symbol_problems(elf: Elf, model: str) -> Iterator[str]:
    for symbol in elf.symbols:
        if model and symbol.name.startswith(f"{model}_"):
            continue
        if _FORBIDDEN.match(symbol.name):
            yield f"{symbol.name} is linked in: no heap and no libc beyond memcpy and memset"
        elif _SOFT_DOUBLE.match(symbol.name):
            yield f"{symbol.name} is linked in: double precision arithmetic"


def _f64_problems(elf: Elf) -> Iterator[str]:
    for section in elf.sections:
        if section.executable and section.stored:
            for address in f64_instructions(elf, section):
                yield f"double precision instruction at {elf.where(address)} (0x{address:08x})"


def f64_instructions(elf: Elf, section: Section) -> Iterator[int]:
    """Addresses of VFP data processing on doubles (coprocessor 11): the FPU has none.

    Loads, stores and moves of a D register also use coprocessor 11 but work on this FPU.
    """
    code = elf.code(section)
    for start, end in _thumb_ranges(elf, section):
        at = start - section.address
        while at + 2 <= end - section.address:
            first = int.from_bytes(code[at : at + 2], "little")
            if first >> 11 < 0b11101:  # a 16-bit instruction
                at += 2
                continue
            second = int.from_bytes(code[at + 2 : at + 4], "little")
            processing = first & 0xEF00 == 0xEE00 and not second & 0x10
            if processing and second >> 8 & 0xF == 0xB:
                yield section.address + at
            at += 4


def _thumb_ranges(elf: Elf, section: Section) -> Iterator[tuple[int, int]]:
    """The parts of a section that hold instructions, by the ELF's mapping symbols."""
    marks = [(a, k) for a, k in elf.mapping if section.address <= a < section.end]
    for (address, kind), (until, _) in zip(marks, [*marks[1:], (section.end, "")], strict=True):
        if kind == "t":
            yield address, until
