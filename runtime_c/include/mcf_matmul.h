/* SPDX-License-Identifier: Apache-2.0 */
/* Batched products of two activations (docs/adr/0002: q_matmul). */
#ifndef MCF_MATMUL_H
#define MCF_MATMUL_H

#include "mcf_base.h"

enum {
    MCF_MATMUL_VECTORS = 16, /* vectors of a that are expanded at a time, */
    MCF_MATMUL_COLUMNS = 4,  /* and of b, */
    MCF_MATMUL_SPAN = 256    /* up to so many numbers of each */
};

/* y[g,h,m,n] = requantise(sum over k of a[g,h,m,k] * b[g,h,n,k]), by rows of y.
 * Scratch: int16, k of them (even, MCF_MATMUL_SPAN at most) for each of MCF_MATMUL_COLUMNS and of the vectors of a, as
 * many as there are in a batch of these rows (even, MCF_MATMUL_VECTORS at most). */
typedef struct {
    const int32_t *steps; /* rows and columns to the next: a along g, h, m, k; b along g, h, n, k; y along g, h, m, n */
    int32_t g, h, m, n, k;
    int32_t mult, offset, acc_shift, shift;
    int16_t a_zp, b_zp;
    uint8_t a_type, b_type, y_type, a_shift, b_shift;
    uint8_t row_wise; /* a points at the row of a that row0 of y needs, else at its first one */
} mcf_matmul_t;

/* Rows row0 .. row0+rows-1 of y, the first of which y points at. b points at its first row. */
void mcf_matmul(const mcf_matmul_t *p, const void *a, int32_t a_stride, const void *b, int32_t b_stride, void *y,
                int32_t y_stride, int32_t row0, int32_t rows, void *scratch);

#endif
