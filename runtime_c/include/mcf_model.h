/* SPDX-License-Identifier: Apache-2.0 */
/* What a generated model offers to a caller, and the hooks that it calls. */
#ifndef MCF_MODEL_H
#define MCF_MODEL_H

#include <stdint.h>

#define MCF_COLD __attribute__((cold)) /* runs once per inference or start: small rather than fast */

/* Delivers lines first .. first+count-1 of input 0 (HWC bytes, or rows of tokens) to dst; non-zero aborts the inference
 * with that code. */
typedef int (*mcf_read_lines_t)(void *ctx, uint8_t *dst, unsigned first, unsigned count);

/* Takes lines first .. first+count-1 (HWC bytes, or rows of tokens), which lie at src until it returns. Lines are numbered
 * through all outputs that leave so; those of one output come in order, each once, and one call has lines of one output.
 * Numbers of 16 bits are aligned. Non-zero aborts the inference with that code. */
typedef int (*mcf_write_lines_t)(void *ctx, const int8_t *src, unsigned first, unsigned count);

/* How input 0 comes; the others are always resident. */
enum { MCF_INPUT_RESIDENT = 0, MCF_INPUT_BANDS = 1, MCF_INPUT_FLASH = 2 };

/* Whether every output lies in the arena. */
enum { MCF_OUTPUT_RESIDENT = 0, MCF_OUTPUT_LINES = 1 };

/* What init and invoke return, beside 0 and what read or write returned: nothing has been computed. */
enum {
    MCF_E_ARENA_NULL = -1001,
    MCF_E_ARENA_ALIGN = -1002, /* not at a multiple of 8 */
    MCF_E_READ_NULL = -1003,   /* bands: lines are pulled through read */
    MCF_E_IMAGE_NULL = -1004,  /* flash: ctx is where the image lies */
    MCF_E_WRITE_NULL = -1005,  /* outputs leave through write */
    MCF_E_VARIANT = -1006      /* no such width or task, or the arena has not been through init */
};

/* Input 0 is `lines` lines of `line_bytes`; a sequence counts its tokens as lines. */
typedef struct {
    const char *name;
    const uint8_t *id; /* 16 bytes: head of the sha256 over weights and program */
    uint32_t arena_bytes, line_bytes, lines;
    /* Of every input, then of every output. MCF_OUTPUT_LINES: then of a line of every output, 0 of one in the arena. */
    const uint32_t *tensor_bytes;
    uint16_t inputs, outputs, layers;
    uint8_t input_mode, output_mode;
    int (*init)(void *arena);
    void *(*input)(void *arena, unsigned i); /* where to write input i; NULL for input 0 unless resident */
    /* bands: read(ctx, ...) delivers lines. flash: ctx is the image's address, read is NULL. resident: both NULL.
     * A union without a name is of C11 and C++. */
    __extension__ union {
        int (*invoke)(void *arena, mcf_read_lines_t read, void *ctx); /* MCF_OUTPUT_RESIDENT */
        int (*invoke_lines)(void *arena, mcf_read_lines_t read, void *ctx, mcf_write_lines_t write, void *write_ctx);
    };
    const void *(*output)(void *arena, unsigned i); /* NULL for one that leaves by lines */
    /* Widths, or tasks, over the same weights: 0 and NULL where there is one. set_variant says which one input, invoke
     * and output are of, until it or init is called again. */
    unsigned variants;
    int (*set_variant)(void *arena, unsigned k);
} mcf_model_t;

/* Hooks: empty unless the build asks for them. */
#ifdef MCF_PROFILE
void mcf_profile_layer(
    unsigned layer); /* closes the running layer's count, opens this one's; layer == layers closes only */
#define MCF_LAYER(layer) mcf_profile_layer(layer)
#else
#define MCF_LAYER(layer) ((void)0)
#endif

#ifdef MCF_TRACING
void mcf_trace(unsigned layer, const void *rows, int32_t stride, int32_t row_bytes, int32_t first_row, int32_t count);
#define MCF_TRACE(layer, rows, stride, row_bytes, first_row, count)                                                    \
    mcf_trace(layer, rows, stride, row_bytes, first_row, count)
#else
#define MCF_TRACE(layer, rows, stride, row_bytes, first_row, count) ((void)(rows), (void)(first_row), (void)(count))
#endif

#ifndef MCF_SECTION
#define MCF_SECTION(name) __attribute__((section(name)))
#endif
/* What lies in the board's other SRAM regions: of the second, the third, ... */
#define MCF_ARENA1 MCF_SECTION(".mcf_arena1") __attribute__((aligned(8)))
#define MCF_ARENA2 MCF_SECTION(".mcf_arena2") __attribute__((aligned(8)))
#define MCF_ARENA3 MCF_SECTION(".mcf_arena3") __attribute__((aligned(8)))
#define MCF_ARENA4 MCF_SECTION(".mcf_arena4") __attribute__((aligned(8)))
#define MCF_ARENA5 MCF_SECTION(".mcf_arena5") __attribute__((aligned(8)))

#endif
