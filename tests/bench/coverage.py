"""What of timm, Hugging Face and torchvision compiles, and how well: the table of docs/coverage.md.

    python tests/bench/coverage.py --python PATH

PATH is an interpreter with torch, timm, torchvision, transformers, onnx and onnxscript: a child process
of it exports the models of coverage_models.toml, which are then compiled, run and measured here.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from coverage_follow import EMULATION, RUNS, Row, Stage, followed
from coverage_list import EXPORTERS, Model, models, versions
from coverage_table import page, rows_of, summary

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "coverage.md"


def main() -> int:
    args = _arguments()
    args.commit = _commit()
    listed = models()
    unknown = set(args.only) - {word for m in listed for word in _words(m)}
    if unknown:
        print(f"no family, model or package: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    wanted = [m for m in listed if not args.only or set(args.only) & set(_words(m))]
    rows = []
    for exporter in args.exporter or EXPORTERS:
        folder = args.work / exporter
        folder.mkdir(parents=True, exist_ok=True)
        chosen = wanted[: args.limit]
        _export(args.python, chosen, exporter, folder, args.export_seconds)
        for model in chosen:
            row = _row(model, exporter, folder, args)
            if row is not None:
                print(_line(row), flush=True)
                rows.append(row)
    print("\n".join(summary(rows)))
    whole = not (args.only or args.exporter or args.limit)
    if args.page or whole:
        _write(args.page or PAGE, rows, _versions(args.work) or versions())
    return 0


def _write(to: Path, rows: Sequence[Row], found: Mapping[str, str]) -> None:
    """Rows that were not measured now stay as they are in the file, with their commit."""
    stay = rows_of(to.read_text(encoding="utf-8")) if to.exists() else []
    known = {(row.name, row.exporter): row for row in (*stay, *rows)}
    listed = [(m.name, exporter) for exporter in EXPORTERS for m in models()]
    command = f"python tests/bench/{Path(__file__).name} --python PATH --unicorn"
    text = page(
        [known[key] for key in listed if key in known], command, time.strftime("%Y-%m-%d"), found
    )
    to.write_text(text, encoding="utf-8")


def _words(model: Model) -> tuple[str, ...]:
    """What --only may call it."""
    return model.source, model.family, model.name


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add(
        "--python", metavar="PATH", help="interpreter that exports; without it, what lies in --work"
    )
    add(
        "--work",
        type=Path,
        default=Path("build/coverage"),
        help="exports and rows, kept and reused",
    )
    add(
        "--only",
        metavar="FAMILY",
        action="append",
        default=[],
        help="or a model, or a package; may repeat",
    )
    add("--exporter", action="append", choices=EXPORTERS, help="default: both")
    add("--limit", type=int, metavar="N", help="the first N models")
    add("--unicorn", action="store_true", help="also emulate up to 2 G instructions")
    add("--compile-only", action="store_true", help="run nothing: neither bits nor SQNR")
    add("--again", action="store_true", help="compile anew also what has a row in --work")
    add("--seconds", type=float, default=600, help="limit of a model's compilation and runs")
    add("--export-seconds", type=float, default=120, help="limit of an export")
    add(
        "--page",
        type=Path,
        metavar="FILE",
        help="where the table goes; docs/coverage.md where all models are asked for",
    )
    return parser.parse_args()


def _export(
    python: str | None, chosen: Sequence[Model], exporter: str, folder: Path, seconds: float
) -> None:
    """What is not there yet; a model that could not be exported leaves NAME.txt and is not tried again."""
    absent = [m.name for m in chosen if not any(_files(m, folder))]
    if not absent or python is None:
        return
    argv = [python, str(HERE / "coverage_export.py"), str(folder), str(seconds), exporter, *absent]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        (folder.parent / "versions.json").write_text(child.stdout.readline(), encoding="utf-8")
        for line in child.stdout:
            done = json.loads(line)
            print(f"exported {done['name']}" if not done["error"] else _no_export(done), flush=True)


def _no_export(done: dict[str, str]) -> str:
    return f"no export of {done['name']}: {done['error']}"


def _files(model: Model, folder: Path) -> tuple[bool, bool]:
    return tuple((folder / f"{model.name}{end}").exists() for end in (".onnx", ".txt"))  # type: ignore[return-value]


def _row(model: Model, exporter: str, folder: Path, args: argparse.Namespace) -> Row | None:
    """That of --work, unless --again or it lacks what is wanted; None: not exported yet."""
    path, file = folder / f"{model.name}.json", folder / f"{model.name}.onnx"
    start = Row(model.source, model.family, model.name, exporter, commit=args.commit)
    if not file.exists():
        text = file.with_suffix(".txt")
        if not text.exists():
            return None
        why = text.read_text(encoding="utf-8").strip().splitlines()[-1]
        return replace(start, result="no export", message=why)
    if path.exists() and not args.again:
        row = Row.read(path)
        if row.result != "ok" or _complete(row, args):
            return row
    return followed(start, file, model.input, path, _stages(args), args.seconds)


def _stages(args: argparse.Namespace) -> tuple[Stage, ...]:
    return () if args.compile_only else (*RUNS, *((EMULATION,) if args.unicorn else ()))


def _complete(row: Row, args: argparse.Namespace) -> bool:
    return args.compile_only or bool(row.host and (row.unicorn or not args.unicorn))


def _line(row: Row) -> str:
    numbers = " ".join("-" if db is None else f"{db:.1f}" for db in (row.db, row.ort_db))
    words = " ".join(row.message.split())[:160]
    bits = f"{row.host or '-'} {row.unicorn}".strip()
    return (
        f"{row.exporter:11} {row.family:14} {row.name:24} {row.result:9} {bits:8} {numbers:10} "
        f"{(row.sram or 0) // 1024:5} KB {row.seconds:5.1f} s {words}"
    )


def _commit() -> str:
    argv = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _versions(work: Path) -> dict[str, str] | None:
    path = work / "versions.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
