"""What is generated reads well: columns, clang-format, no warning, no cast that says nothing.

Drawn models of every kind of call, in all input modes, on one and two memories, with short and with
very long names. Nothing is compiled to a program here: what the code computes is tests/chain's.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from packages import rows_by_lines, run, small, with_extra
from util_joins import Joins, lowered
from util_models import VitConfig, images, tokens, two_input_model, vit

from mcuformer import quant
from mcuformer.codegen import lines
from mcuformer.codegen.constants import UNTYPED
from mcuformer.codegen.package import write_package
from mcuformer.files.paths import RUNTIME_C
from mcuformer.ir.graph import Graph
from mcuformer.memory.model import Arena
from mcuformer.plan.fit import build
from mcuformer.targets.board_file import load_board

# What is written, not copied.
GENERATED = ("*.[ch]", "port/main.c", "port/mcf_board.h", "runtime/include/mcf_version.h")
LONG = "a_model_with_the_longest_name_there_is_x"
FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Werror")
SRAM = Arena("sram", 0x20000000, 300_000)
SPLIT = (Arena("sram", 0x20000000, 2_500), Arena("ccm", 0x10000000, 300_000))
LABELS = ("one", "a, b", "x" * 190, "\u00e9" * 60, "\\\"'?")


def vision(**choices: object) -> Graph:
    config = VitConfig(**{"blocks": 1, **choices})  # type: ignore[arg-type]
    graph = vit(config)
    return quant.lower(graph, quant.calibrate(graph, images(config, 2), "minmax"))


def two_inputs() -> Graph:
    config = VitConfig(blocks=1)
    graph = two_input_model(config, 5)
    stats = quant.calibrate(graph, (images(config, 4), tokens(config, 4, 5)))  # type: ignore[arg-type]
    return quant.lower(graph, stats)


def joined() -> Graph:
    """Every step of util_joins; several outputs."""
    steps = ("linear", "norm", "gelu", "conv", "depthwise", "pool", "attention", "gather", "columns",
             "constant", "channels", "rows", "twice", "flat", "add", "channels")  # fmt: skip
    return lowered(Joins((4, 5), 7, steps, "conv", True, 3, more=True))


def renamed(graph: Graph) -> Graph:
    """Longer names than C has room for, some of them alike; labels of all kinds."""
    table = {name: f"encoder/{name}/{'of the layer ' * 5}*/ {name}" for name in graph.values}
    ops = [
        op.replace(
            name=f"{op.name}.{'block.' * 12}{op.name}",
            inputs=tuple(i if i is None else table[i] for i in op.inputs),
            outputs=tuple(table[o] for o in op.outputs),
        )
        for op in graph.ops
    ]
    values = {table[k]: type(v)(table[k], v.type, v.data) for k, v in graph.values.items()}
    names = {role: tuple(table[n] for n in getattr(graph, role)) for role in ("inputs", "outputs")}
    props = {"labels": repr(list(LABELS))}
    meta = {**graph.meta, "metadata_props": props,
            "input_names": ("an input \u00e9" * 60,) * len(graph.inputs)}  # fmt: skip
    return graph.replace(ops=tuple(ops), values=values, meta=meta, **names)


MODELS: dict[str, Callable[[], Graph]] = {
    "tokens": vision,
    "mean": lambda: vision(pool="mean", activation="relu", qkv_bias=False),
    "stem": lambda: vision(stem=True, image=(16, 16), pool="mean"),
    "pair": two_inputs,
    "joins": joined,
    "rows": rows_by_lines,
}
CASES = [
    ("tokens", "resident", "host", "m", (SRAM,), False),
    ("tokens", "flash", "stm32f746", "m", (SRAM,), True),
    ("tokens", "bands", "stm32f746", LONG, (SRAM,), True),
    ("mean", "bands", "nucleo-h743zi", LONG, SPLIT, True),
    ("stem", "bands", "stm32f746", "m", (SRAM,), False),
    ("stem", "bands", "stm32f429i-disco", LONG, SPLIT, True),
    ("pair", "resident", "host", "pair_of_inputs", (SRAM,), False),
    ("joins", "resident", "host", "m", (SRAM,), False),
    ("rows", "flash", "stm32f746", LONG, (SRAM,), True),
    ("rows", "bands", "host", "m", (SRAM,), False),
    ("joins", "resident", "host", LONG, (SRAM,), True),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(map(str, case[:3])))
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model, mode, board, name, arenas, long = request.param
    graph = MODELS[model]()
    made = build(renamed(graph) if long else graph, list(arenas), mode)
    folder = tmp_path_factory.mktemp("package")
    qspi = "qspi" if board == "stm32f746" else "internal"
    write_package(folder, made.program, made.plan, load_board(board), qspi, name)
    return folder


def generated(folder: Path) -> list[Path]:
    return sorted(path for pattern in GENERATED for path in folder.glob(pattern))


def test_no_line_is_over_100_columns(package: Path) -> None:
    for path in generated(package):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            assert len(line) <= lines.WIDTH, f"{path.name}:{number}: {line}"


@pytest.mark.skipif(shutil.which("clang-format") is None, reason="clang-format is not installed")
def test_clang_format_has_nothing_to_change(package: Path) -> None:
    """By the styles that the package brings: the whole package, copies too."""
    run("clang-format", "--style=file", "--dry-run", "-Werror", *sorted(package.rglob("*.[ch]")))


@pytest.mark.parametrize("hooks", [(), ("-DMCF_TRACING", "-DMCF_PROFILE")])
def test_no_warning(package: Path, hooks: tuple[str, ...]) -> None:
    runtime = ("-isystem", package / "runtime" / "include")
    sources = [package / "model.c", package / "weights.c"]
    run("gcc", *FLAGS, *hooks, *runtime, "-fsyntax-only", *sources)


def test_every_cast_says_something(package: Path) -> None:
    """Each is one of five kinds that C needs; UNTYPED fields have none."""
    text = (package / "model.c").read_text()
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    cast = r"\((?:const )?(?:unsigned|void|u?int\d+_t|char|mcf_\w+)(?: \*+)?\)"
    needed = (
        r"\.[\w.]+ =\s+\(const u?int(?:8|16|32)_t \*\)\w+,",  # an array of words to a typed field
        r"\(const uint8_t \*\)\s*(?:ctx|\w+__const) [+-]",  # bytes of what is none
        r"\(uint8_t \*\)arena \+",  # bytes of the caller's void *
        r"\(const int8_t \*\)\(",  # bytes of the arena to a line's
        r"\(unsigned\)\(",  # a signed loop variable to unsigned lines: -Wsign-conversion
        r"\(void\)(?:read|ctx);",  # a parameter that is not used
    )
    found = len(re.findall(cast, code))
    known = sum(len(re.findall(pattern, code)) for pattern in needed)
    assert found == known
    for name in re.findall(r"\(void\)(\w+);", code):
        body = code[code.index("_invoke(") :].split("\n}\n")[0]
        assert len(re.findall(rf"\b{name}\b", body)) == 2, f"{name} is used: the cast says nothing"
    for ctype, body in re.findall(
        r"static const (mcf_\w+) \w+ = \{(.*?)\n\};", code, flags=re.DOTALL
    ):
        for field, kind in re.findall(r"\.([\w.]+) =\s+\(const (\w+) \*\)", body):
            assert header_types()[ctype, field] == kind


def header_types() -> dict[tuple[str, str], str]:
    """Type of what a pointer points at, by struct and field, as the runtime's headers say."""
    found = {}
    for path in sorted((RUNTIME_C / "include").glob("*.h")):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        for body, struct in re.findall(r"typedef struct \{(.*?)\} (\w+);", text, flags=re.DOTALL):
            for kind, field in re.findall(r"const (\w+) \*(\w+);", body):
                found[struct, field] = kind
    core = {("mcf_conv2d_t", f"core.{f}"): k for (s, f), k in found.items() if s == "mcf_linear_t"}
    return found | core


