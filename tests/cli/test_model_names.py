"""Names of files, options and values that mean something in C, in CMake, in libc or in the runtime."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from mcuformer.cli import invoke
from mcuformer.codegen.package import cmake_target
from mcuformer.errors import UsageError
from mcuformer.util.names import checked_model_name, is_taken, model_identifier

Files = dict[str, Path]
STEMS = (
    "int", "model", "weights", "main", "mcf", "mcf_runtime", "mcf_linear", "firmware", "test", "all", "m",
    "4bit", "größe", "string", "sem", "arena", "printf", "t", "x" * 200,
)  # fmt: skip
VALUES = (
    "t", "t_n", "arena", "arena_", "arena1", "memory", "h", "p", "read", "ctx", "status", "weights", "main",
    "mcf_linear", "mcf_copy", "memcpy", "int", "NULL", "tensor_bytes", "own", "image_1",
)  # fmt: skip


@pytest.mark.parametrize("stem", STEMS)
def test_a_file_of_any_name_becomes_a_name_that_is_free(stem: str) -> None:
    name = model_identifier(stem)
    assert re.fullmatch(r"[a-z][0-9a-z]*(_[0-9a-z]+)*", name) and len(name) <= 42
    assert not is_taken(name)
    assert cmake_target(name) not in ("test", "all", "m", "mcf_runtime", "firmware.elf")


@pytest.mark.parametrize("name", ["int", "model", "weights", "main", "test", "all", "MyNet", "a_1"])
def test_names_that_may_be_given(name: str) -> None:
    assert checked_model_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "4bit", "a-b", "a b", "_a", "a_", "a__b", "größe", "x" * 41, "mcf", "mcf_linear",
             "MCF_X", "string", "sem", "pthread_mutex", "a\nb"],
)  # fmt: skip
def test_names_that_may_not(name: str) -> None:
    with pytest.raises(UsageError) as found:
        checked_model_name(name)
    hint = str(found.value.hint)
    assert checked_model_name(hint.removeprefix("try --name ")) in hint


def test_an_invalid_name_is_a_usage_error(
    compiling: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke([*compiling(tmp_path / "o"), "--name", "mcf_linear"]) == 2
    assert "try --name m_mcf_linear" in capsys.readouterr().err


def renamed_values(source: Path, target: Path, names: tuple[str, ...]) -> Path:
    """The model with its values and nodes called `names`, in order, as far as they go."""
    model = onnx.load(source)
    graph = model.graph
    outputs = {o.name for o in graph.output}
    made = [n for node in graph.node for n in node.output if n not in outputs]
    table = dict(zip(made, names, strict=False))
    for node in graph.node:
        for field in (node.input, node.output):
            field[:] = [table.get(n, n) for n in field]
        node.name = node.output[0]
    onnx.save(model, target)
    return target


@pytest.fixture(scope="module")
def named(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Compile the tiny model under a name, for this machine."""

    def compiled(name: str) -> Path:
        folder = tmp_path_factory.mktemp("named")
        model = folder / f"{name}.onnx"
        shutil.copyfile(files["model"], model)
        args = ["compile", str(model), "--board", "host", "--calibration", str(files["data"])]
        assert invoke([*args, "-o", str(folder / "o")]) == 0
        return folder / "o"

    return compiled


@pytest.mark.long
@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
@pytest.mark.parametrize("generator", ["Unix Makefiles", "Ninja"])
def test_models_of_all_names_in_one_project(
    named: Callable[[str], Path], tmp_path: Path, generator: str
) -> None:
    """One program holds them all: CMake targets, headers, symbols and macros are apart."""
    if generator == "Ninja" and shutil.which("ninja") is None:
        pytest.skip("ninja is not installed")
    stems = STEMS if generator == "Ninja" else ("test", "all", "model", "mcf_runtime")
    names = [model_identifier(stem) for stem in stems]
    lines = ["cmake_minimum_required(VERSION 3.16)", "project(user C)", "add_executable(app main.c)",
             "target_compile_options(app PRIVATE -Wall -Wextra -Werror)"]  # fmt: skip
    main = ["#include <stdio.h>", "#include <string.h>", "#include <semaphore.h>"]
    for i, (stem, name) in enumerate(zip(stems, names, strict=True)):
        folder = named(stem)
        lines.append(f'add_subdirectory("{folder}" p{i})')
        lines.append(f"target_link_libraries(app PRIVATE mcuformer::{name})")
        main.append(f'#include "{folder}/model.h"')
    main.append("static _Alignas(8) unsigned char arena[4096];\nint main(void) {\n    int bad = 0;")
    main += [
        f"    bad += {n}_init(arena) || {n}_invoke(arena, 0, 0) || !{n}_output(arena, 0);"
        for n in names
    ]
    main.append("    return bad;\n}\n")
    (tmp_path / "main.c").write_text("\n".join(main))
    (tmp_path / "CMakeLists.txt").write_text("\n".join(lines))
    for argv in (
        ["cmake", "-G", generator, "-S", ".", "-B", "b"],
        ["cmake", "--build", "b"],
        ["b/app"],
    ):
        done = subprocess.run(argv, cwd=tmp_path, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_names_of_the_option(
    files: Files, compiling: Callable[..., list[str]], tmp_path: Path
) -> None:
    """--name stands for the file's; firmware and interpreter agree, and libc's names are no fault."""
    for name in ("printf", "Test"):
        assert invoke([*compiling(tmp_path / name), "--name", name]) == 0
        assert (tmp_path / name / f"{name}.h").is_file()
        assert json.loads((tmp_path / name / "report.json").read_text())["options"]["name"] == name
        args = ["validate", str(tmp_path / name), "--data", str(files["data"]), "--limit", "2"]
        assert invoke(args) == 0


def test_values_of_all_names(files: Files, tmp_path: Path) -> None:
    """Values called like locals, parameters, macros and functions of the C: the same bits in every layer."""
    model = renamed_values(files["model"], tmp_path / "t.onnx", VALUES)
    args = ["compile", str(model), "--board", "stm32f746", "--calibration", str(files["data"])]
    assert invoke([*args, "--input-mode", "bands", "-o", str(tmp_path / "o")]) == 0
    args = ["validate", str(tmp_path / "o"), "--data", str(files["data"]), "--limit", "2"]
    for emulator in ("host", "unicorn"):
        assert invoke([*args, "--per-layer", "--emulator", emulator]) == 0
