/* SPDX-License-Identifier: Apache-2.0 */
/* LayerNorm over groups of channels: integers in, integers out, one multiplier per row (docs/adr/0002, q_layernorm). */
#ifndef MCF_LAYERNORM_H
#define MCF_LAYERNORM_H

#include "mcf_base.h"

/* Without `pre` every channel has the scale `a`, a power of two, and zero point 0. Scratch: 2*channels rounded up to a
 * multiple of 8, or none (mcuformer/kernels/layernorm.py). */
typedef struct {
    const int16_t *pre; /* per 4 channels: -z of 0, 2, 1, 3, then a of 0, 2, 1, 3; or NULL */
    const int16_t *g;   /* [channels] or NULL: y = ((u*g >> 16) + b) >> shift */
    const int32_t *b;   /* [channels], with g */
    int64_t eps_q;      /* added to G^2 times the variance */
    int32_t channels, groups;
    int32_t inv;  /* floor(2^(16 + inv_shift) / (channels / groups)) */
    int32_t gain; /* 15 bits */
    int32_t base; /* zero point and half a unit in 2^-shift; 0 with g */
    int16_t gain_exp, a;
    uint8_t inv_shift, shift; /* shift: frac, or frac2 with g */
    uint8_t x_type, y_type;
} mcf_layernorm_t;

/* y may be x itself when the types are equal. */
void mcf_layernorm(const mcf_layernorm_t *p, const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t rows,
                   void *scratch);

#endif
