"""Records are frozen for mypy, plain slots at run time, and values in sets and dicts."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from mcuformer.program.expressions import Expr
from mcuformer.util.speed import keep, record, together


@record(frozen=True, slots=True, eq=False)
class Named:
    name: str


def test_equal_records_are_one_key_and_unequal_ones_by_identity() -> None:
    assert {Expr(1, (("t", 2),)), Expr(1, (("t", 2),))} == {Expr(1, (("t", 2),))}
    assert dataclasses.replace(Expr(1), const=2) == Expr(2)
    assert Named("a") != Named("a")
    assert not hasattr(Named("a"), "__dict__")


def test_a_table_is_emptied_when_it_is_full() -> None:
    table = {1: "a", 2: "b"}
    assert keep(table, 3, "c", most=2) == "c"
    assert table == {3: "c"}


@pytest.mark.parametrize("numbers", [0, 1, 5000, 1 << 14, 1 << 20])
def test_one_call_makes_as_many_trials_as_hold_few_numbers(numbers: int) -> None:
    trials = list(range(7))
    parts = [trials[some] for some in together(len(trials), numbers)]
    assert [trial for part in parts for trial in part] == trials
    assert all(len(part) * numbers <= 1 << 14 for part in parts) or len(parts) == len(trials)


def test_mypy_refuses_an_assignment(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed (make setup-test)")
    source = "from mcuformer.program.expressions import Expr\nx = Expr(1)\nx.const = 2\n"
    (tmp_path / "assigns.py").write_text(source)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--follow-imports=silent",
        str(tmp_path / "assigns.py"),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (
        run.returncode == 1 and 'Property "const" defined in "Expr" is read-only' in run.stdout
    ), run.stdout + run.stderr
