"""Runs one C kernel on arrays: as host code through ctypes, or as Cortex-M code in Unicorn, counted.

    device = HostDevice(SOURCES)  or  UnicornDevice(SOURCES, "cortex-m7")
    count = device.call("mcf_linear", [kernel_data, x, 192, None, 0, y, 192, rows, scratch])

Arguments: int, None (NULL), a numpy array or `Ptr(array, byte offset)` (a pointer; written back after
the call; the same array twice is the same memory), a KernelData (pointer to its struct, read-only).
Every array is fenced by canaries; a kernel that writes beyond one fails the call.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcuformer.files.paths import RUNTIME_C
from mcuformer.kernels.base import KernelData
from mcuformer.targets.cores import CORES

INCLUDE, SRC = RUNTIME_C / "include", RUNTIME_C / "src"
HOST_FLAGS = ["-O2", "-shared", "-fPIC", "-fsanitize=undefined", "-fno-sanitize-recover"]
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Werror"]
FENCE = b"\xa5" * 64
SIZES = {
    "int8_t": 1,
    "uint8_t": 1,
    "int16_t": 2,
    "uint16_t": 2,
    "int32_t": 4,
    "uint32_t": 4,
    "int64_t": 8,
}


@dataclass(frozen=True)
class Ptr:
    """Byte `offset` of an array: for unaligned rows and aliased operands."""

    array: np.ndarray
    offset: int = 0


Arg = int | None | np.ndarray | Ptr | KernelData


@functools.cache
def struct_members(ctype: str) -> list[tuple[str, str]]:
    """(name, C type or "*") of a kernel's struct, read from the runtime's headers."""
    for header in sorted(INCLUDE.glob("*.h")):
        text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
        body = re.search(r"typedef struct \{([^{}]*)\} " + ctype + ";", text)
        if body:
            return [m for line in body[1].split(";") for m in _members(line.split())]
    raise KeyError(ctype)


def _members(words: list[str]) -> list[tuple[str, str]]:
    text = " ".join(w for w in words if w != "const")
    if not text:
        return []
    ctype, names = text.split(" ", 1)
    return [(n.strip(" *"), "*" if "*" in n else ctype) for n in names.split(",")]


def struct_bytes(data: KernelData, pointers: dict[str, int], word: int) -> bytes:
    """The struct as the target lays it out; `word` is the pointer size, nested structs are `outer.inner`."""
    out = b""
    for name, ctype in _flat_members(data.ctype):
        size = word if ctype == "*" else SIZES[ctype]
        out += b"\0" * (-len(out) % size)
        field = data.fields[name]
        value = pointers[field] if isinstance(field, str) else field
        out += (value % (1 << 8 * size)).to_bytes(size, "little")
    return out + b"\0" * (-len(out) % 8)


def _flat_members(ctype: str) -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for name, kind in struct_members(ctype):
        inner = _flat_members(kind) if kind.startswith("mcf_") else None
        flat += [(f"{name}.{n}", t) for n, t in inner] if inner else [(name, kind)]
    return flat


def _build(command: list[str], inputs: list[Path], suffix: str) -> Path:
    """Runs a compiler once for each command line and content."""
    digest = hashlib.sha256(repr(command).encode())
    for path in [*inputs, *sorted(INCLUDE.glob("*.h")), *sorted(SRC.glob("*.h"))]:
        digest.update(path.read_bytes())
    folder = Path(tempfile.gettempdir()) / f"mcuformer-kernels-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    out = folder / f"{digest.hexdigest()[:24]}{suffix}"
    if not out.exists():
        part = out.with_suffix(f".{os.getpid()}")
        subprocess.run([*command, "-o", str(part), *map(str, inputs)], check=True)
        part.rename(out)
    return out


class Memory:
    """Copies of the arguments in a flat memory that starts at `base`, fenced."""

    def __init__(self, base: int, word: int) -> None:
        self.base, self.word = base, word
        self.image = bytearray(FENCE)
        self.arrays: dict[int, tuple[np.ndarray, int]] = {}

    def place(self, data: bytes, align: int = 8) -> int:
        self.image += b"\xa5" * (-len(self.image) % align)
        offset = len(self.image)
        self.image += data + FENCE
        return self.base + offset

    def array(self, array: np.ndarray) -> int:
        assert array.flags.c_contiguous
        if id(array) not in self.arrays:
            self.arrays[id(array)] = (array, self.place(array.tobytes()))
        return self.arrays[id(array)][1]

    def argument(self, arg: Arg, constants: Memory) -> int:
        if arg is None:
            return 0
        if isinstance(arg, Ptr):
            return self.array(arg.array) + arg.offset
        if isinstance(arg, np.ndarray):
            return self.array(arg)
        if isinstance(arg, KernelData):
            pointers = {"NULL": 0}
            for a in arg.arrays:
                pointers[a.suffix] = constants.place(
                    np.ascontiguousarray(a.data).tobytes(), a.align
                )
            return constants.place(struct_bytes(arg, pointers, self.word))
        return int(arg)

    def read_back(self, after: bytes) -> None:
        """Checks the fences and copies every array back."""
        end = 0
        for array, address in self.arrays.values():
            start = address - self.base
            if after[end:start] != bytes(self.image[end:start]):
                raise AssertionError("the kernel wrote outside its arrays")
            end = start + array.nbytes
            if array.flags.writeable:
                array.reshape(-1).view(np.uint8)[:] = np.frombuffer(after[start:end], np.uint8)
            elif after[start:end] != bytes(self.image[start:end]):
                raise AssertionError("the kernel wrote to a read-only array")
        if after[end:] != bytes(self.image[end:]):
            raise AssertionError("the kernel wrote beyond its arrays")


class HostDevice:
    """Compiled by the host's `cc`, with the undefined-behaviour sanitizer unless `flags` say otherwise."""

    def __init__(self, sources: Sequence[str], flags: Sequence[str] = tuple(HOST_FLAGS)) -> None:
        command = ["cc", *WARNINGS, *flags, f"-I{INCLUDE}"]
        self.library = ctypes.CDLL(str(_build(command, [SRC / s for s in sources], ".so")))

    def call(self, function: str, args: Sequence[Arg]) -> int:
        size = 1 << 16
        for arg in args:
            array = arg.array if isinstance(arg, Ptr) else arg
            if isinstance(array, KernelData):
                size += sum(np.asarray(a.data).nbytes + 256 for a in array.arrays)
            elif isinstance(array, np.ndarray):
                size += array.nbytes + 256
        ram, rom = ctypes.create_string_buffer(size), ctypes.create_string_buffer(size)
        memory, constants = (Memory(_aligned(b), 8) for b in (ram, rom))
        values = [memory.argument(a, constants) for a in args]
        for buffer in (memory, constants):
            ctypes.memmove(buffer.base, bytes(buffer.image), len(buffer.image))
        pointer = [not isinstance(a, int) for a in args]
        function_ = self.library[function]
        function_.restype = None
        function_(
            *[
                ctypes.c_void_p(v) if p else ctypes.c_int32(v)
                for v, p in zip(values, pointer, strict=True)
            ]
        )
        memory.read_back(ctypes.string_at(memory.base, len(memory.image)))
        return 0


