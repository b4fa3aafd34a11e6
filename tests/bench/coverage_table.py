"""The table of docs/coverage.md from the rows of coverage.py."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from coverage_follow import Row
from coverage_list import EXPORTERS, models

HEAD = (
    "source", "family", "model", "exporter", "result", "host", "Unicorn", "dB", "onnxruntime dB",
    "SRAM KB", "board", "commit",
)  # fmt: skip
_MISSING = re.compile(r"- (?P<name>\S+) \((?P<exporter>\w+)\), (?P<result>[^:]+): (?P<words>.*)")
LONGEST = 160
KNOWN_FROM_DB = 10.0  # below it onnxruntime's own int8 is no yardstick


def page(rows: Sequence[Row], command: str, date: str, versions: Mapping[str, str]) -> str:
    """Markdown: what was run, the sums, a row for each model, and the words of the refusals."""
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [
        "# What compiles",
        "",
        f"`{command}`, {date}; {packages}.",
        f"{len(rows)} of the list's {len(models()) * len(EXPORTERS)} exports; where host is -, compiled and not run.",
        "A row is of the commit at its end, and stays until it is measured again.",
        "Small variants with random weights, raw exports. Host and Unicorn: every traced value against the",
        "interpreter's. dB: SQNR of the worst output on 32 samples, its mean over the samples taken off, and that of",
        "onnxruntime's `quantize_static` (QDQ, per channel, int8, MinMax) with the same 16 calibration samples, run as",
        "the file is written (its 8-bit kernels, which are faster, saturate on processors without VNNI).",
        "",
        *summary(rows),
        "",
        *_table(rows),
        "",
        "## What was not compiled",
        "",
        *(f"- {row.name} ({row.exporter}), {row.result}: {_words(row)}" for row in _missing(rows)),
    ]
    return "\n".join(lines) + "\n"


def summary(rows: Iterable[Row]) -> list[str]:
    """A line for each exporter, and how SQNR compares."""
    rows = list(rows)
    lines = []
    for exporter in dict.fromkeys(row.exporter for row in rows):
        of = [row for row in rows if row.exporter == exporter and row.result != "no export"]
        results = Counter(row.result for row in of)
        equal = sum(row.host == "equal" for row in of)
        counts = ", ".join(f"{n} {result}" for result, n in results.most_common())
        lines.append(f"- {exporter}: {len(of)} models; {counts}; {equal} with all bits equal")
    for commit in dict.fromkeys(row.commit for row in rows if row.result != "no export"):
        lines += _of_commit(commit, [row for row in rows if row.commit == commit])
    return lines


def _of_commit(commit: str, rows: Sequence[Row]) -> list[str]:
    """How many of its rows were emulated, and how SQNR compares."""
    emulated = [row for row in rows if row.unicorn]
    same = sum(row.unicorn == "equal" for row in emulated)
    bits = f"in Unicorn {same} of {len(emulated)} with all bits equal"
    line = f"- of commit {commit or 'unknown'}: {len(rows)} rows; {bits}"
    gains = [r.db - r.ort_db for r in rows if r.db is not None and (r.ort_db or 0) >= KNOWN_FROM_DB]
    if gains:
        line += (
            f"; SQNR beside onnxruntime's where that reaches {KNOWN_FROM_DB:g} dB ({len(gains)} models): median "
            f"{statistics.median(gains):+.1f} dB, {min(gains):+.1f} to {max(gains):+.1f}"
        )
    return [line]


def rows_of(text: str) -> list[Row]:
    """The rows of a page, which has their numbers as they are printed."""
    lines = text.splitlines()
    found = filter(None, map(_MISSING.fullmatch, lines))
    said = {(m["name"], m["exporter"]): m["words"] for m in found}
    cells = [
        [c.strip() for c in line.strip("| ").split(" | ")] for line in lines if line[:2] == "| "
    ]
    return [
        _row(dict(zip(HEAD, c, strict=True)), said)
        for c in cells
        if len(c) == len(HEAD) and c[0] not in ("source", "---")
    ]


def _row(cell: Mapping[str, str], said: Mapping[tuple[str, str], str]) -> Row:
    name, exporter, sram = cell["model"], cell["exporter"], _number(cell["SRAM KB"])
    texts = {k: "" if cell[k] == "-" else cell[k] for k in ("board", "host", "Unicorn", "commit")}
    return Row(
        cell["source"], cell["family"], name, exporter, cell["result"], said.get((name, exporter), ""),
        texts["board"], None if sram is None else round(sram * 1024), None, texts["host"], texts["Unicorn"],
        _number(cell["dB"]), _number(cell["onnxruntime dB"]), commit=texts["commit"],
    )  # fmt: skip


def _number(text: str) -> float | None:
    return None if text == "-" else float(text)


def _table(rows: Iterable[Row]) -> list[str]:
    cells = [_cells(row) for row in rows]
    return ["| " + " | ".join(line) + " |" for line in (HEAD, ("---",) * len(HEAD), *cells)]


def _cells(row: Row) -> tuple[str, ...]:
    numbers = ("-" if db is None else f"{db:.1f}" for db in (row.db, row.ort_db))
    sram = "-" if row.sram is None else f"{row.sram / 1024:.0f}"
    return (
        row.source, row.family, row.name, row.exporter, row.result, row.host or "-",
        row.unicorn or "-", *numbers, sram, row.board or "-", row.commit or "-",
    )  # fmt: skip


def _missing(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.result != "ok"]


def _words(row: Row) -> str:
    text = " ".join(row.message.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
