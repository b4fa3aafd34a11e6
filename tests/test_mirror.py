"""Tests mirror the package: every module with logic has a test, its own or one of tests/mirror.toml."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import house

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"

TABLE = tomllib.loads((TESTS / "mirror.toml").read_text(encoding="utf-8"))
DIRECT, CHAIN = TABLE["direct"], TABLE["chain"]
MODULES = {m.name: m for m in house.modules(ROOT)}
HELPERS = {p.stem: p for p in sorted(TESTS.rglob("*.py"))}


def test_every_module_with_logic_has_a_test() -> None:
    assert house.untested(ROOT, list(MODULES.values())) == []


def test_no_two_test_files_have_one_name() -> None:
    names = [p.name for p in TESTS.rglob("test_*.py")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", [*DIRECT, *CHAIN])
def test_a_row_is_of_a_module_without_a_test_of_its_own(name: str) -> None:
    assert not (DIRECT.keys() & CHAIN.keys())
    module = MODULES[f"mcuformer.{name}"]
    own = TESTS / Path(*name.split(".")[:-1]) / f"test_{module.path.stem}.py"
    assert not own.is_file(), "the row says less than the file"
    assert sum(module.functions()) >= house.LOGIC_LINES, "it only names things"


@pytest.mark.parametrize("name", DIRECT)
def test_a_direct_test_imports_the_module(name: str) -> None:
    assert f"mcuformer.{name}" in imported(TESTS / DIRECT[name])


@pytest.mark.parametrize("name", CHAIN)
def test_a_chain_reaches_the_module_that_nothing_imports(name: str) -> None:
    row = CHAIN[name]
    assert 10 <= len(row["why"]) <= 100
    assert f"mcuformer.{name}" not in imported(TESTS / row["test"]), "a row of [direct]"
    assert f"mcuformer.{name}" in reached(TESTS / row["test"])


@cache
def imported(path: Path) -> frozenset[str]:
    """Modules of the package, and helpers of the tests by their path."""
    names = house.Module(path, str(path), path.read_text(encoding="utf-8")).imports()
    return frozenset(found for name in names for found in _meant(name))


def _meant(name: str) -> Iterator[str]:
    for known in (name, name.rpartition(".")[0]):
        if known in MODULES:
            yield known
            return
    if name.partition(".")[0] in HELPERS:
        yield str(HELPERS[name.partition(".")[0]])


@cache
def reached(path: Path) -> frozenset[str]:
    """What `path` imports, directly or not, and its folder's conftest; commands and lowerings, too,
    which are found by their names."""
    found: set[str] = set()
    new = [str(path), *map(str, path.parent.glob("conftest.py"))]
    while new:
        name = new.pop()
        if name in found:
            continue
        found.add(name)
        new += imported(MODULES[name].path if name in MODULES else Path(name))
        new += _by_name(name)
    return frozenset(found)


def _by_name(name: str) -> Iterator[str]:
    if name not in MODULES and '"mcuformer"' in Path(name).read_text(encoding="utf-8"):
        yield "mcuformer.__main__"  # a process of its own
    elif name == "mcuformer.cli":
        yield from (m for m in MODULES if m.startswith("mcuformer.cli."))
    elif name in MODULES:
        for node in ast.walk(MODULES[name].tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                lowering = f"mcuformer.quant.{node.value.partition('.')[0]}"
                if node.value.startswith("lower_") and lowering in MODULES:
                    yield lowering
