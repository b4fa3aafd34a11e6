"""What commands show: progress on stderr (terminals only), tables and JSON on stdout."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any


class Progress:
    """One line on stderr, redrawn at most ten times a second; silent when stderr is no terminal."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.drawn_at = 0.0
        self.stage = ""

    def __call__(self, stage: str, done: int = 0, total: int = 0) -> None:
        now = time.monotonic()
        if not self.live or (stage == self.stage and done < total and now - self.drawn_at < 0.1):
            return
        self.stage, self.drawn_at = stage, now
        count = f" {done:,}/{total:,}" if total else ""
        sys.stderr.write(f"\r\x1b[K{stage}{count}")
        sys.stderr.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def print_json(document: Any) -> None:
    """NaN and infinity are not JSON: their absence is checked here."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A remark that is no result: stderr."""
    print(text, file=sys.stderr)


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
