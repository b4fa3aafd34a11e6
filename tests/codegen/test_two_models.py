"""Two models and one runtime in one program of a user's: objects, archives, CMake subdirectories."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from packages import STRICT, Small, c_bytes, include_flags, kernels, package, run, small

needs_cmake = pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
needs_gcc = pytest.mark.skipif(
    shutil.which("arm-none-eabi-gcc") is None, reason="no arm-none-eabi-gcc"
)
MAIN = """
#include <stdio.h>
#include <string.h>
#include "alpha.h"
#include "beta.h"

static _Alignas(8) uint8_t alpha_memory[ALPHA_ARENA_BYTES], beta_memory[BETA_ARENA_BYTES];
static const uint8_t alpha_image[ALPHA_INPUT_BYTES] = {@ALPHA@};
static const uint8_t beta_image[BETA_INPUT_BYTES] = {@BETA@};

static void show(const void *output, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) printf("%02x", ((const uint8_t *)output)[i]);
    printf("\\n");
}

int main(void) {
    if (alpha_init(alpha_memory) || beta_init(beta_memory)) return 1;
    memcpy(alpha_input(alpha_memory, 0), alpha_image, sizeof alpha_image);
    memcpy(beta_input(beta_memory, 0), beta_image, sizeof beta_image);
    if (alpha_invoke(alpha_memory, NULL, NULL) || beta_model.invoke(beta_memory, NULL, NULL)) return 1;
    show(alpha_output(alpha_memory, 0), ALPHA_OUTPUT_BYTES);
    show(beta_output(beta_memory, 0), BETA_OUTPUT_BYTES);
    return 0;
}
"""
BARE = """
#include "alpha.h"
#include "beta.h"
static uint8_t a[ALPHA_ARENA_BYTES] __attribute__((aligned(ALPHA_ARENA_ALIGN)));
static uint8_t b[BETA_ARENA_BYTES] __attribute__((aligned(BETA_ARENA_ALIGN)));
int main(void) {
    return alpha_init(a) | beta_init(b) | alpha_invoke(a, 0, 0) | beta_invoke(b, 0, 0);
}
"""
CMAKE = """
cmake_minimum_required(VERSION 3.16)
project(user C)
add_subdirectory(alpha)
add_subdirectory(beta)
add_executable(app main.c)
target_link_libraries(app PRIVATE mcuformer::alpha beta)
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A directory with alpha/, beta/ and main.c, and what the interpreter computes of both inputs.

    Both models have layers of the same names and shapes, and weights of their own.
    """
    folder = tmp_path_factory.mktemp("pair")
    models: dict[str, Small] = {"alpha": small(seed=1), "beta": small(seed=2)}
    main, expected = MAIN, []
    for name, made in models.items():
        package(made, folder / name, name=name)
        x = made.input()
        main = main.replace(f"@{name.upper()}@", c_bytes(x.tobytes()))
        expected.append(made.expected(x).hex())
    (folder / "main.c").write_text(main)
    (folder / "CMakeLists.txt").write_text(CMAKE)
    assert expected[0] != expected[1]
    return folder, expected


def compiled(folder: Path, work: Path) -> dict[str, list[Path]]:
    """Objects by part, each model with its own include path; the runtime is alpha's."""
    parts = {
        name: [folder / name / f for f in ("model.c", "weights.c")] for name in ("alpha", "beta")
    }
    parts["runtime"] = [Path(p) for p in kernels(folder / "alpha")]
    parts["main"] = [folder / "main.c"]
    objects: dict[str, list[Path]] = {}
    for part, sources in parts.items():
        own = [folder / part] if part in ("alpha", "beta") else [folder / "alpha", folder / "beta"]
        (work / part).mkdir()
        run("gcc", *STRICT, *include_flags(*own), "-c", *sources, cwd=work / part)
        objects[part] = sorted((work / part).glob("*.o"))
    return objects


