"""Whether the tests that tests/mirror.toml names under [chain] run the modules that they cover.

    python scripts/mirror.py [--least PERCENT] [MODULE ...]

Runs those tests (some minutes) and counts, by lines, which functions of the module were entered while
its own test ran. Prints every row below PERCENT (default 50) with the functions that were not, and fails
where there are any. Only what runs in this very process is seen. An importer puts a line in front of every
function of these modules, so nothing else is slower.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

import house
import pytest

ROOT = Path(__file__).parents[1]
_MARK = "__entered__"


class Marked(ast.NodeTransformer):
    """Every function says its module and line as it is entered, behind its docstring."""

    def __init__(self, name: str) -> None:
        self.name = name

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        mark = ast.parse(f"{_MARK}({self.name!r}, {node.lineno})").body[0]
        node.body.insert(ast.get_docstring(node) is not None, ast.copy_location(mark, node))
        return node


class Entered:
    """A plugin of pytest: by test file, the (module, line) of functions that ran."""

    def __init__(self, names: set[str]) -> None:
        self.names, self.test = names, ""
        self.found: set[tuple[str, str, int]] = set()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.test = nodeid.partition("::")[0].removeprefix("tests/")

    def watch(self) -> None:
        plain, names = SourceFileLoader.get_code, self.names

        def get_code(loader: SourceFileLoader, name: str) -> CodeType | None:
            if name not in names:
                return plain(loader, name)
            tree = Marked(name).visit(ast.parse(str(loader.get_source(name))))
            code: CodeType = compile(ast.fix_missing_locations(tree), loader.path, "exec")
            return code

        SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]
        setattr(builtins, _MARK, lambda name, line: self.found.add((self.test, name, line)))


def stub(node: ast.FunctionDef) -> bool:
    """A method of a protocol: `...`."""
    value = getattr(node.body[-1], "value", None)
    return isinstance(value, ast.Constant) and value.value is ...


def share(module: house.Module, entered: set[int]) -> tuple[float, list[str]]:
    """Of the lines of all functions, those of functions that ran; the names of the others."""
    found = [n for n in ast.walk(module.tree) if isinstance(n, ast.FunctionDef) and not stub(n)]
    size = {n.lineno: (n.end_lineno or n.lineno) - n.lineno + 1 for n in found}
    ran = sum(lines for line, lines in size.items() if line in entered)
    return ran / sum(size.values()) if size else 1.0, [
        n.name for n in found if n.lineno not in entered
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--least", type=float, default=50.0)
    parser.add_argument("modules", nargs="*")
    asked = parser.parse_args()
    rows = {n: row["test"] for n, row in house.mirror(ROOT)["chain"].items()}
    rows = {n: test for n, test in rows.items() if not asked.modules or n in asked.modules}
    watcher = Entered({f"{house.NAME}.{n}" for n in rows})
    watcher.watch()
    tests = [f"tests/{test}" for test in dict.fromkeys(rows.values())]
    failed = pytest.main(["-q", "-p", "no:cacheprovider", *tests], plugins=[watcher])
    modules, short = {m.name: m for m in house.modules(ROOT)}, 0
    for name, test in rows.items():
        full = f"{house.NAME}.{name}"
        entered = {line for t, n, line in watcher.found if n == full and t in (test, "")}
        part, missing = share(modules[full], entered)
        if 100 * part < asked.least:
            short += 1
            print(f"{name:32} {test:36} {part:4.0%}  not {', '.join(missing)}")
    sys.exit(bool(failed or short))


if __name__ == "__main__":
    main()
