/* The Cortex-M4/M7 register block of the matrix products: 2 rows x 4 channels (mcf_dot.c). */
#ifndef MCF_DOT_H
#define MCF_DOT_H

#include "mcf_base.h"

#if MCF_DSP

typedef void mcf_dot_label_t(void); /* a place inside mcf_dot, never called from C */

/* Passed by value: the struct becomes the stack frame of mcf_dot, which knows its offsets. */
typedef struct {
    const void *w, *pair, *pair_end;
    const int32_t *post;      /* behind the first group's biases */
    const void *w_end;
    uint32_t entry;           /* address in one of the unrolled loops over K */
    mcf_dot_label_t *finish;  /* what becomes of the sums of a group */
    uint32_t shift;           /* for the sums: bytes from one group's biases to the next */
    void *y0, *y1;
    const void *res0, *res1;
    const void *table;
    const void *pair_entry;   /* MCF_LDR: pair, less what the entry skips */
    uint32_t w_skip;          /* MCF_LDR: bytes of weights that the entry skips */
} mcf_dot_t;

void mcf_dot(mcf_dot_t d);

/* The unrolled loops: a step is 4 K positions. */
#ifdef MCF_LDR
enum { MCF_DOT_UNROLL = 16, MCF_DOT_STEP_BYTES = 112 };
#else
enum { MCF_DOT_UNROLL = 16, MCF_DOT_STEP_BYTES = 88 };
#endif
enum { MCF_DOT_PACKED_UNROLL = 4, MCF_DOT_PACKED_STEP_BYTES = 120 };
mcf_dot_label_t mcf_dot_loop, mcf_dot_packed_loop;

/* The finishes, named by the type of y; `_1`: for shift 1, which costs nothing. */
mcf_dot_label_t mcf_dot_sums, mcf_dot_add_sums;
mcf_dot_label_t mcf_dot_s8, mcf_dot_s8_1, mcf_dot_s8_res8, mcf_dot_s8_res16;
mcf_dot_label_t mcf_dot_s8_table8, mcf_dot_s8_table9, mcf_dot_s8_table10, mcf_dot_s8_table11, mcf_dot_s8_table12;
mcf_dot_label_t mcf_dot_s8_table10_1, mcf_dot_s8_table12_1;

/* `count` blocks of 16 packed weights to 16 bits. */
void mcf_dot_expand(const void *packed, void *panel, int32_t count);

/* Interleaves 4*count elements (count > 0) of two rows as pairs of int16; _aligned: rows at multiples of 4. */
typedef void mcf_dot_pair_t(const void *row0, const void *row1, void *pair, int32_t count);
mcf_dot_pair_t mcf_dot_pair_s8, mcf_dot_pair_u8, mcf_dot_pair_s16, mcf_dot_pair_s8_aligned, mcf_dot_pair_u8_aligned;

#endif
#endif
