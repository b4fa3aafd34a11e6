/* SPDX-License-Identifier: Apache-2.0 */
/* q_layernorm of docs/adr/0002 in plain C, and the multiplier of a row. The Cortex-M code is in mcf_layernorm_dsp.c. */
#include "mcf_layernorm_dsp.h"

/* floor(sqrt(x)), 2^30 <= x < 2^32: Newton from a linear estimate within 3 %; from above it can only end one too high. */
static inline uint32_t isqrt(uint32_t x) {
    uint32_t root = (((x >> 16) + 0x8000) * 22489) >> 15;
    root = (root + x / root) >> 1;
    root = (root + x / root) >> 1;
    return root > x / root ? root - 1 : root;
}

/* product * 2^-shift, rounded down, in 0..2^31-1 */
static inline int32_t shifted(uint32_t product, int32_t shift) {
    if (shift >= 0) return shift < 32 ? (int32_t)(product >> shift) : 0;
    return shift < -31 || product > (0x7fffffffu >> -shift) ? 0x7fffffff : (int32_t)(product << -shift);
}

mcf_affine_t mcf_layernorm_affine(const mcf_layernorm_t *p, int32_t size, int32_t s1, int64_t s2) {
    if (!p->inv) s1 = 0; /* RMSNorm */
    const uint64_t d = (uint64_t)(s2 * size - (int64_t)s1 * s1 + p->eps_q);
    const uint32_t high = (uint32_t)(d >> 32), low = (uint32_t)d;
    int32_t e; /* even: d >> e in [2^30, 2^32) */
    uint32_t top;
    if (high) {
        e = (33 - __builtin_clz(high)) & ~1;
        top = e < 32 ? (high << (32 - e)) | (low >> e) : high >> (e - 32);
    } else {
        e = -(__builtin_clz(low) & ~1);
        top = low << -e;
    }
    const uint32_t r = 0x80000000u / isqrt(top);
    const int32_t m = shifted((uint32_t)p->gain * r, p->gain_exp + (e >> 1));
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
