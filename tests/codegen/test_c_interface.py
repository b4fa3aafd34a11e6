"""The C interface as a user's program sees it: several tensors, error codes, macros, C++."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from packages import (
    EXTRA,
    STRICT,
    Small,
    c_bytes,
    include_flags,
    kernels,
    package,
    run,
    small,
    with_extra,
)

MODES = ("resident", "bands", "flash")
MAIN = """
#include <stdio.h>
#include <string.h>
#include "two.h"

static _Alignas(8) uint8_t memory[TWO_ARENA_BYTES + 8];
static const uint8_t image[TWO_INPUT_0_BYTES] = {@IMAGE@};
static const uint8_t extra[TWO_INPUT_1_BYTES] = {@EXTRA@};
static const int dims[] = {TWO_INPUT_1_DIMS};
static const float scales[] = {TWO_INPUT_1_SCALE}, zeros[] = {TWO_INPUT_1_ZERO_POINTS};

static int lines(void *ctx, uint8_t *dst, unsigned first, unsigned count) {
    if (ctx == (void *)memory) return 77;
    memcpy(dst, image + first * TWO_INPUT_LINE_BYTES, count * TWO_INPUT_LINE_BYTES);
    return 0;
}

static void show(const void *output, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) printf("%02x", ((const uint8_t *)output)[i]);
    printf("\\n");
}

int main(void) {
    void *ctx = TWO_INPUTS == 2 ? (void *)image : 0;
    (void)lines;
    printf("%d %d\\n", two_init(NULL), two_init(memory + 4));
    printf("%d %d\\n", two_invoke(NULL, lines, ctx), two_invoke(memory + 1, lines, ctx));
    printf("%d\\n", two_input(NULL, 0) || two_input(memory, 2) || two_output(memory, 2) || two_output(NULL, 0));
    if (two_init(memory)) return 1;
    if (two_input(memory, 0)) memcpy(two_input(memory, 0), image, sizeof image);
    printf("%d\\n", two_invoke(memory, NULL, NULL));
    if (two_input(memory, 0)) memcpy(two_input(memory, 0), image, sizeof image);
    memcpy(two_input(memory, 1), extra, sizeof extra);
    printf("%d\\n", two_invoke(memory, lines, ctx));
    for (unsigned i = 0; i < TWO_OUTPUTS; i++) show(two_output(memory, i), two_model.tensor_bytes[TWO_INPUTS + i]);
    if (two_model.input_mode == MCF_INPUT_BANDS) printf("%d\\n", two_invoke(memory, lines, memory));
    printf("%d %d %d %.1f\\n", dims[0], dims[1], (int)zeros[5], (double)scales[0]);
    return 0;
}
"""


@pytest.mark.parametrize(
    "mode", [m if m == "bands" else pytest.param(m, marks=pytest.mark.long) for m in MODES]
)
def test_several_tensors_and_error_codes(mode: str, tmp_path: Path) -> None:
    """Sanitized, with -Wall -Wextra -Werror: what invoke wants and what it says where that is missing."""
    made = with_extra(small(mode=mode))
    folder = package(made, tmp_path / "two", name="two")
    x, extra = made.input(), bytes(range(100, 100 + EXTRA))
    main = MAIN.replace("@IMAGE@", c_bytes(x.tobytes())).replace("@EXTRA@", c_bytes(extra))
    (tmp_path / "main.c").write_text(main)
    sources = [tmp_path / "main.c", folder / "model.c", folder / "weights.c", *kernels(folder)]
    run("gcc", *STRICT, *include_flags(folder), *sources, "-o", tmp_path / "app")
    lines = run(tmp_path / "app").splitlines()
    missing = {"resident": "0", "bands": "-1003", "flash": "-1004"}[mode]
    assert lines[:5] == ["-1001 -1002", "-1001 -1002", "0", missing, "0"]
    assert lines[5:7] == [made.expected(x).hex(), extra.hex()]
    assert lines[7:] == [*(["77"] if mode == "bands" else []), "3 8 5 0.5"]


def header(made: Small, tmp_path: Path, name: str) -> str:
    return (package(made, tmp_path / name, name=name) / f"{name}.h").read_text()


def test_no_macro_is_another_models(tmp_path: Path) -> None:
    """A model called like the beginning of a macro of `a` would have to have its end: none has."""
    made = small()
    text = header(made, tmp_path, "a")
    assert text == (tmp_path / "a/model.h").read_text()
    macros = re.findall(r"#define A_(\w+)", text)
    assert len(macros) > 40
    clashes = [(m, n) for m in macros for n in macros if m.endswith(f"_{n}")]
    assert clashes == []
    functions = set(re.findall(r"\ba_(\w+)[(\[;]", text))
    assert functions == {"id", "init", "input", "invoke", "output", "model"}


def test_what_the_header_says(tmp_path: Path) -> None:
    """Of an int8 input that the caller quantises, of another with numbers by channel, and of outputs."""
    text = header(with_extra(small()), tmp_path, "two")
    shown = " ".join(text.replace("\n * ", "\n").split())
    for words in (
        "Input 0, image: int8 8x8x3, HWC: lines of pixels, RGB order.",
        "q = (int8_t)fminf(fmaxf(floorf(x / TWO_INPUT_0_SCALE + TWO_INPUT_0_ZERO_POINT + 0.5f), -128), 127);",
        "Input 1, extra: int8 3x8, TC: 3 rows of 8 channels.",
        "differ by channel (last axis): ZERO_POINTS",
        "#define TWO_INPUT_1_ZERO_POINTS 0, 1, 2, 3, 4, 5, 6, 7 ",
        "#define TWO_INPUT_1_SCALE 0.5f",
        '#define TWO_INPUT_0_LAYOUT "HWC"',
        '#define TWO_OUTPUT_1_NAME "extra"',
        "#define TWO_OUTPUT_COUNT TWO_OUTPUT_0_COUNT",
        "#define TWO_ARENA_ALIGN 8",
        "#define TWO_STACK_BYTES 65536",
        "What the board file of host reserves",
    ):
        assert words in shown, words
    assert "TWO_INPUT_1_ZERO_POINT " not in text


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_the_header_is_of_every_standard(tmp_path: Path) -> None:
    """With the warnings of a strict project, as C and as C++, from the oldest that it can be."""
    folder = package(with_extra(small()), tmp_path / "two", name="two")
    text = '#include "two.h"\nint main(void) { return two_init(0); }\n'
    warnings = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef", "-Werror")
    for compiler, suffix, standards in (
        ("gcc", "c", ("c99", "c11", "gnu17")),
        ("g++", "cpp", ("c++98", "c++11", "c++20")),
    ):
        (tmp_path / f"main.{suffix}").write_text(text)
        for standard in standards:
            flags = (f"-std={standard}", *warnings, *include_flags(folder))
            run(compiler, *flags, "-c", f"main.{suffix}", cwd=tmp_path)
