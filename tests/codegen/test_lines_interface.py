"""Outputs by lines as a user's program sees them: what it is given, and what it may answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from packages import (
    STRICT,
    Small,
    c_bytes,
    include_flags,
    kernels,
    package,
    rows_by_lines,
    run,
)

from mcuformer.memory.model import Arena
from mcuformer.operators.interpreter import run_int
from mcuformer.plan.fit import build

MAIN = """
#include <stdio.h>
#include <string.h>
#include "map.h"

static _Alignas(MAP_ARENA_ALIGN) uint8_t memory[MAP_ARENA_BYTES];
static const uint8_t image[MAP_INPUT_BYTES] = {@IMAGE@};
static uint8_t taken[MAP_OUTPUT_1_BYTES];
static unsigned next = MAP_OUTPUT_1_FIRST_LINE;

static int read_lines(void *ctx, uint8_t *dst, unsigned first, unsigned count) {
    memcpy(dst, (const uint8_t *)ctx + first * MAP_INPUT_LINE_BYTES, count * MAP_INPUT_LINE_BYTES);
    return 0;
}

static int write_lines(void *ctx, const int8_t *src, unsigned first, unsigned count) {
    if (first != next) return 9;
    next += count;
    first -= MAP_OUTPUT_1_FIRST_LINE;
    memcpy((uint8_t *)ctx + first * MAP_OUTPUT_1_LINE_BYTES, src, count * MAP_OUTPUT_1_LINE_BYTES);
    return 0;
}

static int full(void *ctx, const int8_t *src, unsigned first, unsigned count) {
    (void)ctx, (void)src, (void)first, (void)count;
    return 33;
}

int main(void) {
    if (map_init(memory)) return 1;
    printf("%d\\n", map_invoke(memory, read_lines, (void *)image, NULL, NULL));
    printf("%d\\n", map_invoke(memory, read_lines, (void *)image, full, NULL));
    printf("%d\\n", map_invoke(memory, read_lines, (void *)image, write_lines, taken));
    printf("%d %u\\n", map_output(memory, 1) != 0, next);
    for (unsigned i = 0; i < sizeof taken; i++) printf("%02x", taken[i]);
    printf("\\n");
    const uint8_t *scores = map_output(memory, 0);
    for (unsigned i = 0; i < MAP_OUTPUT_0_BYTES; i++) printf("%02x", scores[i]);
    printf("\\n%d %d %d\\n", map_model.output_mode, (int)map_model.tensor_bytes[3], (int)map_model.tensor_bytes[4]);
    return map_model.invoke_lines != map_invoke;
}
"""


def made() -> Small:
    built = build(
        rows_by_lines().replace(name="map"), [Arena("sram", 0x20000000, 300_000)], optimize="ram"
    )
    return Small(built.graph, replace(built.program, name="map"), built.plan)


@pytest.mark.long
def test_a_program_that_takes_lines(tmp_path: Path) -> None:
    """Sanitized: without a function it says so, what the function answers ends it, lines come in order."""
    small = made()
    folder = package(small, tmp_path / "map", name="map")
    x = small.input()
    (tmp_path / "main.c").write_text(MAIN.replace("@IMAGE@", c_bytes(x.tobytes())))
    sources = [tmp_path / "main.c", folder / "model.c", folder / "weights.c", *kernels(folder)]
    run("gcc", *STRICT, *include_flags(folder), *sources, "-o", tmp_path / "app")
    shown = run(tmp_path / "app").splitlines()
    values = run_int(small.graph, x)
    scores, rows = (values[name] for name in small.graph.outputs)
    assert shown[:3] == ["-1005", "33", "0"]
    assert shown[3] == f"0 {len(rows)}"
    assert shown[4:6] == [rows.tobytes().hex(), scores.tobytes().hex()]
    assert shown[6] == f"1 0 {rows[0].nbytes}"


def test_what_header_and_readme_say(tmp_path: Path) -> None:
    folder = package(made(), tmp_path / "map", name="map")
    header = " ".join((folder / "map.h").read_text().replace("\n * ", "\n").split())
    for words in (
        "given to write, from number FIRST_LINE on; output(1) is NULL.",
        "#define MAP_OUTPUT_1_FIRST_LINE 0",
        "or what read or write returned.",
        "write(write_ctx, ...) gets the lines of output 1 as they are made.",
        "NULL where there is none, and for one that leaves by lines.",
    ):
        assert words in header, words
    assert "OUTPUT_0_FIRST_LINE" not in header
    readme = (folder / "README.md").read_text()
    assert "map_invoke(arena, read_lines, camera, write_lines, display);" in readme
    assert "= map_output(arena, 0);" in readme and "Output mode `lines`" in readme
