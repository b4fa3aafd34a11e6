"""Temporary siblings of an output: their names, and what a process that was killed left of them.

A name holds the machine and the process that made it: one whose process lives is left alone.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

_LONGEST = 150  # bytes of the target's name: file systems take 255 in all
_HERE = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
_OLD = ".old"


def beside(target: Path) -> Path:
    """A free name in the same folder. It is known before anything has it: an interruption between
    making and naming would leave something behind."""
    name = f"{_stem(target)}{_HERE}-{os.getpid()}-{secrets.token_hex(6)}"
    return target.with_name(name)


def aside(work: Path) -> Path:
    """Where the files go that those of `work` replace."""
    return work.with_name(f"{work.name}{_OLD}")


def leftovers(target: Path) -> list[Path]:
    """Of processes of this machine that no longer live."""
    form = re.compile(rf"{re.escape(_stem(target))}{_HERE}-(\d+)-[0-9a-f]{{12}}(\.old)?")
    with suppress(OSError):
        found = [(form.fullmatch(p.name), p.name) for p in target.parent.iterdir()]
        return sorted(target.with_name(n) for match, n in found if match and _dead(int(match[1])))
    return []


def broken_off(found: list[Path]) -> list[Path]:
    """Those of `found` that had begun to replace the target's files: both folders of each."""
    olds = [p for p in found if p.name.endswith(_OLD)]
    return [*olds, *(p for p in found if aside(p) in olds)]


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _stem(target: Path) -> str:
    cut = os.fsencode(target.name)[:_LONGEST]
    return f".{target.name if len(cut) < _LONGEST else cut.decode('utf-8', 'ignore')}."


def _dead(process: int) -> bool:
    if os.name != "posix":
        return False  # asking would end it
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False
    return False
