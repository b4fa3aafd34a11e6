"""A hand-written model with two layers, for tests of everything around a model."""

from __future__ import annotations

from pathlib import Path

from mcuformer.files.paths import RUNTIME_C
from mcuformer.targets.board import Board
from mcuformer.targets.port import PortPlan, write_port

LINES, LINE_BYTES = 6, 40
INPUT_BYTES = LINES * LINE_BYTES
OUTPUT_BYTES = LINES * 4
WEIGHTS = [(i * 37 + 11) % 251 for i in range(LINE_BYTES)]
ARENA_BYTES = INPUT_BYTES + OUTPUT_BYTES
MODES = {"resident": 0, "bands": 1, "flash": 2}

SOURCE = """
#include "mcf_model.h"
enum { LINES = 6, LINE_BYTES = 40 };
static const uint8_t weights[LINE_BYTES] MCF_SECTION("@SECTION@") = {@WEIGHTS@};
static const uint8_t id[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static int initialised = 7; /* .data */
@EXTRA@
static int init(void *arena) { (void)arena; return initialised - 7; }
static void *input(void *arena, unsigned i) { return !i && @MODE@ == MCF_INPUT_RESIDENT ? arena : 0; }
static const void *output(void *arena, unsigned i) { return i || @LINES@ ? 0 : (uint8_t *)arena + LINES * LINE_BYTES; }
static const uint32_t tensor_bytes[3] = {LINES * LINE_BYTES, LINES * 4, 4}; /* the last one where lines leave */

MCF_SECTION("@HOT@") __attribute__((noinline)) static int32_t dot(const uint8_t *line) {
    int32_t sum = 0;
    for (int i = 0; i < LINE_BYTES; i++) sum += line[i] * weights[i];
    return sum;
}

static int invoke_lines(void *arena, mcf_read_lines_t read, void *ctx, mcf_write_lines_t write, void *write_ctx) {
    uint8_t *lines = arena;
    int32_t *sums = (int32_t *)(lines + LINES * LINE_BYTES);
    MCF_LAYER(0);
    for (unsigned i = 0; i < LINES; i++) {
        int status = read ? read(ctx, lines + i * LINE_BYTES, i, 1) : 0;
        if (status) return status;
        const uint8_t *line = (@MODE@ == MCF_INPUT_FLASH ? (uint8_t *)ctx : lines) + i * LINE_BYTES;
        sums[i] = dot(line);
        MCF_TRACE(0, sums + i, 4, 4, (int32_t)i, 1);
    }
    MCF_LAYER(1);
    for (int i = 0; i < LINES; i++) sums[i] = sums[i] * 3 + 1;
    @BODY@
    MCF_TRACE(1, sums, 4, 4, 0, LINES);
    for (unsigned i = 0; write && i < LINES; i += 4) { /* four lines, then the other two */
        int status = write(write_ctx, (const int8_t *)(sums + i), i, i + 4 < LINES ? 4 : LINES - i);
        if (status) return status;
    }
    MCF_LAYER(2);
    return 0;
}

__attribute__((unused)) MCF_COLD static int invoke(void *arena, mcf_read_lines_t read, void *ctx) {
    return invoke_lines(arena, read, ctx, 0, 0);
}

extern const mcf_model_t small_model;
const mcf_model_t small_model = {
    .name = "small", .id = id, .arena_bytes = LINES * LINE_BYTES + LINES * 4,
    .line_bytes = LINE_BYTES, .lines = LINES,
    .tensor_bytes = tensor_bytes, .inputs = 1, .outputs = 1,
    .layers = 2, .input_mode = @MODE@, .output_mode = @LINES@,
    .init = init, .input = input, .output = output,
    .@INVOKE@,
};
"""


def write_small_model(
    directory: Path,
    board: Board,
    *,
    mode: str = "bands",
    qspi: bool = False,
    hot: bool = True,
    extra: str = "",
    body: str = "",
    arena_bytes: int = ARENA_BYTES,
    stack_bytes: int | None = None,
    lines: bool = False,
) -> Path:
    """The package directory; `extra` and `body` go into the source and its last layer; `lines`: its
    output leaves by lines of one sum."""
    source = SOURCE
    for key, value in {
        "SECTION": ".qspi" if qspi else ".rodata.weights",
        "HOT": ".text.mcf_hot.pair" if hot else ".text.dot",
        "WEIGHTS": ", ".join(map(str, WEIGHTS)),
        "MODE": str(MODES[mode]),
        "EXTRA": extra,
        "LINES": str(int(lines)),
        "INVOKE": "invoke_lines = invoke_lines" if lines else "invoke = invoke",
        "BODY": body,
    }.items():
        source = source.replace(f"@{key}@", value)
    include = directory / "runtime" / "include"
    include.mkdir(parents=True, exist_ok=True)
    (directory / "model.c").write_text(source)
    (include / "mcf_model.h").write_text((RUNTIME_C / "include" / "mcf_model.h").read_text())
    plan = PortPlan(
        model="small",
        arena_bytes=arena_bytes,
        layers=2,
        stack_bytes=stack_bytes or board.stack_bytes,
        qspi=qspi,
        model_id=bytes(range(1, 17)),
        image_bytes=INPUT_BYTES if mode == "flash" else 0,
    )
    write_port(directory, board, plan)
    return directory


def expected(image: bytes) -> tuple[list[int], list[int]]:
    """Both layers' outputs."""
    lines = [image[i : i + LINE_BYTES] for i in range(0, INPUT_BYTES, LINE_BYTES)]
    sums = [sum(a * b for a, b in zip(line, WEIGHTS, strict=True)) for line in lines]
    return sums, [3 * s + 1 for s in sums]
