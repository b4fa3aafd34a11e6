"""A compiler refused C of ours: is the compiler broken, was the C changed, or is it wrong?

The same call is tried on a program that every compiler takes. Its two files need what the runtime
needs: standard headers, a call from one to the other, and a division that libgcc brings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from mcuformer.errors import McuformerError, ToolFailedError, UsageError
from mcuformer.files.atomic import changed_files
from mcuformer.targets.tool import DOCTOR, made_by, run_tool

_PROBE: Mapping[str, str] = {
    "a.c": "#include <stddef.h>\n#include <stdint.h>\n#include <limits.h>\n"
    "uint64_t probe(uint64_t a, uint64_t b);\nint main(void) { return (int)probe(7u, 3u); }\n",
    "b.c": "#include <stdint.h>\nuint64_t probe(uint64_t a, uint64_t b);\n"
    "uint64_t probe(uint64_t a, uint64_t b) { return a / b; }\n",
}


def blamed(
    error: ToolFailedError,
    words: Sequence[str],
    link: Sequence[str] | None,
    folder: Path | None = None,
) -> McuformerError:
    """`error`, or what it really is. `words` compile; `link` are the words that link a program,
    None where only compiling failed; `folder` holds the source, in a package or beside one."""
    if not error.complains:
        return error
    try:
        _probe([w for w in words if w != "-c"], link)
    except ToolFailedError as other:
        message = f"{error.message}\nnor does it take a program of two lines: {other.message}"
        return ToolFailedError(message, error.hint)
    changed = () if folder is None else _changed(folder)
    if changed:
        return UsageError(
            f"{changed[0]} is not as mcuformer wrote it: {error.message}",
            "undo the change, or compile the model again",
        )
    return McuformerError(error.message)


def _probe(words: Sequence[str], link: Sequence[str] | None) -> None:
    with TemporaryDirectory(prefix="mcuformer-") as name:
        objects = []
        for file, text in _PROBE.items():
            source, target = Path(name) / file, (Path(name) / file).with_suffix(".o")
            source.write_text(text, encoding="utf-8")
            run_tool([*words, "-c", str(source), "-o", str(target)], f"compiling {file}")
            if b"probe" not in made_by(words, f"compiling {file}", target).read_bytes():
                raise ToolFailedError(
                    f"compiling {file}: {words[0]} leaves an empty object", DOCTOR
                )
            objects.append(str(target))
        if link is not None:
            program = Path(name) / "program"
            run_tool([*words, *objects, *link, "-o", str(program)], "linking a.o and b.o")


def _changed(folder: Path) -> Sequence[Path]:
    """Of the package that `folder` lies in."""
    for root in (folder, *folder.parents[:2]):
        if found := changed_files(root):
            return found
    return ()
