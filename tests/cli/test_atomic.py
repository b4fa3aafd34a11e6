"""mcuformer/atomic.py: whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcuformer.atomic import FILE_LIST, atomic_directory, atomic_file
from mcuformer.errors import UsageError


def write(target: Path, files: dict[str, str]) -> None:
    with atomic_directory(target) as work:
        for name, text in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(text)


def contents(folder: Path) -> dict[str, str]:
    files = {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}
    files.pop(FILE_LIST, None)
    return files


def test_new_directory_with_new_parents(tmp_path: Path) -> None:
    write(tmp_path / "a/b", {"x": "1", "src/y": "2"})
    assert contents(tmp_path / "a/b") == {"x": "1", "src/y": "2"}


def test_second_package_replaces_the_first_and_leaves_the_rest(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, {"x": "1", "src/old": "2"})
    (out / "src/mine").write_text("keep")
    write(out, {"x": "3", "src/new": "4"})
    assert contents(out) == {"x": "3", "src/new": "4", "src/mine": "keep"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_foreign_files_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UsageError, match=r"did not write: README\.md"):
        write(tmp_path, {"README.md": "theirs", "model.c": ""})
    assert contents(tmp_path) == {"README.md": "mine"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_error_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), atomic_directory(tmp_path / "a/b/c") as work:
        (work / "x").write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_error_leaves_the_earlier_package(tmp_path: Path) -> None:
    write(tmp_path / "out", {"x": "1"})
    with pytest.raises(ValueError), atomic_directory(tmp_path / "out") as work:
        (work / "x").write_text("half")
        raise ValueError
    assert contents(tmp_path / "out") == {"x": "1"}


def test_list_that_leads_outside_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("p")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / FILE_LIST).write_text(f"../precious\n{tmp_path}/precious\n{FILE_LIST}\n")
    write(tmp_path / "out", {"x": "1"})
    assert (tmp_path / "precious").read_text() == "p"


def test_target_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UsageError, match="no directory"), atomic_directory(tmp_path / "out"):
        pass


def test_atomic_file(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "r.json") as work:
        work.write_text("1")
    with pytest.raises(ValueError), atomic_file(tmp_path / "r.json") as work:
        work.write_text("2")
        raise ValueError
    assert (tmp_path / "r.json").read_text() == "1"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_linked_folder_inside_is_refused(tmp_path: Path) -> None:
    target, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    target.mkdir()
    elsewhere.mkdir()
    (target / "port").symlink_to(elsewhere)
    with pytest.raises(UsageError, match="is a link"), atomic_directory(target) as work:
        (work / "port").mkdir()
        (work / "port" / "main.c").write_text("x")
    assert not list(elsewhere.iterdir()) and [p.name for p in target.iterdir()] == ["port"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere", "out"]
