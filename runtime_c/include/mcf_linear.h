/* SPDX-License-Identifier: Apache-2.0 */
/* Linear layers: y = requantise(x * W^T + bias) with fused table, clamp and residual (docs/adr/0002, q_linear). */
#ifndef MCF_LINEAR_H
#define MCF_LINEAR_H

#include "mcf_base.h"

enum { MCF_TABLE_INTERVALS = 12 }; /* bits of the interval in an index of table_bits; the rest is between */

/* A row of x is `segments` pieces of `segment` elements, `segment_stride` bytes apart (a patch: one piece per image
 * line); kp is the row length with every piece padded to a multiple of 4.
 * Scratch: `tile` rows (even) and `panel` channels (a multiple of 4) of kp positions, expanded to 16 bits, and 8 bytes.
 * panel 0: weights are expanded in the loop, slower and with a scratch of two rows. */
typedef struct {
    const int8_t *weights;    /* [ceil(n/4)][kp/4][4 channels][4], 4-byte aligned; weight_bits 4: see docs/kernels.md */
    const int32_t *post;      /* per 4 channels: chunks x 4 biases, 4 mult, with res: 4 rmult */
    const void *table;        /* int8 y: 2^table_bits entries; int16: 2^MCF_TABLE_INTERVALS + 1; or NULL */
    const uint16_t *chunk_kp; /* lengths of the K chunks where their sums are scaled apart, or NULL */
    int32_t n, kp, panel, tile;
    int32_t w_stride; /* positions from 4 channels to the next 4: kp, or more in a slice of a wider layer's weights */
    int32_t segments, segment, segment_stride;
    int32_t offset, clamp_min, clamp_max;
    uint8_t x_type, y_type, res_type; /* MCF_S8...; res_type MCF_NONE: no residual */
    uint8_t weight_bits, chunks, shift, acc_shift, table_bits;
} mcf_linear_t;

/* Rows of x to rows of y; strides in bytes. y may be res itself, never x. */
void mcf_linear(const mcf_linear_t *p, const void *x, int32_t x_stride, const void *res, int32_t res_stride, void *y,
                int32_t y_stride, int32_t rows, void *scratch);

/* int32_t sums[row][n] of segments segment0 .. segment0+count-1, found at x; segment0 == 0 starts from the bias, others add. */
void mcf_linear_partial(const mcf_linear_t *p, int32_t segment0, int32_t count, const void *x, int32_t x_stride,
                        void *sums, int32_t rows, void *scratch);
void mcf_linear_finish(const mcf_linear_t *p, const void *sums, const void *res, int32_t res_stride, void *y,
                       int32_t y_stride, int32_t rows);

#endif
