/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of LayerNorm share: the multiplier of a row, and the Cortex-M loops (mcf_layernorm_asm.c). */
#ifndef MCF_LAYERNORM_DSP_H
#define MCF_LAYERNORM_DSP_H

#include "mcf_layernorm.h"

/* u = (m * v >> 16) + o */
typedef struct {
    int32_t m, o;
} mcf_affine_t;

/* From the sum and the sum of squares of `size` channels. */
mcf_affine_t mcf_layernorm_affine(const mcf_layernorm_t *p, int32_t size, int32_t s1, int64_t s2);

#if MCF_DSP
/* `words` times four int8 channels; x and y aligned to 4 bytes or not. */
void mcf_moments(const void *x, int32_t words, int32_t sums[2]); /* of x, in 32 bits */
void mcf_moments_unaligned(const void *x, int32_t words, int32_t sums[2]);
void mcf_normalise(const void *x, void *y, int32_t words, const mcf_affine_t *f); /* v = x * 256, shift 16 */
void mcf_normalise_unaligned(const void *x, void *y, int32_t words, const mcf_affine_t *f);

/* With scales per channel, at any alignment, by way of v in the order 0, 2, 1, 3. */
typedef struct {
    int32_t s1;
    int64_t s2;
} mcf_moments_t;
void mcf_scaled_moments(const void *x, const int16_t *pre, int16_t *v, int32_t words, mcf_moments_t *moments);
void mcf_normalise_scaled(const int16_t *v, void *y, int32_t words, const mcf_affine_t *f); /* shift 16 */
void mcf_normalise_shifted(const int16_t *v, void *y, int32_t words, const mcf_affine_t *f, int32_t shift);
#endif

#endif
