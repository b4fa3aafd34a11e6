"""The runtime of a package: all kernels, so that any two models share one, and its version."""

from __future__ import annotations

import hashlib
import shutil
from functools import cache
from pathlib import Path

from mcuformer import __version__
from mcuformer.codegen.render import render
from mcuformer.files.paths import RUNTIME_C

_FOLDERS = ("include", "src")


@cache
def runtime_version() -> str:
    """A C number, the head of the sha256 over all files: two runtimes of one version are the same."""
    digest = hashlib.sha256()
    for path in _files():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return f"0x{digest.hexdigest()[:8]}u"


def copy_runtime(directory: Path) -> list[str]:
    """Copy kernels and headers into DIR/include and DIR/src; the names of the C files."""
    for folder in _FOLDERS:
        (directory / folder).mkdir(parents=True, exist_ok=True)
    for path in _files():
        shutil.copyfile(path, directory / path.parent.name / path.name)
    text = render("mcf_version.h.j2", version=__version__, runtime_version=runtime_version())
    (directory / "include" / "mcf_version.h").write_text(text, encoding="utf-8")
    return sorted(path.name for path in _files() if path.suffix == ".c")


def _files() -> list[Path]:
    return [
        p for d in _FOLDERS for p in sorted((RUNTIME_C / d).iterdir()) if p.suffix in (".c", ".h")
    ]
