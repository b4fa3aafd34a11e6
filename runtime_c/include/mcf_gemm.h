/* SPDX-License-Identifier: Apache-2.0 */
/* Inside linear and convolution: pairs of rows against panels of channels. Two implementations with the same bits:
 * mcf_gemm.c (portable) and mcf_gemm_dsp.c with mcf_dot*.c (Cortex-M4/M7). */
#ifndef MCF_GEMM_H
#define MCF_GEMM_H

#include "mcf_dot.h"
#include "mcf_linear.h"

enum { MCF_GEMM_OUTPUTS, MCF_GEMM_SUMS, MCF_GEMM_ADD_SUMS }; /* sums: int32, from the bias or to what is there */

/* Channels 4*group0 .. 4*(group0+groups)-1 over the K positions k0 .. k0+kn-1 (multiples of 4). */
typedef struct {
    const mcf_linear_t *p;
    void *panel; /* 8*kn bytes a group; NULL: weights are expanded in the loop */
    void *pairs; /* 4*kn bytes for each pair of rows */
    int32_t *t;  /* with split K and a panel: 2 x panel sums */
    int32_t k0, kn, group0, groups, mode;
#if MCF_DSP
    mcf_dot_t dot;
    int32_t whole, y_at, res_at; /* groups that mcf_dot does; bytes to their first channel */
#endif
} mcf_gemm_t;

/* Where rows go: row 0, channel 0, and bytes from row to row. Without residual, res is any pointer with stride 0. For
 * sums y points to int32. */
typedef struct {
    const uint8_t *res;
    uint8_t *y;
    int32_t res_stride, y_stride;
} mcf_gemm_rows_t;

static inline int32_t mcf_post_words(const mcf_linear_t *p) /* per group of 4 channels */
{
    return 4 * p->chunks + (p->res_type == MCF_NONE ? 4 : 8);
}

#if MCF_DSP
/* How a layer's groups end; finish NULL where mcf_dot cannot. */
void mcf_gemm_epilogue(const mcf_linear_t *p, mcf_dot_t *d);
/* Rows of a pair buffer and the entry for kn positions, expanded weights or packed ones. */
void mcf_gemm_range(mcf_dot_t *d, const void *pair, int32_t kn, int32_t expanded, int32_t weight_bits);
/* Split K with a panel. */
void mcf_gemm_split(const mcf_gemm_t *g, const mcf_gemm_rows_t *rows, int32_t count);
#endif

/* Expands the panel. */
void mcf_gemm_start(mcf_gemm_t *g);

/* `count` elements of two rows, padded to a multiple of 4, to position k (multiple of 4) of a pair. */
void mcf_gemm_pair(const mcf_gemm_t *g, int32_t pair, const uint8_t *row0, const uint8_t *row1, int32_t count,
                   int32_t k);

/* The first `count` rows of the pairs; an odd last row is its own partner. */
void mcf_gemm_dot(mcf_gemm_t *g, const mcf_gemm_rows_t *rows, int32_t count);

/* Scaled sums t of `count` channels from channel n0 to outputs: offset, residual, shift, clamp or table. */
void mcf_gemm_finish(const mcf_linear_t *p, const int32_t *t, int32_t n0, int32_t count, const void *res, void *y);

#endif
