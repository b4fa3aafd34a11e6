/* SPDX-License-Identifier: Apache-2.0 */
/* The Cortex-M4/M7 register block of the matrix products: 2 rows x 4 channels (mcf_dot.c). */
#ifndef MCF_DOT_H
#define MCF_DOT_H

#include "mcf_base.h"

#if MCF_DSP

typedef void mcf_dot_label_t(void); /* a place inside mcf_dot, never called from C */

/* mcf_dot copies it to its stack frame and knows the offsets. */
typedef struct {
    const void *w, *pair, *pair_end;
    const int32_t *post;     /* at the first group's biases */
    int32_t offset;          /* of every sum, once scaled */
    uint32_t entry;          /* address in one of the unrolled loops over K */
    mcf_dot_label_t *finish; /* what becomes of the sums of a group */
    uint32_t shift;          /* sums: bytes from a group's biases to the next's; scaled: from biases to multipliers */
    void *y[2];
    const void *res[2];
    const void *table;
    uint32_t acc_shift;           /* mcf_dot_up: left shift of the sums, */
    int32_t clamp_min, clamp_max; /* scaled: clamp_min is bytes from the multipliers to the next biases */
    const void *pair_entry;       /* MCF_LDR: pair, less what the entry skips */
    uint32_t w_skip;              /* MCF_LDR: bytes of weights that the entry skips */
    int32_t pairs;                /* how many pairs of rows, one behind the other */
    int32_t pair_bytes, y_step, res_step, post_back; /* from the end of a pair of rows to the start of the next */
    mcf_dot_label_t *after_up;                       /* then on to this finish */
    uint32_t row_entry;                              /* depthwise: address in the unrolled loop over a kernel row, */
    int32_t row_step;                                /* and bytes from the end of a row of x to the next */
    const void *w_end;
} mcf_dot_t;

/* Every pair of rows against every group of channels between w and w_end. */
void mcf_dot(const mcf_dot_t *d);

/* The unrolled loops: steps of 4 K positions. As many as leave all hot loops 12 KB of ITCM. */
#ifdef MCF_LDR
#define MCF_DOT_UNROLL 16
enum { MCF_DOT_STEP_BYTES = 112 };
#else
#define MCF_DOT_UNROLL 24
enum { MCF_DOT_STEP_BYTES = 88 };
#endif
enum { MCF_DOT_PACKED_UNROLL = 4, MCF_DOT_PACKED8_STEP_BYTES = 120, MCF_DOT_PACKED4_STEP_BYTES = 184 };
mcf_dot_label_t mcf_dot_loop, mcf_dot_packed8_loop, mcf_dot_packed4_loop;

/* The finishes, named by the type of y, bits of the table, type of the residual. Those with a shift in their name save
 * its instructions: MCF_DOT_SHIFT without residual, 8 to 11 with one. */
enum { MCF_DOT_SHIFT = 3 };
mcf_dot_label_t mcf_dot_sums, mcf_dot_add_sums, mcf_dot_scaled, mcf_dot_add_scaled, mcf_dot_up;
mcf_dot_label_t mcf_dot_s8, mcf_dot_s8_shift3, mcf_dot_s8_res8, mcf_dot_s8_res16;
mcf_dot_label_t mcf_dot_s8_res8_shift8, mcf_dot_s8_res8_shift9, mcf_dot_s8_res8_shift10, mcf_dot_s8_res8_shift11;
mcf_dot_label_t mcf_dot_s8_table10, mcf_dot_s8_table11, mcf_dot_s8_table12;
mcf_dot_label_t mcf_dot_s8_table10_shift3, mcf_dot_s8_table11_shift3, mcf_dot_s8_table12_shift3;
mcf_dot_label_t mcf_dot_s16, mcf_dot_s16_clamp, mcf_dot_s16_res16, mcf_dot_s16_table20;

/* Depthwise (mcf_dw.c): two output pixels x 4 channels; pair is a strip of x, w the kernel, both as from mcf_dw_expand.
 * Loops over a kernel row of up to 8 taps for strides 1 and 2, and whole kernels of 3x3. */
enum { MCF_DW_UNROLL = 8, MCF_DW_STEP_BYTES = 44 };
mcf_dot_label_t mcf_dw_row_1, mcf_dw_row_2, mcf_dw_3x3_1, mcf_dw_3x3_2;

/* 4 channels of `count` pixels, `step` bytes apart, as int16 pairs (c0, c2), (c1, c3). */
typedef void mcf_dw_expand_t(const void *from, void *to, int32_t count, int32_t step);
mcf_dw_expand_t mcf_dw_expand_s8, mcf_dw_expand_u8, mcf_dw_expand_s16;

/* `count` blocks of 16 packed weights (8 or 4 bits each) to 16 bits. */
void mcf_dot_expand8(const void *packed, void *panel, int32_t count);
void mcf_dot_expand4(const void *packed, void *panel, int32_t count);

/* Interleaves 4*count elements (count > 0) of two rows as pairs of int16; _aligned: rows at multiples of 4. */
typedef void mcf_dot_pair_t(const void *row0, const void *row1, void *pair, int32_t count);
mcf_dot_pair_t mcf_dot_pair_3x9_s8, mcf_dot_pair_3x9_u8; /* three lines of 9 bytes, `count` bytes apart */
mcf_dot_pair_t mcf_dot_pair_s8, mcf_dot_pair_u8, mcf_dot_pair_s16, mcf_dot_pair_s8_aligned, mcf_dot_pair_u8_aligned;

#endif
#endif
