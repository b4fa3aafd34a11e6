"""Every fact of a core's row that a compiler, an emulator or the C can confirm."""

from __future__ import annotations

import functools
import shutil
import subprocess

import pytest

from mcuformer.errors import ToolMissingError
from mcuformer.kernels.base import CACHE_LINE
from mcuformer.targets.board_file import shipped_boards
from mcuformer.targets.cores import CORES, Core
from mcuformer.targets.families import FAMILIES
from mcuformer.targets.port import PORT
from mcuformer.targets.toolchain import Toolchain, find_toolchain

EVERY_CORE = pytest.mark.parametrize("core", CORES.values(), ids=CORES.keys())


def installed(name: str) -> Toolchain:
    try:
        return find_toolchain(name)
    except ToolMissingError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("compiler", ("gcc", "zig"))
@EVERY_CORE
def test_the_compiler_agrees(core: Core, compiler: str) -> None:
    """Instructions and ABI that a row names are those that the flags choose."""
    toolchain = installed(compiler)
    argv = [*toolchain.command, *toolchain.compile_flags(core.name), "-x", "c", "-dM", "-E", "-"]
    text = subprocess.run(argv, input="", capture_output=True, text=True, check=True).stdout
    macros = dict(line.split(" ", 2)[1:] for line in text.splitlines())
    assert ("__ARM_FEATURE_DSP" in macros) == core.dsp
    assert ("__ARM_FEATURE_MVE" in macros) == core.mve
    assert ("__ARM_FP" in macros) == (core.fpu is not None)
    assert ("__ARM_PCS_VFP" in macros) == (core.abi == "hard")
    number = {"thumbv6m": "6", "thumbv7m": "7", "thumbv7em": "7", "thumbv8m.main": "8"}
    assert macros["__ARM_ARCH"] == number[core.triple.split("-")[0]] and "__thumb__" in macros


@EVERY_CORE
def test_unicorn_has_its_model(core: Core) -> None:
    engine = pytest.importorskip("mcuformer.targets.chip.engine")
    engine.Engine(core.name)


@functools.cache
def machines() -> dict[str, str]:
    argv = ["qemu-system-arm", "-M", "help"]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name: rest for name, _, rest in (line.partition(" ") for line in lines)}


@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="no qemu-system-arm")
@EVERY_CORE
def test_qemu_has_its_machine(core: Core) -> None:
    if core.qemu is not None:
        assert machines()[core.qemu.name].endswith(core.name.replace("cortex-m", "Cortex-M"))


def test_weights_begin_at_a_cache_line() -> None:
    assert all(CACHE_LINE % (core.cache_line_bytes or 1) == 0 for core in CORES.values())


def test_families_and_boards_name_rows() -> None:
    for family in FAMILIES.values():
        assert family.core in CORES and (PORT / family.clock_source).is_file()
    for board in shipped_boards():
        assert board.family is None or FAMILIES[board.family].core == board.core
