"""The shape that scripts/house.py counts: no circle, no mutable table, no file over 300 lines."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import house

ROOT = Path(__file__).parents[1]

MODULES = house.modules(ROOT)
# All that is remembered for the life of the process: pure, and bounded.
CACHES = {
    "codegen.render.environment": "one jinja environment; templates come with the package",
    "codegen.runtime.runtime_version": "one number; the runtime's files come with the package",
    "frontend.import_graph._schema": "what the ONNX standard says of an operator, the last 2^10",
    "ir.placeholders._typed": "zero-stride views by type and shape, at most 2^14: they cost no memory",
    "quant.refine._random": "fixed numbers by their count, the last 16; only read",
    "quant.rewrites.rotate_stream.rotation": "a fixed matrix by width and seed, the last 32; only read",
    "search.data._folder": "the last two folders of images, which a training and its test read again; only read",
    "search.mixer_graphs.bias_saved": "a number by mixer and grid, at most 2^12",
    "search.mixer_graphs.row_orders": "rows by mixer and grid, at most 2^12; only read",
    "targets.board_file.shipped_boards": "frozen boards; their files come with the package",
    "targets.chip.counter.native_hook": "one shared library, as dlopen itself keeps it",
    "targets.port._template": "a template by name; templates come with the package",
    "targets.toolchain.find_toolchain": "what is installed, by one of two names or none",
}


def test_files_are_short_and_tables_cannot_be_changed() -> None:
    assert [m.name for m in MODULES if m.lines > 300] == []
    assert [table for m in MODULES for table in m.tables()] == []


def test_files_of_tests_and_scripts_are_short() -> None:
    files = [
        p for folder in ("tests", "scripts", "examples") for p in (ROOT / folder).rglob("*.py")
    ]
    assert [p.name for p in files if len(p.read_text(encoding="utf-8").splitlines()) > 300] == []


def test_no_file_and_no_package_is_in_a_circle() -> None:
    assert house.circles(house.imports_of(MODULES, None)) == []
    assert house.circles(house.imports_of(MODULES, 2)) == []


def test_every_cache_is_listed_with_its_reason() -> None:
    assert {c for m in MODULES for c in m.caches()} == {f"mcuformer.{name}" for name in CACHES}


def test_a_public_name_means_one_thing() -> None:
    assert house.shared_names(MODULES) == {}


def module(text: str, name: str = "a") -> house.Module:
    return house.Module(Path(f"{name}.py"), f"mcuformer.{name}", text)


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("A = {}", True),
        ("A: dict[str, int] = {}", True),
        ("A = [1] + [2]", True),
        ("A = {1} - {2}", True),
        ("A = dict(a=1)", True),
        ("A = collections.defaultdict(list)", True),
        ("A = dict.fromkeys('ab')", True),
        ("A: Mapping[str, int] = {}", False),
        ("A: Final[Sequence[int]] = []", False),
        ("A = frozenset((1,))", False),
        ("A = (1, 2)", False),
        ("__all__ = ['a']", False),
    ],
)
def test_a_table_is_what_can_be_changed(line: str, counts: bool) -> None:
    assert bool([*module(line).tables()]) == counts


def test_a_submodule_is_imported_and_not_its_package() -> None:
    names = [*module("from mcuformer.quant import refine, lower").imports()]
    assert names == ["mcuformer.quant.refine", "mcuformer.quant.lower"]


def test_every_circle_is_found() -> None:
    assert house.circles({"a": ["b"], "b": ["c"], "c": []}) == []
    assert len(house.circles({"a": ["b"], "b": ["a", "c"], "c": ["d"], "d": ["c"]})) == 2


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("class Cost: ...", "Cost = int", True),
        ("LIMIT = 1", "LIMIT: int = 2", True),
        ("LOW, HIGH = 1, 2", "HIGH = 3", True),
        ("Shape = tuple[int, ...]", "Shape = tuple[int, ...]  # the same", False),
        ("_LIMIT = 1", "_LIMIT = 2", False),
        ("ROWS = (1,)", "ROWS = (2,)", False),
        ("class Cost: ...", "def f(): Cost = 1", False),
    ],
)
def test_a_name_is_shared_where_two_files_mean_different_things(
    one: str, other: str, shared: bool
) -> None:
    assert bool(house.shared_names([module(one, "a"), module(other, "b")])) == shared


def test_prose_and_lines_are_counted() -> None:
    text = '"""One\n\ntwo."""\n\nx = 1  # three\n\n\ndef f():\n    """Four."""\n    return x\n'
    assert module(text).prose() == 4 and module(text).functions() == [3]
    assert isinstance(module(text).tree, ast.Module)


@pytest.mark.parametrize("name", [m.name for m in MODULES if m.path.stem == "__init__"][1:])
def test_a_package_begins_with_its_story(name: str) -> None:
    story = next(ast.get_docstring(m.tree) for m in MODULES if m.name == name) or ""
    assert 10 <= len(story.splitlines()) <= 25


@pytest.mark.parametrize("name", [m.name for m in MODULES if m.path.stem == "__init__"][1:])
def test_a_story_names_files_that_are_there(name: str) -> None:
    story = next(ast.get_docstring(m.tree) for m in MODULES if m.name == name) or ""
    there = {m.path.name for m in MODULES}
    assert set(re.findall(r"[a-z0-9_]+\.py\b", story)) <= there
