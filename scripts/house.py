"""The shape of the code by numbers: files, lines, functions, prose, circles, tables, tests.

    python scripts/house.py [TREE ...]

One column per tree (default: this one), so that a change can be shown before and after:
`git worktree add /tmp/before COMMIT && python scripts/house.py /tmp/before .`

Prose: lines of docstrings and comments among those that are not blank. Mutable tables: names of modules
bound to a dict, list or set that no annotation makes read-only (mypy keeps a Mapping or Sequence so).
Shared names: classes, types and constants that two files define for different things (the same text is
the same thing), beside those in SAME_ROLE and QUALIFIED. Caches: functions that remember for the life of
the process. Circles: files that import one another, directly or not, also for type checking alone. A
module has a test where tests/PACKAGE/test_MODULE.py is, or where tests/mirror.toml says which test covers it.
"""

from __future__ import annotations

import argparse
import ast
import io
import statistics
import tokenize
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

NAME = "mcuformer"
_CONTAINERS = (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp)
_MAKERS = (
    "dict",
    "list",
    "set",
    "defaultdict",
    "Counter",
    "OrderedDict",
    "deque",
    "bytearray",
    "fromkeys",
)
_READ_ONLY = ("Mapping", "Sequence", "AbstractSet", "Collection", "Iterable")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LOGIC_LINES = 12  # of functions; with fewer a module only names things
SAME_ROLE: Mapping[str, str] = {
    "ROWS": "the rows of one family, which the table of all families joins",
    "SOURCES": "the C files of one family of kernels",
}
QUALIFIED: Mapping[str, str] = {
    "targets.frames": "its types of messages are written with the module's name: frames.READ",
}


@dataclass(frozen=True)
class Module:
    """A file of the package; `name` is dotted."""

    path: Path
    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def package(self) -> str:
        return self.name.partition(".")[2].partition(".")[0] if self.is_inside else "(hall)"

    @property
    def is_inside(self) -> bool:
        return self.name.count(".") > 1 or (self.path.stem == "__init__" and "." in self.name)

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    def functions(self) -> list[int]:
        """Lines of every function, decorators left out."""
        found = (n for n in ast.walk(self.tree) if isinstance(n, _DEFINITIONS))
        return [(n.end_lineno or n.lineno) - n.lineno + 1 for n in found]

    def imports(self) -> Iterator[str]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    def prose(self) -> int:
        lines: set[int] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.Module, ast.ClassDef, *_DEFINITIONS)) and node.body:
                first = node.body[0]
                value = getattr(first, "value", None)
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    lines |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type == tokenize.COMMENT and "fmt:" not in token.string:
                lines.add(token.start[0])
        return sum(bool(self.text.splitlines()[n - 1].strip()) for n in lines)

    def tables(self) -> Iterator[str]:
        for node in self.tree.body:
            if not isinstance(node, (ast.Assign, ast.AnnAssign)) or not _changes(node.value):
                continue
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            said = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else ""
            if ast.unparse(target) != "__all__" and not said.removeprefix("Final[").startswith(
                _READ_ONLY
            ):
                yield f"{self.name}.{ast.unparse(target)}"

    def public_names(self) -> Iterator[tuple[str, str]]:
        """Classes, types and constants that others may import, each with the text that defines it."""
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef):
                yield node.name, ast.unparse(node)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for name in (n for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)):
                    yield name.id, ast.unparse(node)

    def caches(self) -> Iterator[str]:
        for node in self.tree.body:
            if isinstance(node, _DEFINITIONS) and "cache" in " ".join(
                map(ast.unparse, node.decorator_list)
            ):
                yield f"{self.name}.{node.name}"


def _changes(value: ast.expr | None) -> bool:
    """Whether what this expression makes can be changed."""
    if isinstance(value, ast.BinOp):
        return _changes(value.left)
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).rpartition(".")[2] in _MAKERS
    return isinstance(value, _CONTAINERS)


def modules(tree: Path) -> list[Module]:
    found = []
    for path in sorted((tree / NAME).rglob("*.py")):
        parts = path.relative_to(tree).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        found.append(Module(path, ".".join(parts), path.read_text(encoding="utf-8")))
    return found