def test_untyped_fields_are_those_of_the_headers() -> None:
    types = header_types()
    assert {key for key in UNTYPED if types[key] != "void"} == set()


def test_a_header_with_many_numbers(tmp_path: Path) -> None:
    """Scales by channel: a macro that goes on for lines, which C reads as one list."""
    made = with_extra(small())
    write_package(tmp_path, made.program, made.plan, load_board("host"), name=LONG)
    for path in generated(tmp_path):
        assert max(map(len, path.read_text().splitlines())) <= lines.WIDTH
    if shutil.which("clang-format"):
        run("clang-format", "--dry-run", "-Werror", tmp_path / "model.h")


@pytest.mark.parametrize("count", [1, 8, 9, 40, 400])
def test_a_long_list_is_one_macro(tmp_path: Path, count: int) -> None:
    numbers = ", ".join(f"{0.001 * (i + 1) ** 3:.9g}f" for i in range(count))
    made = list(lines.define("M_INPUT_0_SCALES", numbers))
    assert (
        " ".join(line.rstrip("\\").strip() for line in made)
        == f"#define M_INPUT_0_SCALES {numbers}"
    )
    assert max(map(len, made)) <= lines.WIDTH
    if shutil.which("clang-format"):
        style = Path(__file__).parents[2] / "templates" / "clang-format"
        (tmp_path / "m.h").write_text("\n".join([*made, ""]))
        run("clang-format", f"--style=file:{style}", "--dry-run", "-Werror", tmp_path / "m.h")


