"""Compiles sources to objects once: an object's name is the hash of all that went into it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mcuformer.targets.toolchain import run_tool


def compile_objects(
    sources: Iterable[Path],
    include_dirs: Iterable[Path],
    command: Callable[[Path], tuple[str, ...]],
    version: str,
    cache: Path,
) -> list[Path]:
    """One object per source in `cache`, compiled on two threads unless it is there already.

    `command` gives a source's compiler call without the names of source and object. The key holds
    it, the compiler's version, the source, every header of the include directories, and every file
    that an assembly source may pull in by .incbin (all .bin files beside it).
    """
    cache.mkdir(parents=True, exist_ok=True)
    headers = _digest(sorted(h for d in include_dirs for h in d.glob("*.h")))

    def build(source: Path) -> Path:
        parts = [source, *(sorted(source.parent.glob("*.bin")) if source.suffix == ".S" else ())]
        key = hashlib.sha256(
            repr((command(source), version, headers, _digest(parts))).encode()
        ).hexdigest()[:20]
        target = cache / f"{source.stem}-{key}.o"
        if not target.exists():
            work = target.with_suffix(f".{os.getpid()}.tmp.o")
            try:
                run_tool(
                    [*command(source), str(source), "-o", str(work)], f"compiling {source.name}"
                )
                os.replace(work, target)
            finally:
                work.unlink(missing_ok=True)
        return target

    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(build, sources))


def _digest(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
