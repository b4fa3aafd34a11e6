"""mcuformer/files/atomic.py: whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_vit import tiny_data, tiny_vit

from mcuformer.cli import invoke
from mcuformer.errors import UsageError
from mcuformer.files.atomic import FILE_LIST, atomic_directory, atomic_file


def write(target: Path, files: dict[str, str]) -> None:
    with atomic_directory(target) as work:
        for name, text in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(text)


def contents(folder: Path) -> dict[str, str]:
    files = {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}
    files.pop(FILE_LIST, None)
    return files


def test_the_root_is_no_output() -> None:
    with pytest.raises(UsageError, match="root of a file system"):
        write(Path("/"), {"x": "1"})


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


DEAD = """
import os, sys
from pathlib import Path
from mcuformer.files import atomic
target, when = Path(sys.argv[1]), sys.argv[2]
real = os.replace
def replace(source, goal, count=[0]):
    count[0] += 1
    if when == "moving" and count[0] == 4:
        os.kill(os.getpid(), 9)
    real(source, goal)
os.replace = replace
with atomic.atomic_directory(target) as work:
    for name in "abx":
        (work / name).write_text("new")
    if when == "writing":
        os.kill(os.getpid(), 9)
"""


def killed(target: Path, when: str) -> None:
    done = subprocess.run([sys.executable, "-c", DEAD, str(target), when], check=False)
    assert done.returncode == -signal.SIGKILL


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed(out, "writing")
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".out.") and left.is_dir()
    write(out, {"a": "1"})
    assert [p.name for p in tmp_path.iterdir()] == ["out"] and contents(out) == {"a": "1"}


def test_a_run_killed_while_it_replaces_leaves_nothing_foreign(tmp_path: Path) -> None:
    """Half of the old files are gone, half of the new are there: all are still known as ours."""
    out = tmp_path / "out"
    write(out, {"a": "1", "b": "1", "c": "1"})
    (out / "mine").write_text("keep")
    killed(out, "moving")
    assert len(list(tmp_path.iterdir())) == 3
    write(out, {"a": "2", "x": "2"})
    assert contents(out) == {"a": "2", "x": "2", "mine": "keep"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_killed_run_makes_no_file_of_the_user_ours(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").write_text("mine")
    killed(out, "writing")
    with pytest.raises(UsageError, match="did not write: a"):
        write(out, {"a": "theirs"})
    assert contents(out) == {"a": "mine"}


def test_a_living_run_is_left_alone(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "out") as work:
        (work / "x").write_text("1")
        with atomic_directory(tmp_path / "out") as other:
            (other / "x").write_text("2")
        assert work.is_dir()


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "[a](b)*"])
def test_names_of_any_length_and_form(tmp_path: Path, name: str) -> None:
    with atomic_file(tmp_path / name) as work:
        work.write_text("1")
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_kill_9_of_a_compile(tmp_path: Path) -> None:
    model, data = tiny_vit(tmp_path / "m.onnx"), tiny_data(tmp_path / "d.npz")
    words = ["compile", str(model), "--board", "stm32f746", "--calibration", str(data)]
    words += ["--emit-only", "-o", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-m", "mcuformer", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not list(tmp_path.glob(".out.*")) and process.poll() is None:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list(tmp_path.glob(".out.*")) and not (tmp_path / "out").exists()
    assert invoke(words) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.npz", "m.onnx", "out"]


@pytest.mark.parametrize("goal", ["loop", "nowhere"])
@pytest.mark.parametrize("below", ["", "x"])
def test_a_link_that_leads_nowhere_is_named(tmp_path: Path, goal: str, below: str) -> None:
    link = tmp_path / "loop"
    link.symlink_to(goal)
    for opened in (atomic_directory, atomic_file):
        with (
            pytest.raises(UsageError, match=f"{link} is a link that leads nowhere"),
            opened(link / below),
        ):
            pass
    assert [p.name for p in tmp_path.iterdir()] == ["loop"]


def test_where_nothing_can_be_made_the_target_is_named(tmp_path: Path) -> None:
    for opened in (atomic_directory, atomic_file):
        with pytest.raises(OSError) as caught, opened(Path("/proc/mine")):
            pass
        assert caught.value.filename == "/proc/mine"
