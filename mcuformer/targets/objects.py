"""Compiles sources to objects once: an object's name is the hash of all that went into it.

Kernels are the same in every package, so objects are also kept between packages and commands, in
$MCUFORMER_CACHE, else in the user's cache directory (an empty MCUFORMER_CACHE: nowhere). Only
content counts for a key: where the files lie does not.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from mcuformer.errors import ToolFailedError
from mcuformer.targets.blame import blamed
from mcuformer.targets.tool import made_by, run_tool

_INCLUDE = re.compile(rb'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)
_OURS = re.compile(r"-D(MCF_\w+)")
_MOST_KEPT = 4000  # objects: some 100 MB


def compile_objects(
    sources: Iterable[Path],
    include_dirs: Iterable[Path],
    command: Callable[[Path], tuple[str, ...]],
    version: str,
    cache: Path,
) -> list[Path]:
    """One object per source in `cache`, compiled on two threads unless it is there already.

    `command` gives a source's compiler call without the names of source and object. The key holds
    it without include paths and without those of our macros that no file names (a build that traces shares the
    weights with one that does not), the compiler's version, the source with every header that it includes,
    and every file that an assembly source may pull in by .incbin (all .bin files beside it).
    """
    cache.mkdir(parents=True, exist_ok=True)
    folders, kept = list(include_dirs), shared_cache()

    def build(source: Path) -> Path:
        parts = _parts(source, folders)
        words = [w for w in command(source) if not w.startswith("-I") and _matters(w, parts)]
        key = hashlib.sha256(repr((words, version, _digest(parts))).encode())
        target = cache / f"{source.stem}-{key.hexdigest()[:20]}.o"
        if target.exists():
            return target
        stored = kept / target.name if kept is not None else None
        if stored is not None and stored.exists():
            with suppress(OSError):  # another process may have tidied up
                _copy(stored, target)
                os.utime(stored)
                return target
        work = target.with_suffix(f".{os.getpid()}.tmp.o")
        try:
            words, what = list(command(source)), f"compiling {source.name}"
            try:
                run_tool([*words, str(source), "-o", str(work)], what)
            except ToolFailedError as error:
                raise blamed(error, words, None, source.parent) from error
            made_by(words, what, work)
            work.replace(target)
        finally:
            work.unlink(missing_ok=True)
        if stored is not None:
            with suppress(OSError):  # a full disk is no reason to fail
                _copy(target, stored)
        return target

    with ThreadPoolExecutor(max_workers=2) as pool:
        objects = list(pool.map(build, sources))
    if kept is not None:
        _tidy(kept)
    return objects


def shared_cache() -> Path | None:
    """Where objects outlive a package; None where that is not wanted or not possible."""
    given = os.environ.get("MCUFORMER_CACHE")
    if given == "":
        return None
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    folder = Path(given) if given else Path(base) / "mcuformer" / "objects"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def _copy(source: Path, target: Path) -> None:
    """Whole or not at all. Nobody writes into an object: a second name is enough where there are such."""
    work = target.with_suffix(f".{os.getpid()}.copy")
    try:
        try:
            os.link(source, work)
        except OSError:
            shutil.copyfile(source, work)
        work.replace(target)
    finally:
        work.unlink(missing_ok=True)


def _tidy(folder: Path) -> None:
    """Where there are too many objects, those go that were not used for longest."""
    with suppress(OSError):
        with os.scandir(folder) as entries:  # thousands: no Path for each
            names = [e.name for e in entries if e.name.endswith(".o")]
        if len(names) > _MOST_KEPT:
            found = [folder / n for n in names]
            found.sort(key=lambda p: p.stat().st_mtime)
            for path in found[: len(found) // 2]:
                path.unlink(missing_ok=True)


def _parts(source: Path, folders: Sequence[Path]) -> dict[str, bytes]:
    """The source, the headers behind it, and what an assembly source may pull in."""
    parts = {source.name: source.read_bytes()}
    waiting = [source]
    while waiting:
        path = waiting.pop()
        for name in map(os.fsdecode, _INCLUDE.findall(parts.get(path.name, b""))):
            found = next((d / name for d in (path.parent, *folders) if (d / name).is_file()), None)
            if found is not None and found.name not in parts:
                parts[found.name] = found.read_bytes()
                waiting.append(found)
    if source.suffix == ".S":
        parts |= {p.name: p.read_bytes() for p in source.parent.glob("*.bin")}
    return parts


def _matters(word: str, parts: Mapping[str, bytes]) -> bool:
    """Whether a word of the compiler's call does anything: a macro of ours may stand in no file."""
    macro = _OURS.match(word)
    return macro is None or any(macro[1].encode() in data for data in parts.values())


def _digest(parts: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, data in sorted(parts.items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    return digest.hexdigest()
