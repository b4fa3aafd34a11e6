/* SPDX-License-Identifier: Apache-2.0 */
/* q_layernorm of docs/adr/0002 in plain C, and the multiplier of a row. The Cortex-M code is in mcf_layernorm_dsp.c. */
#include "mcf_layernorm_dsp.h"
#include "mcf_root.h"

mcf_affine_t mcf_layernorm_affine(const mcf_layernorm_t *p, int32_t size, int32_t s1, int64_t s2) {
    if (!p->inv) s1 = 0; /* RMSNorm */
    const uint64_t d = (uint64_t)(s2 * size - (int64_t)s1 * s1 + p->eps_q);
    int32_t e;
    const uint32_t r = 0x80000000u / mcf_root(d, &e);
    const int32_t m = mcf_shifted((uint32_t)p->gain * r, p->gain_exp + (e >> 1));
    const int32_t mean = (int32_t)(((int64_t)s1 * p->inv) >> p->inv_shift);
    return (mcf_affine_t){m, p->base - mcf_hi(m, mean)};
}

#if !MCF_DSP

/* Channel c of row x less its zero point, times its scale: fits int16. */
static inline int32_t scaled(const mcf_layernorm_t *p, const void *x, int32_t c) {
    static const uint8_t order[4] = {0, 2, 1, 3};
    const int32_t v = mcf_load(x, c, p->x_type);
    if (!p->pre) return v * p->a;
    const int16_t *pre = p->pre + (c >> 2) * 8 + order[c & 3];
    return (v + pre[0]) * pre[4];
}

static void group(const mcf_layernorm_t *p, const void *x, void *y, int32_t first, int32_t size) {
    int32_t s1 = 0;
    int64_t s2 = 0;
    for (int32_t c = first; c < first + size; c++) {
        const int32_t v = scaled(p, x, c);
        s1 += v;
        s2 += (int64_t)v * v;
    }
    const mcf_affine_t f = mcf_layernorm_affine(p, size, s1, s2);
    for (int32_t c = first; c < first + size; c++) {
        int32_t u = (int32_t)(((int64_t)f.m * scaled(p, x, c)) >> 16) + f.o;
        if (p->g) u = (int32_t)(((int64_t)u * p->g[c]) >> 16) + p->b[c];
        mcf_store(y, c, p->y_type, mcf_saturate(u >> p->shift, p->y_type));
    }
}

void mcf_layernorm(const mcf_layernorm_t *p, const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t rows,
                   void *scratch) {
    const int32_t size = p->channels / p->groups;
    (void)scratch;
    for (int32_t i = 0; i < rows; i++) {
        for (int32_t c = 0; c < p->channels; c += size) group(p, x, y, c, size);
        x = (const uint8_t *)x + x_stride;
        y = (uint8_t *)y + y_stride;
    }
}

#endif
