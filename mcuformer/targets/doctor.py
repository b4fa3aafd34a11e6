"""What is installed beside the core, what it is for, and how to get it."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`version` None: not installed; `required`: compile, run and validate need it by default."""

    name: str
    purpose: str
    version: str | None
    hint: str
    required: bool = False


_PACKAGES = (
    ("unicorn", "runs the firmware (default emulator)", "pip install 'mcuformer[emulate]'", True),
    ("onnxruntime", "float reference of validate", "pip install 'mcuformer[validate]'", True),
    ("pillow", "reads image folders", "pip install 'mcuformer[validate]'", True),
    ("ziglang", "cross compiler where arm-none-eabi-gcc is missing", "pip install ziglang", False),
    ("matplotlib", "plots", "pip install 'mcuformer[plot]'", False),
)
_TOOLS = (
    (("arm-none-eabi-gcc",), "cross compiler", "apt-get install gcc-arm-none-eabi"),
    (("cc", "gcc", "clang"), "host build of the C (--emulator host)", "apt-get install gcc"),
    (("qemu-system-arm",), "second emulator", "apt-get install qemu-system-arm"),
    (("renode",), "third emulator", "see renode.io; no package registry has it"),
    (("st-flash",), "writes internal flash", "apt-get install stlink-tools"),
    (("openocd",), "writes QSPI flash", "apt-get install openocd"),
    (("cmake",), "builds the C package without Python", "apt-get install cmake"),
    (("clang-format",), "formats the C that make lint checks", "apt-get install clang-format"),
    (("llvm-mca-19", "llvm-mca"), "estimated cycles", "apt-get install llvm"),
)


def examine() -> list[Finding]:
    """Every optional part, Python packages first. A cross compiler of either kind is required."""
    found = [Finding(n, why, _package(n), hint, need) for n, why, hint, need in _PACKAGES]
    found += [Finding(names[0], why, _tool(names), hint) for names, why, hint in _TOOLS]
    return found


def missing_essentials(findings: list[Finding]) -> list[str]:
    """Names without which compile, run or validate stop with exit code 6."""
    have = {f.name for f in findings if f.version}
    lacking = [f.name for f in findings if f.required and not f.version]
    if not have & {"arm-none-eabi-gcc", "ziglang"}:
        lacking.append("arm-none-eabi-gcc or ziglang")
    return lacking


def _package(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _tool(names: tuple[str, ...]) -> str | None:
    """First line with a digit of `--version` of the first name on PATH."""
    path = next((p for p in map(shutil.which, names) if p), None)
    if path is None:
        return None
    try:
        result = subprocess.run(
            [path, "--version"],
            check=False,
            capture_output=True,
            text=True,
            timeout=20,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired):
        return "installed, but --version fails"
    lines = (result.stdout + result.stderr).splitlines()
    return next((x.strip() for x in lines if any(c.isdigit() for c in x)), "installed")