@pytest.mark.long
def test_as_objects(pair: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, expected = pair
    objects = [o for part in compiled(folder, tmp_path).values() for o in part]
    run("gcc", *STRICT, *objects, "-o", tmp_path / "app")
    assert run(tmp_path / "app").split() == expected


@pytest.mark.long
def test_as_archives(pair: tuple[Path, list[str]], tmp_path: Path) -> None:
    """The archives of `make library`; any order of the models."""
    folder, expected = pair
    for name in ("alpha", "beta"):
        shutil.copytree(folder / name, tmp_path / name)
        run("make", "library", cwd=tmp_path / name)
    archives = [tmp_path / name / f"build/lib{name}.a" for name in ("beta", "alpha")]
    includes = include_flags(tmp_path / "alpha", tmp_path / "beta")
    runtime = tmp_path / "beta/build/libmcf_runtime.a"
    run("gcc", *includes, folder / "main.c", *archives, runtime, "-o", tmp_path / "app")
    assert run(tmp_path / "app").split() == expected


@pytest.mark.long
@needs_cmake
def test_as_subdirectories(pair: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, expected = pair
    run("cmake", "-S", folder, "-B", tmp_path)
    run("cmake", "--build", tmp_path)
    assert run(tmp_path / "app").split() == expected


@pytest.mark.long
@needs_cmake
@needs_gcc
def test_as_subdirectories_cross_compiled(tmp_path: Path) -> None:
    """The user's own firmware: no target of ours but the libraries, no hook that is missing."""
    for name, seed in (("alpha", 1), ("beta", 2)):
        package(small(seed=seed), tmp_path / name, "stm32f746", name)
    (tmp_path / "main.c").write_text(BARE)
    link = "target_link_options(app PRIVATE --specs=nosys.specs -Wl,--gc-sections)\n"
    (tmp_path / "CMakeLists.txt").write_text(CMAKE + link)
    toolchain = tmp_path / "alpha" / "toolchain.cmake"
    run("cmake", "-S", tmp_path, "-B", tmp_path / "b", f"-DCMAKE_TOOLCHAIN_FILE={toolchain}")
    run("cmake", "--build", tmp_path / "b")
    symbols = run("arm-none-eabi-nm", tmp_path / "b/app").split()
    assert {"alpha_invoke", "beta_invoke", "mcf_linear"} <= set(symbols)
    assert "mcf_serve" not in symbols and "mcf_conv2d" not in symbols
    assert not (tmp_path / "b/alpha/firmware.elf").exists()


def test_runtimes_of_two_versions_do_not_mix(pair: tuple[Path, list[str]], tmp_path: Path) -> None:
    """At compile time where headers meet, at link time where only objects do."""
    folder, _ = pair
    for name in ("alpha", "beta"):
        shutil.copytree(folder / name, tmp_path / name)
    header = tmp_path / "beta/runtime/include/mcf_version.h"
    old = header.read_text().split("MCF_RUNTIME_VERSION 0x")[1][:8]
    for path in tmp_path.glob("beta/**/*.h"):
        path.write_text(path.read_text().replace(old, "0badcafe"))
    (tmp_path / "main.c").write_text((folder / "main.c").read_text())
    with pytest.raises(AssertionError, match="beta was generated with another version"):
        run(
            "gcc",
            *include_flags(tmp_path / "alpha", tmp_path / "beta"),
            "-c",
            "main.c",
            cwd=tmp_path,
        )
    objects = []
    for name in ("alpha", "beta"):
        run(
            "gcc",
            *include_flags(tmp_path / name),
            "-c",
            "model.c",
            "weights.c",
            cwd=tmp_path / name,
        )
        objects += sorted((tmp_path / name).glob("*.o"))
    (tmp_path / "user.c").write_text(
        "int alpha_init(void *);\nint beta_init(void *);\n"
        "int main(void) { return alpha_init(0) + beta_init(0); }\n"
    )
    runtime = [*include_flags(tmp_path / "alpha"), *kernels(tmp_path / "alpha")]
    with pytest.raises(AssertionError, match="undefined reference to `mcf_check_arena_0badcafe'"):
        run("gcc", "user.c", *objects, *runtime, "-o", "app", cwd=tmp_path)
