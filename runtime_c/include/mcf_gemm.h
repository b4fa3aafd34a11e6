/* Inside linear and convolution: pairs of rows against panels of channels. Two implementations with the same bits:
 * mcf_gemm.c (portable) and mcf_gemm_dsp.c with mcf_dot.c (Cortex-M4/M7). */
#ifndef MCF_GEMM_H
#define MCF_GEMM_H

#include "mcf_linear.h"

/* A pair of rows against 4*groups channels from 4*group0, over the K positions k0 .. k0+kn-1 (multiples of 4). */
typedef struct {
    const mcf_linear_t *p;
    const void *panel; /* from mcf_gemm_expand; NULL: straight from the packed weights */
    const void *pair;  /* from mcf_gemm_pair */
    int32_t k0, kn, group0, groups;
} mcf_gemm_t;

/* Where the results of a pair of rows go; an odd last row is its own partner. All pointers are to channel 0.
 * acc: int32 sums instead of outputs; `resume` adds to what they hold, else they start from the bias. */
typedef struct {
    const void *res[2];
    void *y[2];
    int32_t *acc[2];
    int32_t resume;
} mcf_gemm_rows_t;

static inline int32_t mcf_post_words(const mcf_linear_t *p) /* per group of 4 channels */
{
    return 4 * p->chunks + (p->res_type == MCF_NONE ? 8 : 12);
}

/* Fills the panel of g: 8*kn bytes a group. */
void mcf_gemm_expand(const mcf_gemm_t *g, void *panel);

/* `count` elements of two rows, padded to a multiple of 4, to position k (multiple of 4) of a pair buffer for kn. */
void mcf_gemm_pair(const void *row0, const void *row1, int type, int32_t count, int32_t k, int32_t kn, void *pair);

void mcf_gemm_dot(const mcf_gemm_t *g, const mcf_gemm_rows_t *rows);

/* Scaled sums t of `count` channels from channel n0 to outputs: offset, residual, shift, clamp or table. */
void mcf_gemm_finish(const mcf_linear_t *p, const int32_t *t, int32_t n0, int32_t count, const void *res, void *y);

#endif
