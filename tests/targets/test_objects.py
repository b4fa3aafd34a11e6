"""Objects are compiled once per content, wherever it lies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mcuformer.targets import objects
from mcuformer.targets.objects import compile_objects, shared_cache

Calls = list[Path]


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Calls:
    """The sources that really went through a compiler."""
    seen: Calls = []

    def tool(argv: list[str], what: str) -> None:
        seen.append(Path(argv[-3]))
        Path(argv[-1]).write_bytes(b"\x7fELF" + Path(argv[-3]).read_bytes())

    monkeypatch.setattr(objects, "run_tool", tool)
    monkeypatch.setenv("MCUFORMER_CACHE", str(tmp_path / "kept"))
    return seen


def package(folder: Path, header: str = "int x;") -> Path:
    (folder / "include").mkdir(parents=True)
    (folder / "include" / "deep.h").write_text(header)
    (folder / "include" / "top.h").write_text('#include "deep.h"\n')
    (folder / "include" / "other.h").write_text(str(folder))  # nothing includes it
    (folder / "a.c").write_text('#include "top.h"\n')
    return folder


def build(folder: Path, *flags: str) -> Path:
    command = ("cc", *flags, f"-I{folder / 'include'}", "-c")
    (made,) = compile_objects(
        [folder / "a.c"], [folder / "include"], lambda _: command, "1", folder / "objects"
    )
    return made


def test_equal_content_in_another_folder(compiled: Calls, tmp_path: Path) -> None:
    one, two = build(package(tmp_path / "one")), build(package(tmp_path / "two"))
    assert len(compiled) == 1 and one.name == two.name and two.read_bytes() == one.read_bytes()


def test_what_goes_into_an_object_counts(compiled: Calls, tmp_path: Path) -> None:
    build(package(tmp_path / "one"))
    build(package(tmp_path / "two", header="int y;"))  # two includes deep
    build(tmp_path / "one", "-O3")
    assert len(compiled) == 3


def test_a_macro_of_ours_counts_where_a_file_names_it(compiled: Calls, tmp_path: Path) -> None:
    """A header does; weights, which no macro changes, are compiled once for builds that trace and others."""
    plain = package(tmp_path / "one")
    assert build(plain).name == build(plain, "-DMCF_TRACING").name and len(compiled) == 1
    build(plain, "-DOTHER=1")  # what system headers make of it is not known
    asked = package(tmp_path / "two", header="#ifdef MCF_TRACING\nint x;\n#endif")
    build(asked)
    build(asked, "-DMCF_TRACING")
    assert len(compiled) == 4


def test_an_empty_variable_keeps_nothing(
    compiled: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCUFORMER_CACHE", "")
    build(package(tmp_path / "one"))
    build(package(tmp_path / "two"))
    assert len(compiled) == 2 and shared_cache() is None


def test_the_oldest_go_first(
    compiled: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_MOST_KEPT", 3)
    for i in range(4):
        made = build(package(tmp_path / str(i), header=f"int x{i};"))
        os.utime(tmp_path / "kept" / made.name, (i, i))
    build(package(tmp_path / "last", header="int z;"))
    assert sorted(p.stat().st_mtime for p in (tmp_path / "kept").glob("*.o"))[:1] != [0]
