/* SPDX-License-Identifier: Apache-2.0 */
/* What a generated model offers to a caller, and the hooks that it calls. */
#ifndef MCF_MODEL_H
#define MCF_MODEL_H

#include <stdint.h>

#define MCF_COLD __attribute__((cold)) /* runs once per inference or start: small rather than fast */

/* Delivers lines first .. first+count-1 of the image (HWC bytes) to dst; non-zero aborts the inference with that code. */
typedef int (*mcf_read_lines_t)(void *ctx, uint8_t *dst, unsigned first, unsigned count);

enum { MCF_INPUT_RESIDENT = 0, MCF_INPUT_BANDS = 1, MCF_INPUT_FLASH = 2 };

/* The image is `lines` lines of `line_bytes`; a sequence input counts its tokens as lines. */
typedef struct {
    const char *name;
    const uint8_t *id; /* 16 bytes: head of the sha256 over weights and program */
    uint32_t arena_bytes, line_bytes, lines, output_bytes;
    uint16_t layers;
    uint8_t input_mode;
    int (*init)(void *arena);
    uint8_t *(*input)(void *arena); /* resident: where to write the image; NULL result in the other modes */
    /* bands: read(ctx, ...) delivers lines. flash: ctx is the image's address, read is NULL. resident: both NULL. */
    int (*invoke)(void *arena, mcf_read_lines_t read, void *ctx);
    const void *(*output)(void *arena);
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
#define MCF_TRACE(layer, rows, stride, row_bytes, first_row, count) ((void)0)
#endif

#ifndef MCF_SECTION
#define MCF_SECTION(name) __attribute__((section(name)))
#endif

#endif