def circles(names: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Circles among these imports: one is found, cut open, and the next looked for."""
    graph = {
        name: sorted(set(names[name])) for name in sorted(names)
    }  # else the count depends on hashes
    found = []
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circle = error.args[1]
            found.append(circle)
            graph[circle[1]].remove(circle[0])
            continue
        return found


def imports_of(all_modules: Sequence[Module], depth: int | None) -> dict[str, list[str]]:
    """Between files, or between packages of this `depth`."""
    known = {m.name for m in all_modules}

    def cut(name: str) -> str:
        return name if depth is None else ".".join(name.split(".")[:depth])

    found: dict[str, list[str]] = {cut(n): [] for n in known}
    for m in all_modules:
        for name in (n if n in known else n.rpartition(".")[0] for n in m.imports()):
            if name in known and cut(name) != cut(m.name) and cut(name) != NAME:
                found[cut(m.name)].append(cut(name))
    return found


def shared_names(all_modules: Sequence[Module]) -> dict[str, list[str]]:
    """Public names with two meanings, and the files that define them."""
    found: dict[str, dict[str, str]] = {}
    for m in (m for m in all_modules if m.name.removeprefix(f"{NAME}.") not in QUALIFIED):
        for name, text in m.public_names():
            if not name.startswith("_") and name not in SAME_ROLE:
                found.setdefault(name, {})[m.name] = text
    return {name: [*texts] for name, texts in found.items() if len({*texts.values()}) > 1}


def mirror(tree: Path) -> dict[str, dict[str, Any]]:
    """The tables of tests/mirror.toml, which older trees have not."""
    path = tree / "tests" / "mirror.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def untested(tree: Path, all_modules: Sequence[Module]) -> list[str]:
    covered = {name for part in mirror(tree).values() for name in part}
    missing = []
    for m in all_modules:
        folder = tree / "tests" / Path(*m.path.relative_to(tree).parts[1:-1])
        has = (folder / f"test_{m.path.stem}.py").is_file() or m.name.removeprefix(
            f"{NAME}."
        ) in covered
        if not has and m.path.stem != "__init__" and sum(m.functions()) >= LOGIC_LINES:
            missing.append(m.name)
    return missing


def figures(tree: Path) -> dict[str, str]:
    found = modules(tree)
    table: dict[str, str] = {}
    for package in sorted({m.package for m in found}):
        own = [m for m in found if m.package == package]
        table[f"{package}: files, lines"] = f"{len(own)}, {sum(m.lines for m in own):,}"
    functions = [n for m in found for n in m.functions()]
    tenths = statistics.quantiles(functions, n=10)
    filled = sum(bool(line.strip()) for m in found for line in m.text.splitlines())
    sizes = [m.lines for m in found]
    table |= {
        "all: files, lines": f"{len(found)}, {sum(sizes):,}",
        "median and longest file": f"{statistics.median(sizes):.0f}, {max(sizes)}",
        "files over 300 lines": f"{sum(m.lines > 300 for m in found)}",
        "functions: median, p90": f"{statistics.median(functions):.0f}, {tenths[-1]:.0f}",
        "prose": f"{sum(m.prose() for m in found) / filled:.1%}",
        "circles of packages": f"{len(circles(imports_of(found, 2)))}",
        "circles of files": f"{len(circles(imports_of(found, None)))}",
        "mutable module tables": f"{sum(len([*m.tables()]) for m in found)}",
        "names with two meanings": f"{len(shared_names(found))}",
        "functions with a cache": f"{sum(len([*m.caches()]) for m in found)}",
        "modules with logic and no test": f"{len(untested(tree, found))}",
    }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("trees", nargs="*", default=["."], metavar="TREE")
    parser.add_argument("--list", action="store_true", help="name what is counted in the last tree")
    asked = parser.parse_args()
    trees = [Path(w).resolve() for w in asked.trees]
    columns = [figures(tree) for tree in trees]
    names = list(dict.fromkeys(name for column in columns for name in column))
    names.sort(key=lambda n: ": files" not in n or n.startswith("all"))
    for name in names:
        print(f"{name:36}" + "".join(f"{column.get(name, '-'):>16}" for column in columns))
    if asked.list:
        found = modules(trees[-1])
        rows = {
            "over 300 lines": [m.name for m in found if m.lines > 300],
            "circle": [" -> ".join(c) for c in circles(imports_of(found, None))],
            "mutable table": [t for m in found for t in m.tables()],
            "two meanings": [f"{n}: {', '.join(f)}" for n, f in shared_names(found).items()],
            "cache": [c for m in found for c in m.caches()],
            "no test": untested(trees[-1], found),
        }
        for what, items in rows.items():
            print(*(f"{what}: {item}" for item in items), sep="\n")


if __name__ == "__main__":
    main()
