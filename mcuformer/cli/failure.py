"""From an exception to one message on stderr, one JSON document (--json) and one exit code."""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from mcuformer.cli.console import warn
from mcuformer.cli.continued import continued
from mcuformer.cli.streams import StdoutError, flush_stdout
from mcuformer.errors import McuformerError
from mcuformer.util.interrupts import is_interruption, terminate_as_interrupt

_REPORT = (
    "open an issue with the command line, the output of MCUFORMER_DEBUG=1 and of mcuformer doctor, "
    "and the model or one like it"
)
BUG, USAGE, INTERRUPTED = 1, 2, 130


@dataclass(frozen=True)
class Failure:
    exit_code: int
    message: str
    hint: str | None = None


def reported(error: McuformerError, as_json: bool) -> McuformerError:
    """`error`, marked when the command has printed its own JSON document already."""
    error.json_printed = as_json
    return error


def report_failure(error: BaseException, args: Sequence[str]) -> int:
    """Print `error` as the contract asks; the exit code."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, BrokenPipeError) or (isinstance(error, StdoutError) and error.nobody):
        return 0  # the reader of stdout went away
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else BUG
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):  # of click 8.2
        with suppress(OSError):
            print(error.format_message(), file=sys.stderr, flush=True)  # type: ignore[attr-defined]
        return USAGE
    failure = classify(error)
    if "--debug" in args or os.environ.get("MCUFORMER_DEBUG"):
        traceback.print_exception(error)
    if "--json" in args and not _json_printed(error):
        with suppress(StdoutError):  # stderr has the message, too
            print(json.dumps(_document(error, failure), indent=2), flush=True)
    lines = [f"error: {failure.message}"] + ([f"  hint: {failure.hint}"] if failure.hint else [])
    with suppress(OSError):  # stderr may be full as well
        print("\n".join(lines), file=sys.stderr, flush=True)
        if isinstance(error, McuformerError):
            warn(error.diagnostics)
    with suppress(StdoutError):
        flush_stdout()
    return failure.exit_code


def ended(work: Callable[[], object], args: Sequence[str], again: str | None = None) -> int:
    """The exit code of `work`: every failure becomes one message. `again`: how what was stopped goes on."""
    try:
        with terminate_as_interrupt(), continued(Path(), again) if again else nullcontext():
            work()
            flush_stdout()
    except BaseException as error:  # noqa: BLE001, the one place where all of them end
        return report_failure(error, args)
    return 0


def _document(error: BaseException, failure: Failure) -> dict[str, Any]:
    """The report of a model that does not fit; for anything else the error by itself."""
    if isinstance(error, McuformerError) and error.report is not None:
        return error.report
    body = {"exit_code": failure.exit_code, "message": failure.message, "hint": failure.hint}
    return {"schema_version": 1, "error": body}


def _json_printed(error: BaseException) -> bool:
    return isinstance(error, McuformerError) and error.json_printed


def classify(error: BaseException) -> Failure:
    """Which of the contract's failures this is."""
    if isinstance(error, McuformerError) and error.exit_code == BUG:
        return Failure(BUG, f"this is a bug in mcuformer: {error.message}", error.hint or _REPORT)
    if isinstance(error, McuformerError):
        return Failure(error.exit_code, error.message, error.hint)
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "mcuformer"
        return Failure(USAGE, error.format_message(), f"{command} --help lists what it takes")
    if isinstance(error, click.ClickException):
        return Failure(USAGE, error.format_message())
    if isinstance(error, click.Abort) or is_interruption(error):
        return Failure(INTERRUPTED, "interrupted; nothing was written")
    if isinstance(error, OSError) and error.errno is not None:
        return _of_system(error)
    if isinstance(error, MemoryError):
        return Failure(USAGE, "this machine has too little memory", "try a smaller model")
    what = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    return Failure(
        BUG,
        f"this is a bug in mcuformer ({what})",
        _REPORT,
    )


_WHY: Mapping[int, str] = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOENT: "no such file or directory",
    errno.ENOTDIR: "a part of the path is no directory",
    errno.EISDIR: "it is a directory",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EFBIG: "the file would be larger than allowed",
}


def _of_system(error: OSError) -> Failure:
    where = f"{error.filename}: " if error.filename else ""
    why = _WHY.get(error.errno or 0, error.strerror or str(error))
    return Failure(USAGE, f"{where}{why}; nothing was written")
