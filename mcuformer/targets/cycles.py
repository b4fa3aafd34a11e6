"""Estimated cycles: executed basic blocks times LLVM's model of the core, without memory stalls.

A model, not a measurement: it knows dual issue and latencies, but no flash wait states, no cache
misses and no branch misses. Only a board's DWT counter tells cycles.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from mcuformer.errors import ToolMissingError
from mcuformer.targets.cores import CORES
from mcuformer.targets.elf import Elf

_MCA = ("llvm-mca-19", "llvm-mca")
_OBJDUMP = ("arm-none-eabi-objdump", "llvm-objdump-19", "llvm-objdump")
_ITERATIONS = 100
_LINE = re.compile(r"^\s*([0-9a-f]+):\s+(?:[0-9a-f]{4,8} )*\s*([a-z][\w.]*)\s*([^@;<]*)")
_IT = re.compile(r"^it[te]{0,3}$")
_CONDITIONS = "(?:eq|ne|cs|cc|hs|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)"
_BRANCH = re.compile(rf"^(?:b(?:l|x|lx)?{_CONDITIONS}?|cbn?z|tb[bh])$")
_CONDITION = re.compile(rf"{_CONDITIONS}(?=$|\.)")

Blocks = Mapping[int, tuple[int, int]]  # code address -> (bytes, executions)


def estimate_cycles(elf: Elf, blocks: Blocks, core: str) -> int:
    """Cycles of all `blocks` in the order in which they stand, each as if it ran in a loop."""
    code = disassemble(elf.path)
    texts: dict[str, int] = {}
    for address, (size, executions) in blocks.items():
        text = block_text([code[a] for a in range(address, address + size, 2) if a in code])
        if text:
            texts[text] = texts.get(text, 0) + executions
    cycles = block_cycles(list(texts), core)
    return round(sum(c * n for c, n in zip(cycles, texts.values(), strict=True)))


def port_functions(port: Path) -> set[str]:
    """Functions of the start-up and UART code, which are no part of an inference."""
    sources = [p for p in port.glob("*.c") if p.name != "memory.c"]
    lines = [line for p in sources for line in p.read_text(encoding="utf-8").splitlines()]
    heads = [line for line in lines if line[:1].isalpha() and line.endswith("{")]
    return {m[1] for m in (re.search(r"(\w+)\(", head) for head in heads) if m}


def disassemble(path: Path) -> dict[int, tuple[str, str]]:
    """Address -> (mnemonic, operands) of every instruction of an ELF."""
    argv = [_tool(_OBJDUMP, "binutils-arm-none-eabi"), "-d", "--no-show-raw-insn", str(path)]
    text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    found = filter(None, map(_LINE.match, text.splitlines()))
    return {int(m[1], 16): (m[2], m[3].strip()) for m in found}


def block_text(instructions: list[tuple[str, str]]) -> str:
    """What llvm-mca reads: IT blocks unconditional, branches of any kind as one plain branch."""
    lines: list[str] = []
    conditional = 0
    for mnemonic, operands in instructions:
        if _IT.match(mnemonic):
            conditional = len(mnemonic) - 1
            continue
        if conditional:
            conditional -= 1
            mnemonic = _CONDITION.sub("", mnemonic)
        mnemonic = mnemonic.removesuffix(".n").removesuffix(".w")  # LLVM chooses the width
        if _BRANCH.match(mnemonic):
            mnemonic, operands = "b", "#4"
        lines.append(f"{mnemonic} {operands}")
    return "\n".join(lines)


def block_cycles(texts: list[str], core: str) -> list[float]:
    """Cycles of one execution of each block."""
    source = "".join(
        f"# LLVM-MCA-BEGIN b{i}\n{text}\n# LLVM-MCA-END\n" for i, text in enumerate(texts)
    )
    argv = [
        _tool(_MCA, "llvm-19"), f"-mtriple={CORES[core].triple}", f"-mcpu={core}", "--json",
        f"-iterations={_ITERATIONS}", "-skip-unsupported-instructions=any", "-",
    ]  # fmt: skip
    result = subprocess.run(argv, input=source, capture_output=True, text=True, check=False)
    if result.returncode:
        raise ToolMissingError(f"{argv[0]} failed: {result.stderr.strip()[:300]}")
    found = {
        region["Name"]: region["SummaryView"]["TotalCycles"] / _ITERATIONS
        for region in json.loads(result.stdout)["CodeRegions"]
    }
    return [found.get(f"b{i}", 0.0) for i in range(len(texts))]


def _tool(names: tuple[str, ...], package: str) -> str:
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        raise ToolMissingError(f"{names[0]} is not installed", f"apt-get install {package}")
    return path
