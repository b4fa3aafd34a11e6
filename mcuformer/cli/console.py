"""What commands show: progress on stderr (terminals only), tables and JSON on stdout."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from mcuformer.util.names import printable

if TYPE_CHECKING:
    from mcuformer.errors import Diagnostic


_WIDTH = 20  # of the bar


class ProgressLine:
    """One line on stderr, redrawn at most ten times a second; silent when stderr is no terminal.

    A bar and the time left where the total is known; the time counts from the first call of a
    stage, so that a resumed one is not taken for a fast one. What stands in brackets behind a
    stage's name may change from call to call. `seconds`: CPU time of the stages that are over,
    of the programs that they started, too.
    """

    def __init__(self) -> None:
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.drawn_at = 0.0
        self.stage = ""
        self.started_at, self.started_with = 0.0, 0
        self.seconds: dict[str, float] = {}
        self._spent = _cpu_seconds()

    def __call__(self, stage: str, done: int = 0, total: int = 0) -> None:
        now = time.monotonic()
        name = stage.partition(" (")[0]
        if name != self.stage:
            self._close()
            self.started_at, self.started_with = now, done
        elif done < total and now - self.drawn_at < 0.1:
            return
        self.stage, self.drawn_at = name, now
        if not self.live:
            return
        seconds = now - self.started_at
        sys.stderr.write(f"\r\x1b[K{line(stage, done, total, self.started_with, seconds)}")
        sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def _close(self) -> None:
        spent = _cpu_seconds()
        if self.stage:
            self.seconds[self.stage] = self.seconds.get(self.stage, 0.0) + spent - self._spent
        self._spent = spent

    def __exit__(self, *exc: object) -> None:
        self._close()
        if self.live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _cpu_seconds() -> float:
    return sum(os.times()[:4])


def cpu_line(seconds: Mapping[str, float]) -> str:
    """CPU seconds of stages, and their sum."""
    each = ", ".join(f"{stage} {spent:.1f}" for stage, spent in seconds.items())
    return f"took     {sum(seconds.values()):.1f} s of CPU: {each}"


def line(stage: str, done: int, total: int, started_with: int, seconds: float) -> str:
    """What Progress draws: `training (loss 0.31)  [#####     ] 1,200/2,400, 3 min left`."""
    if not total:
        return stage
    full = _WIDTH * min(done, total) // total
    bar = f"{stage}  [{'#' * full}{' ' * (_WIDTH - full)}] {done:,}/{total:,}"
    fresh = done - started_with
    if fresh < 1 or done >= total or seconds < 2:
        return bar
    return f"{bar}, {_time(seconds * (total - done) / fresh)} left"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def print_json(document: Any) -> None:
    """NaN and infinity are not JSON: their absence is checked here."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A remark that is no result: stderr."""
    print(text, file=sys.stderr)


def warn(diagnostics: Iterable[Diagnostic]) -> None:
    """The warnings among them on stderr; an error is what the command fails with."""
    for found in diagnostics:
        if found.severity == "warning":
            hint = f"\n  hint: {printable(found.hint, 500)}" if found.hint else ""
            note(f"warning: {printable(found.message, 500)}{hint}")


def count(value: int | None) -> str:
    """A cell of a table; "-" where the number is not known."""
    return "-" if value is None else f"{value:,}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart; a column whose every entry starts with a digit is right-aligned.

    An empty header is left out.
    """
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    is_number = [all(_number(row[i]) for row in cells[1:]) for i in range(len(header))]
    columns = list(zip(widths, is_number, strict=True))
    lines = [
        "  ".join(c.rjust(w) if n else c.ljust(w) for c, (w, n) in zip(row, columns, strict=True))
        for row in cells
    ]
    lines.insert(1, "  ".join("-" * w for w in widths))
    if not any(header):
        del lines[:2]
    return "\n".join(line.rstrip() for line in lines)


def _number(cell: str) -> bool:
    return cell[:1].isdigit() or cell in ("", "-")
