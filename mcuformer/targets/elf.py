"""What an ELF holds: segments, symbols, and how many bytes it takes of every region."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from mcuformer.targets.board import Board

_ARENA, _STACK = ".mcf_arena", ".stack"
_SHF_ALLOC, _SHF_EXECINSTR = 2, 4


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes stored at `load_address`; start-up code copies them where they run."""

    load_address: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Symbol:
    name: str
    address: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Section:
    """`stored`: its bytes are in the file (and so in flash); others are only reserved."""

    name: str
    address: int
    size_bytes: int
    stored: bool
    executable: bool

    @property
    def end(self) -> int:
        return self.address + self.size_bytes


@dataclass(frozen=True, slots=True)
class Elf:
    path: Path
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]  # by address; functions and objects first among equals
    mapping: tuple[tuple[int, str], ...]  # ARM mapping symbols: (address, 't' or 'd')

    def address(self, name: str) -> int:
        """KeyError when there is no such symbol."""
        for symbol in self.symbols:
            if symbol.name == name:
                return symbol.address
        raise KeyError(name)

    def symbol(self, name: str) -> Symbol | None:
        return next((s for s in self.symbols if s.name == name), None)

    def where(self, address: int) -> str:
        """'kernel+0x12' for messages."""
        index = bisect.bisect_right([s.address for s in self.symbols], address) - 1
        if index < 0 or address - self.symbols[index].address > 0x100000:
            return f"0x{address:08x}"
        # of the symbols at one address the one with a size is the object or function itself
        at = [s for s in self.symbols if s.address == self.symbols[index].address]
        symbol = max(at, key=lambda s: s.size_bytes)
        offset = address - symbol.address
        return f"{symbol.name}{f'+0x{offset:x}' if offset else ''}"

    def section(self, name: str) -> Section | None:
        return next((s for s in self.sections if s.name == name), None)

    def code(self, section: Section) -> bytes:
        """The bytes of a stored section."""
        with self.path.open("rb") as file:
            found = ELFFile(file).get_section_by_name(section.name)
            assert found is not None
            return bytes(found.data())


def read_elf(path: Path) -> Elf:
    with path.open("rb") as file:
        elf = ELFFile(file)
        segments = tuple(
            Segment(s["p_paddr"], s.data())
            for s in elf.iter_segments()
            if s["p_type"] == "PT_LOAD" and s["p_filesz"]
        )
        sections = tuple(
            Section(s.name, s["sh_addr"], s["sh_size"], s["sh_type"] != "SHT_NOBITS",
                    bool(s["sh_flags"] & _SHF_EXECINSTR))
            for s in elf.iter_sections()
            if s["sh_flags"] & _SHF_ALLOC and s["sh_size"]
        )  # fmt: skip
        symbols, mapping = _symbols(elf)
    return Elf(path, segments, sections, symbols, mapping)


def _symbols(elf: ELFFile) -> tuple[tuple[Symbol, ...], tuple[tuple[int, str], ...]]:
    symbols: list[Symbol] = []
    mapping: list[tuple[int, str]] = []
    for table in elf.iter_sections():
        if not isinstance(table, SymbolTableSection):
            continue
        for s in table.iter_symbols():
            kind, address = s["st_info"]["type"], s["st_value"]
            if s.name[:2] in ("$t", "$d", "$a"):
                mapping.append((address, s.name[1]))
            elif (
                s.name
                and kind in ("STT_FUNC", "STT_OBJECT", "STT_NOTYPE")
                and s["st_shndx"] != "SHN_UNDEF"
            ):
                thumb = 1 if kind == "STT_FUNC" else 0
                symbols.append(Symbol(s.name, address & ~thumb, s["st_size"]))
    symbols.sort(key=lambda s: (s.address, -s.size_bytes, s.name))
    return tuple(symbols), tuple(sorted(mapping))


@dataclass(frozen=True, slots=True)
class Usage:
    """Linked bytes, with those that alignment leaves between sections."""

    static_bytes: int  # .data and .bss
    arena_bytes: int  # all arena sections
    stack_bytes: int
    regions: dict[str, int]  # region name -> bytes up to its last used one, images for RAM included


def usage(elf: Elf, board: Board) -> Usage:
    spans = [(s.address, s.end) for s in elf.sections]
    spans += [(s.load_address, s.load_address + len(s.data)) for s in elf.segments]
    regions = {
        r.name: max((end - r.base for start, end in spans if start in r), default=0)
        for r in board.memory
    }
    arena = sum(s.size_bytes for s in elf.sections if s.name.startswith(_ARENA))
    stack = sum(s.size_bytes for s in elf.sections if s.name == _STACK)
    sram = sum(regions[r.name] for r in board.arenas)
    return Usage(sram - arena - stack, arena, stack, regions)
