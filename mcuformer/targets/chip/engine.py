"""The few calls of Unicorn that we use, typed: its own binding has no annotations that hold."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

from mcuformer.targets.cores import CORES
from mcuformer.util.interrupts import interrupt_afterwards

_unicorn: Any = importlib.import_module("unicorn")
_arm: Any = importlib.import_module("unicorn.arm_const")

Register = Literal["r0", "r1", "r2", "r3", "sp", "lr", "pc"]
_REGISTERS: Mapping[str, int] = {
    name: getattr(_arm, f"UC_ARM_REG_{name.upper()}")
    for name in ("r0", "r1", "r2", "r3", "sp", "lr", "pc")
}
_READS = (_unicorn.UC_MEM_READ, _unicorn.UC_MEM_READ_UNMAPPED, _unicorn.UC_MEM_READ_PROT)
_FETCHES = (_unicorn.UC_MEM_FETCH, _unicorn.UC_MEM_FETCH_UNMAPPED, _unicorn.UC_MEM_FETCH_PROT)
_FOREVER = 0xFFFFFFFE  # an address that no program reaches


class EngineError(Exception):
    """The program did what the core or the bus refuses."""


class Engine:
    """A Cortex-M core. Addresses of code are even; the Thumb bit is added here."""

    def __init__(self, core: str) -> None:
        self.uc: Any = _unicorn.Uc(
            _unicorn.UC_ARCH_ARM, _unicorn.UC_MODE_THUMB | _unicorn.UC_MODE_MCLASS
        )
        self.uc.ctl_set_cpu_model(getattr(_arm, f"UC_CPU_ARM_{CORES[core].unicorn}"))

    def get(self, register: Register) -> int:
        return int(self.uc.reg_read(_REGISTERS[register]))

    def set(self, register: Register, value: int) -> None:
        self.uc.reg_write(_REGISTERS[register], value)

    def map_memory(self, base: int, memory: ctypes.Array, allowed: int) -> None:
        """`allowed`: 1 read, 2 write, 4 execute. The core works on the buffer itself."""
        self.uc.mem_map_ptr(base, ctypes.sizeof(memory), allowed, ctypes.addressof(memory))

    def protect(self, start: int, end: int, allowed: int) -> None:
        self.uc.mem_protect(start, end - start, allowed)

    def map_registers(
        self, base: int, size: int, read: Callable[[int], int], write: Callable[[int, int], None]
    ) -> None:
        """Loads and stores of [base, base + size) become calls with the full address."""
        self.uc.mmio_map(
            base, size, lambda _uc, offset, _size, _data: read(base + offset), None,
            lambda _uc, offset, _size, value, _data: write(base + offset, value), None,
        )  # fmt: skip

    def on_block(self, function: Callable[[int, int], None]) -> None:
        """`function(address, bytes)` at the start of every basic block."""
        self.uc.hook_add(
            _unicorn.UC_HOOK_BLOCK, lambda _uc, address, size, _data: function(address, size)
        )

    def on_block_native(self, function: Any, user: int) -> None:
        """The same with a C function pointer, which the Python binding has no call for."""
        library: Any = importlib.import_module("unicorn.unicorn_py3.unicorn").uclib
        handle = ctypes.c_size_t()
        status = library.uc_hook_add(
            self.uc._uch,  # noqa: SLF001, the handle has no other name
            ctypes.byref(handle), _unicorn.UC_HOOK_BLOCK,
            ctypes.cast(function, ctypes.c_void_p), ctypes.c_void_p(user),
            ctypes.c_uint64(1), ctypes.c_uint64(0),
        )  # fmt: skip
        if status:
            raise EngineError(f"uc_hook_add failed with {status}")

    def on_instruction(self, address: int, function: Callable[[], None]) -> None:
        self.uc.hook_add(_unicorn.UC_HOOK_CODE, lambda *_: function(), begin=address, end=address)

    def on_invalid(self, function: Callable[[str, int, int], None]) -> None:
        """`function(kind, address, size)` before an access fails; kind: read, write, execution."""

        def hook(_uc: Any, access: int, address: int, size: int, _value: int, _data: Any) -> bool:
            kind = "read" if access in _READS else "execution" if access in _FETCHES else "write"
            function(kind, address, size)
            return False

        self.uc.hook_add(_unicorn.UC_HOOK_MEM_INVALID, hook)

    def run(self, pc: int, until: float | None = None) -> int:
        """Run until `stop`, WFI or time.monotonic() `until`; the address where it stopped.

        EngineError on a fault."""
        try:
            with interrupt_afterwards(self.stop, until):
                self.uc.emu_start(pc | 1, _FOREVER)
        except _unicorn.UcError as error:
            raise EngineError(str(error)) from None
        return self.get("pc")

    def stop(self) -> None:
        """Inside a callback of a load or store: that instruction will run once more."""
        self.uc.emu_stop()
