"""SRAM and instructions of the papers' families: the table of docs/families.md.

    python tests/bench/family_table.py --python PATH [--only NAME] [--plan-only | --kept [--markdown]]

PATH is an interpreter with torch, timm and onnx: a child process of it exports the models of
family_list.py, those of examples/families too. Each is compiled with `--optimize ram --input-mode bands`,
run in Unicorn on one image and compared bit for bit with the integer interpreter: its outputs, and in a
build that shows them every layer's rows. Rows are kept in --work. --plan-only runs nothing: seconds a
model. --kept prints what was measured before. A row fails that is above its ceiling or a limit of LIMITS.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from family_list import HERE, Model, chosen
from family_run import HEAD, MARKDOWN, Row, executed, exported, keep, kept, planned


def main() -> int:
    args = _arguments()
    models = chosen(args.only)
    args.work.mkdir(parents=True, exist_ok=True)
    absent = [m.name for m in models if not exported(m, args.work).exists()]
    if absent and args.python and not args.kept:
        argv = [args.python, str(HERE / "family_export.py"), str(args.work), *absent]
        subprocess.run(argv, check=False)
    start, rows = time.monotonic(), []
    print(HEAD if not args.markdown else MARKDOWN)
    for model in models:
        row = _row(model, args)
        if row is None:
            print(f"{model.name:28} was not {'run' if args.kept else 'exported'}")
            continue
        rows.append(row)
        print(row.markdown() if args.markdown else row.text(), flush=True)
    bad = sum(bool(row.faults) for row in rows) + len(models) - len(rows)
    print(f"{bad} rows fail; {time.monotonic() - start:.0f} s", file=sys.stderr)
    return 1 if bad else 0


def _row(model: Model, args: argparse.Namespace) -> Row | None:
    if args.kept:
        return kept(model, args.work)
    if not exported(model, args.work).exists():
        return None
    if args.plan_only:
        return planned(model, args.work)
    row = executed(model, args.work)
    keep(row, args.work)
    return row


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--python", metavar="PATH", help="exports what is not yet in --work")
    add("--work", type=Path, default=Path("build/families"), help="exports, kept and reused")
    add("--only", metavar="NAME", action="append", default=[], help="part of a name; may repeat")
    add("--plan-only", action="store_true", help="run nothing in Unicorn")
    add("--kept", action="store_true", help="print the rows that were measured before")
    add("--markdown", action="store_true", help="as docs/families.md has them")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
