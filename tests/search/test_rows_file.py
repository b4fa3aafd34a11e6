"""The files of figures that scripts/scala_table.py and arc_table.py keep."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

import arc_table
import scala_table
from rows_file import RowsFile

from mcuformer.errors import UsageError

SCALA = {"seed": 0, "method": "scala", "training": None, "width": 0.5, "test": 70.0, "images": 9}
ARC = {"seed": 0, "kind": "full", "task": "a", "share": 0.9, "test": 70.0, "images": 9}
ADDING = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from rows_file import RowsFile
for seed in range(20):
    RowsFile(Path(sys.argv[2]), {}, ("who", "seed")).add([{"who": sys.argv[3], "seed": seed}])
"""


def test_processes_that_add_at_the_same_time_lose_no_row(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    words = [sys.executable, "-c", ADDING, str(SCRIPTS), str(path)]
    processes = [subprocess.Popen([*words, who]) for who in "abc"]
    assert [p.wait(60) for p in processes] == [0, 0, 0]
    rows = json.loads(path.read_text())
    assert {(r["who"], r["seed"]) for r in rows} == {(w, s) for w in "abc" for s in range(20)}
    assert [p.name for p in tmp_path.iterdir()] == ["table.json"]


def test_a_figure_that_is_there_stays(tmp_path: Path) -> None:
    kept = RowsFile(tmp_path / "t.json", scala_table.FIELDS, scala_table.KEY)
    assert kept.read() == [] and kept.add([SCALA]) == [SCALA]
    assert kept.add([{**SCALA, "test": 1.0}, {**SCALA, "seed": 1}]) == [SCALA, {**SCALA, "seed": 1}]


@pytest.mark.parametrize(
    "content", ["", "[{", "{}", "7", '["a"]', "[{}]", "\x00", json.dumps([{**SCALA, "test": "x"} | ARC])[:-9]]
)  # fmt: skip
@pytest.mark.parametrize("script", [scala_table, arc_table])
def test_a_damaged_file_is_refused_before_the_training(
    script: Any, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.json"
    path.write_text(content)
    own = ["--base", "none", "--task", "a=digits"] if script is arc_table else ["--data", "digits"]
    words = ["script", "--rows", str(path), "-o", str(tmp_path / "o"), *own]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(UsageError, match=f"^{path} is damaged, or of another kind: "):
        script.main()
    assert path.read_text() == content and not [*(tmp_path / "o").iterdir()]


def test_rows_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Said before the hours whose figures would be lost."""
    with pytest.raises(UsageError, match="is no directory"):
        RowsFile(tmp_path / "none" / "t.json", {}, ()).check()


def test_a_table_of_what_is_there() -> None:
    few = {**ARC, "kind": "adapters"}
    rows = [
        {**few, "seed": 1, "test": 60.0},
        ARC,
        {**ARC, "seed": 1, "test": 90.0},
        {**few, "task": "b"},
    ]
    *_, one, two = arc_table._table(rows).splitlines()
    assert (
        one
        == "| a | 80.00 (70.00 to 90.00) | 60.00 (60.00 to 60.00) | -30.00 (-30.00 to -30.00) | 0.90 % |"
    )
    assert two == "| b | not yet | 70.00 (70.00 to 70.00) | not yet | 0.90 % |"


@pytest.mark.parametrize(("script", "name"), [(scala_table, "scala"), (arc_table, "arc")])
def test_the_files_that_are_kept_are_read(script: Any, name: str) -> None:
    fields, key = script.FIELDS, script.KEY
    for path in (SCRIPTS.parent / "docs" / name).glob("*.json"):
        assert RowsFile(path, fields, key).read() == json.loads(path.read_text())


@pytest.mark.parametrize(("script", "option"), [(scala_table, "--heads"), (arc_table, "--epochs")])
def test_a_count_of_none_is_refused(
    script: Any, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ["--base", "none", "--task", "a=digits"] if script is arc_table else ["--data", "digits"]
    monkeypatch.setattr(sys, "argv", ["script", "-o", str(tmp_path / "o"), *own, option, "0"])
    with pytest.raises(SystemExit, match="2"):
        script.main()


def test_a_table_of_some_of_the_widths() -> None:
    rows = [{**SCALA, "width": w, "test": 100 * w} for w in (0.25, 0.5, 1)]
    assert "| mean of all | not yet | 75.00 (75.00 to 75.00) |" in scala_table.table(
        rows, (0.5, 1.0)
    )