def drawn_statement(rng: np.random.Generator) -> list[str]:
    """A call in none to three loops, or a return: names, offsets and numbers of all lengths.

    No kernel with a struct has fewer than two more arguments.
    """

    def name() -> str:
        size = int(rng.integers(1, 51))
        return f"p__{'layer_of_a_model_' * 4}"[: size + 3].rstrip("_") + "__at"

    def address() -> str:
        base = rng.choice(["arena + ", "(const uint8_t *)", f"{LONG}__arena1__own + "])
        terms = [f"{rng.integers(2, 99_999)} * {v}" for v in ("t", "u")[: rng.integers(0, 3)]]
        last = rng.choice(["", " - 5", " + 123456"])
        return " + ".join([base + name(), *terms]) + str(last)

    if rng.random() < 0.2:
        return list(lines.returned("    ", address()))
    kernel = str(rng.choice(["mcf_linear", "status = read", "MCF_TRACE", "mcf_linear_partial"]))
    args = [address() if rng.random() < 0.5 else str(rng.integers(0, 5000)) for _ in range(9)]
    depth = int(rng.integers(1, 5))
    pads = ["    " * i for i in range(1, depth)]
    loops = [f"{pad}for (int32_t t = 0; t < 7; t += 1) {{" for pad in pads]
    call = lines.call("    " * depth, kernel, [f"&{name()}", *args[: rng.integers(2, 10)]])
    return [*loops, *call, *(f"{pad}}}" for pad in reversed(pads))]


@pytest.mark.skipif(shutil.which("clang-format") is None, reason="clang-format is not installed")
@pytest.mark.parametrize("seed", range(4))
def test_lines_break_where_clang_format_breaks_them(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    statements = [line for _ in range(150) for line in drawn_statement(rng)]
    assert max(map(len, statements)) <= lines.WIDTH
    style = Path(__file__).parents[2] / "templates" / "clang-format"
    (tmp_path / "f.c").write_text("\n".join(["void f(void) {", *statements, "}", ""]))
    run("clang-format", f"--style=file:{style}", "--dry-run", "-Werror", tmp_path / "f.c")
