/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of attention on Cortex-M: blocks (mcf_attention_dsp.c) call the loops in assembly (mcf_attention_asm.c). */
#ifndef MCF_ATTENTION_DSP_H
#define MCF_ATTENTION_DSP_H

#include "mcf_attention.h"

/* Where the sums of a block run: `first` is the code of the steps after the first one. */
typedef struct {
    const uint32_t *end; /* of B */
    uintptr_t done;      /* set by the assembly */
    uintptr_t first;
    int32_t skip;  /* bytes of B that `first` leaves out, less the first step (MCF_LDR) */
    int32_t bytes; /* of B */
} mcf_dots_t;

/* For sums over `steps` pairs of channels or of tokens; the caller sets `end`. */
mcf_dots_t mcf_dots(int32_t steps);

/* Rows to 16 bits as steps of the block (mcf_attention_expand.c); `zero`: the negative zero point in both halves. */
void mcf_expand_pair(const uint8_t *row, const uint8_t *second, int32_t d, int type, uint32_t *out);
void mcf_expand_four(const uint8_t *row, int32_t stride, int32_t last, int32_t d, int type, uint32_t zero,
                     uint32_t *out); /* rows after `last` repeat it */
void mcf_expand_channels(const uint8_t *v, int32_t stride, int32_t count, int32_t channels, int type, uint32_t zero,
                         uint32_t *out); /* up to 4 channels of `count` rows, a step being two rows */

typedef struct {
    mcf_dots_t dots;
    int32_t m;
    uint32_t *scores;    /* of the first pair of rows; four words per pair: (row, keys) 0 01, 1 01, 0 23, 1 23 */
    int32_t stride;      /* bytes to the scores of the next pair */
    const uint32_t *end; /* scores after the last pair */
    int32_t pre_shift;   /* -1: none, and no score leaves int16 */
} mcf_scores_t;

/* q: pairs of rows, one after the other; k: four keys. */
void mcf_scores(const uint32_t *q, const uint32_t *k, const mcf_scores_t *args);

/* Scores of one pair of rows straight from int8 keys, two at a time; d is a multiple of 4. */
typedef struct {
    uintptr_t done;  /* set by the assembly */
    uintptr_t first; /* mcf_direct_first */
    int32_t bytes;   /* d */
    int32_t next;    /* from the end of a key to the start of the next but one */
    int32_t pitch;   /* from key to key */
    int32_t m;
    int32_t start[2]; /* of the sums of both rows: -k_zp times the sum of q */
    uint32_t *scores;
    int32_t count; /* of pairs of keys */
} mcf_direct_t;

uintptr_t mcf_direct_first(int32_t words);
void mcf_direct(const uint32_t *q, const uint8_t *k, const mcf_direct_t *args);

/* Scores of a pair of rows, the first one being `row` of head `head`, to probabilities in place, and their normalisers
 * (mcf_attention_softmax.c); `twin`: both rows are one. */
void mcf_attention_softmax(const mcf_attention_t *p, int32_t head, int32_t row, int twin, uint32_t *scores,
                           mcf_norm_t *norm);

typedef struct {
    mcf_dots_t dots;
    int32_t gap;            /* bytes of p between pairs of rows */
    const mcf_norm_t *norm; /* per row */
    void *y;                /* four channels of the first row */
    int32_t y_stride;
    int32_t pairs;
} mcf_weigh_t;

/* p: pairs of rows of probabilities; v: four channels. Four int8 or int16 outputs per row. */
void mcf_weigh8(const uint32_t *p, const uint32_t *v, const mcf_weigh_t *args);
void mcf_weigh16(const uint32_t *p, const uint32_t *v, const mcf_weigh_t *args);

/* Parts of the scratch; pairs of every head, the last one being one row twice when `odd`. */
typedef struct {
    int32_t pairs, odd, tk4, d4;
    uint32_t *scores, *q, *k, *v;
    mcf_norm_t *norm;
} mcf_block_t;

/* Channels that do not fill a word, pair by pair by way of the stack. */
static inline void mcf_weigh_rest(const mcf_block_t *b, mcf_weigh_t *args, const uint32_t *p, int type, uint32_t *panel,
                                  int32_t bytes) {
    uint8_t *y = args->y;
    const int32_t y_stride = args->y_stride, rows = 2 * b->pairs - b->odd;
    for (int32_t i = 0; i < rows; i += 2, p += b->tk4, args->norm += 2, y += 2 * y_stride) {
        uint32_t out[4];
        args->y = out;
        args->y_stride = 8;
        args->pairs = 1;
        (type == MCF_S16 ? mcf_weigh16 : mcf_weigh8)(p, panel, args);
        __builtin_memcpy(y, out, (size_t)bytes);
        if (i + 1 < rows) __builtin_memcpy(y + y_stride, out + 2, (size_t)bytes);
    }
    args->y_stride = y_stride;
}

/* Four channels of all pairs of a head. */
static inline void mcf_weigh_four(const mcf_block_t *b, mcf_weigh_t *args, const uint32_t *p, int type,
                                  uint32_t *panel) {
    void (*const run)(const uint32_t *, const uint32_t *, const mcf_weigh_t *) =
        type == MCF_S16 ? mcf_weigh16 : mcf_weigh8;
    const int32_t full = b->pairs - b->odd, y_stride = args->y_stride;
    args->pairs = full;
    if (full) run(p, panel, args);
    if (b->odd) { /* both rows of the last pair land on one */
        args->norm += 2 * full;
        args->y = (uint8_t *)args->y + (ptrdiff_t)2 * full * y_stride;
        args->y_stride = 0;
        args->pairs = 1;
        run(p + full * b->tk4, panel, args);
        args->y_stride = y_stride;
    }
}

#endif
