/* Inside linear.c and conv.c: pairs of rows against panels of channels. Two implementations with the same bits:
 * mcf_gemm.c (portable) and mcf_gemm_dsp.c (Cortex-M4/M7). */
#ifndef MCF_GEMM_H
#define MCF_GEMM_H

#include "mcf_linear.h"

/* Where the results of a pair of rows go; an odd last row is its own partner. All pointers are to channel 0.
 * acc: int32 sums instead of outputs; `resume` adds to what they hold, else they start from the bias. */
typedef struct {
    const void *res[2];
    void *y[2];
    int32_t *acc[2];
    int32_t resume;
} mcf_gemm_rows_t;

/* K positions k0 .. k0+kn-1 (multiples of 4) of 4*groups channels, from group0, to 16 bits: 8*kn bytes a group. */
void mcf_gemm_expand(const mcf_linear_t *p, int32_t group0, int32_t groups, int32_t k0, int32_t kn, void *panel);

/* `count` elements of two rows to the pair buffer at position k (multiple of 4); padded to a multiple of 4. */
void mcf_gemm_pair(const void *row0, const void *row1, int type, int32_t count, int32_t k, int32_t kn, void *pair);

/* Multiplies the pair with `groups` groups of 4 channels; panel NULL: straight from the packed weights. */
void mcf_gemm_dot(const mcf_linear_t *p, const void *panel, const void *pair, int32_t k0, int32_t kn, int32_t group0,
                  int32_t groups, const mcf_gemm_rows_t *rows);

/* Scaled sums t of `count` channels from channel n0 to outputs: offset, residual, shift, clamp or table. */
void mcf_gemm_finish(const mcf_linear_t *p, const int32_t *t, int32_t n0, int32_t count, const void *res, void *y);

#endif