def _aligned(buffer: ctypes.Array[Any]) -> int:
    return (ctypes.addressof(buffer) + 63) & ~63


FLASH, RAM, CONST, STACK = 0x08000000, 0x20000000, 0x90000000, 0x30000000
STOP = FLASH + 0x3FFF0


class UnicornDevice:
    """Compiled for a row of cores.py and run in Unicorn; `call` gives the executed instructions."""

    def __init__(
        self, sources: Sequence[str], core: str = "cortex-m7", flags: Sequence[str] = ("-O2",)
    ) -> None:
        unicorn = pytest.importorskip("unicorn")
        elffile = pytest.importorskip("elftools.elf.elffile")
        command = [
            "arm-none-eabi-gcc", *WARNINGS, *CORES[core].gcc_flags, *flags, f"-I{INCLUDE}",
            "-ffreestanding", "-nostartfiles", "-Wl,-e,0", f"-Wl,-Ttext={FLASH:#x}",
        ]  # fmt: skip
        self.path = _build(command, [SRC / s for s in sources], ".elf")
        elf = elffile.ELFFile(self.path.open("rb"))
        symbols = elf.get_section_by_name(".symtab").iter_symbols()
        self.symbols = {s.name: s["st_value"] for s in symbols}
        model = getattr(unicorn.arm_const, f"UC_CPU_ARM_{CORES[core].unicorn}")
        self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.uc.ctl_set_cpu_model(model)
        self.uc.mem_map(FLASH, 0x40000, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        self.uc.mem_map(RAM, 16 << 20, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
        self.uc.mem_map(CONST, 16 << 20, unicorn.UC_PROT_READ)
        self.uc.mem_map(STACK, 0x2000, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
        for segment in elf.iter_segments("PT_LOAD"):
            self.uc.mem_write(segment["p_paddr"], segment.data())
        self.lengths: dict[tuple[int, int], int] = {}
        self.executions: dict[
            tuple[int, int], int
        ] = {}  # (address, bytes) of the last call's blocks
        self.uc.hook_add(unicorn.UC_HOOK_BLOCK, self._on_block)
        self.strict_hook = unicorn.UC_HOOK_CODE
        self.unaligned: list[int] = []

    def call(self, function: str, args: Sequence[Arg]) -> int:
        from unicorn import arm_const as reg

        memory, constants = Memory(RAM, 4), Memory(CONST, 4)
        values = [memory.argument(a, constants) & 0xFFFFFFFF for a in args]
        self.uc.mem_write(RAM, bytes(memory.image))
        self.uc.mem_write(CONST, bytes(constants.image))
        top = STACK + 0x2000 - 256
        self.uc.mem_write(top, np.array([*values[4:], 0], np.uint32).tobytes())
        names = (reg.UC_ARM_REG_R0, reg.UC_ARM_REG_R1, reg.UC_ARM_REG_R2, reg.UC_ARM_REG_R3)
        for name, value in zip(names, values[:4], strict=False):
            self.uc.reg_write(name, value)
        self.uc.reg_write(reg.UC_ARM_REG_SP, top)
        self.uc.reg_write(reg.UC_ARM_REG_LR, STOP | 1)
        self.executions.clear()
        self.uc.emu_start(self.symbols[function] | 1, STOP)
        assert self.uc.reg_read(reg.UC_ARM_REG_SP) == top
        assert not self.unaligned, f"unaligned LDRD or LDM at {self.unaligned[0]:#x}"
        memory.read_back(bytes(self.uc.mem_read(RAM, len(memory.image))))
        return sum(n * self.lengths[block] for block, n in self.executions.items())

    def check_alignment(self) -> None:
        """From now on (slowly) LDRD, STRD, LDM and STM at odd words fail the call, as on the chip."""
        self.uc.hook_add(self.strict_hook, self._on_instruction)

    def _on_instruction(self, uc: Any, address: int, size: int, _data: object) -> None:
        base = _multiple_word_base(bytes(uc.mem_read(address, size)))
        if base is not None and uc.reg_read(self._register(base)) & 3:
            self.unaligned.append(address)

    @staticmethod
    def _register(number: int) -> int:
        from unicorn import arm_const

        return int(getattr(arm_const, f"UC_ARM_REG_{('SP', 'LR', 'PC')[number - 13]}"
                           if number > 12 else f"UC_ARM_REG_R{number}"))  # fmt: skip

    def _on_block(self, uc: Any, address: int, size: int, _data: object) -> None:
        key = (address, size)
        if key not in self.lengths:
            self.lengths[key] = _instructions(bytes(uc.mem_read(address, size)))
        self.executions[key] = self.executions.get(key, 0) + 1


def _instructions(code: bytes) -> int:
    """Thumb-2: a halfword whose top five bits are 0b11101 or above starts a 32-bit instruction."""
    at = count = 0
    while at < len(code):
        at += 4 if code[at + 1] >> 3 >= 0b11101 else 2
        count += 1
    return count


def _multiple_word_base(code: bytes) -> int | None:
    """Base register of LDRD, STRD, LDM, STM: the loads that fault where a word is not aligned."""
    first = code[0] | code[1] << 8
    if len(code) == 2:
        return first >> 8 & 7 if first >> 12 == 0b1100 else None
    if first >> 9 != 0b1110100 or first & 15 == 15:
        return None
    is_dual, indexed = bool(first & 0x40), bool(first & 0x120)
    return first & 15 if indexed or not is_dual else None
