"""Output that appears whole or not at all: written beside its target, then renamed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mcuformer.errors import UsageError
from mcuformer.files.leftovers import aside, beside, broken_off, leftovers, remove

FILE_LIST = ".mcuformer-files"  # as sha256sum writes and checks it
_LINE = re.compile(r"(?:([0-9a-f]{64})  )?(.+)")


@contextmanager
def atomic_directory(target: Path) -> Iterator[Path]:
    """A temporary sibling of `target` that becomes `target` when the block ends without an error.

    Where `target` exists already, the files of an earlier package (named in FILE_LIST) go and all
    others stay; it is refused when one of those would be overwritten. On an error everything is as
    it was before.
    """
    target = check_directory(target)
    made = _make_parents(target.parent)
    work, killed = beside(target), _tidied(target)
    try:
        for folder in (target.parent, target):
            if folder.exists():
                _refuse_closed(folder)
        with _on_behalf_of(target):
            work.mkdir()
        yield work
        names = sorted(str(p.relative_to(work)) for p in work.rglob("*") if not p.is_dir())
        lines = [f"{sha256_of(work / name)}  {name}\n" for name in names]
        (work / FILE_LIST).write_text("".join([*lines, f"{FILE_LIST}\n"]), encoding="utf-8")
        _commit(work, target, killed)
        made = []
    finally:
        shutil.rmtree(work, ignore_errors=True)
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()


def check_directory(target: Path) -> Path:
    """`target` whole; UsageError where no directory can be. Good before the work, too."""
    target = Path(os.path.abspath(target))  # noqa: PTH100, keeps links and drops `..`
    _refuse_dangling(target)
    if not target.name:
        raise UsageError(f"{target} is the root of a file system", "give -o a directory of its own")
    for path in (target, *target.parents):
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path} exists and is no directory", "give -o another name")
    nearest = next(path for path in (target, *target.parents) if path.exists())
    _refuse_closed(nearest)
    return target


def check_file(target: Path) -> Path:
    """`target` whole; UsageError where no file can be written there. Good before the work, too."""
    target = Path(os.path.abspath(target))  # noqa: PTH100, keeps links and drops `..`
    _refuse_dangling(target)
    if target.is_dir():
        raise UsageError(f"{target} is a directory", "name a file in it")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is no directory", "make it first")
    _refuse_closed(target.parent)
    return target


def _refuse_closed(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{folder}: permission denied; nothing was written")


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """A temporary path that replaces `target` when the block ends without an error."""
    target = check_file(target)
    work = beside(target)
    _tidied(target)
    try:
        with _on_behalf_of(target):
            work.touch(exist_ok=False)
        yield work
        work.replace(target)
    finally:
        work.unlink(missing_ok=True)


def _refuse_dangling(target: Path) -> None:
    """A link to nowhere, or to itself, would be replaced, or fail when all is done."""
    for path in (target, *target.parents):
        if path.is_symlink() and not path.exists():
            raise UsageError(
                f"{path} is a link that leads nowhere", "remove it, or give another name"
            )


@contextmanager
def _on_behalf_of(target: Path) -> Iterator[None]:
    """What the system says of a temporary sibling is true of `target`."""
    try:
        yield
    except OSError as error:
        error.filename = str(target)
        raise


def _tidied(target: Path) -> list[Path]:
    """Removes what killed processes left beside `target`; left are folders of a broken-off commit,
    which say whose the files in `target` are."""
    found = leftovers(target)
    killed = broken_off(found)
    for path in found:
        if path not in killed:
            remove(path)
    return killed


def _commit(work: Path, target: Path, killed: Sequence[Path] = ()) -> None:
    """Move the files of `work` into `target`; what they replace comes back if that fails.

    Files of the commits that were `killed` count as an earlier package's.
    """
    if not target.exists():
        work.replace(target)
        for path in killed:
            remove(path)
        return
    names = [str(p.relative_to(work)) for p in work.rglob("*") if not p.is_dir()]
    earlier = set().union(*map(_earlier_files, (target, *killed)))
    foreign = [n for n in names if (target / n).exists() and n not in earlier]
    if FILE_LIST in foreign:
        raise UsageError(
            f"{target / FILE_LIST} is damaged: it does not say what an earlier run wrote there",
            f"move {target} away, or remove it, and run again",
        )
    if foreign:
        raise UsageError(
            f"{target} holds files that mcuformer did not write: {', '.join(sorted(foreign)[:5])}",
            "give -o a directory of its own",
        )
    _refuse_links(target, {*names, *earlier})
    old = aside(work)
    moved: list[tuple[Path, Path]] = []
    try:
        old.mkdir()
        for source, goal in [
            *((target / n, old / n) for n in earlier if (target / n).is_file()),
            *((work / n, target / n) for n in names),
        ]:
            goal.parent.mkdir(parents=True, exist_ok=True)
            source.replace(goal)
            moved.append((source, goal))
    except BaseException:
        for source, goal in reversed(moved):
            goal.replace(source)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
    for path in killed:
        remove(path)


def _refuse_links(target: Path, names: Iterable[str]) -> None:
    """A folder in `target` that is a link leads elsewhere: nothing is written or removed there."""
    folders = {p for n in names for p in Path(n).parents if p != Path()}
    links = sorted(str(p) for p in folders if (target / p).is_symlink())
    if links:
        raise UsageError(
            f"{target / links[0]} is a link: files would be written elsewhere",
            "remove the link, or give -o another directory",
        )


def changed_files(target: Path) -> list[Path]:
    """Files in `target` that are not as atomic_directory left them; none where it holds no list."""
    table = {name: digest for digest, name in _listed(target) if digest}
    paths = {target / name: digest for name, digest in table.items()}
    return [p for p, digest in paths.items() if not p.is_file() or sha256_of(p) != digest]


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _earlier_files(target: Path) -> set[str]:
    """What an earlier package left in `target` by its own list."""
    return {name for _, name in _listed(target)}


def _listed(target: Path) -> list[tuple[str, str]]:
    """Digest (maybe none) and name of each file in the list, less names that lead outside."""
    listed = target / FILE_LIST
    content = listed.read_text(encoding="utf-8", errors="replace") if listed.is_file() else ""
    lines = content.splitlines() if "\0" not in content else []
    found = [_LINE.fullmatch(line) for line in lines]
    pairs = [(m[1] or "", m[2]) for m in found if m]
    return [(d, n) for d, n in pairs if not Path(n).is_absolute() and ".." not in Path(n).parts]


def _make_parents(folder: Path) -> list[Path]:
    """Create `folder`; the directories that were made, outermost first."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return list(reversed(missing))
