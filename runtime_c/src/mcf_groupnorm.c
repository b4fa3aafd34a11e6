/* SPDX-License-Identifier: Apache-2.0 */
/* q_groupstats, q_rms and q_groupnorm of docs/adr/0002. */
#include "mcf_groupnorm.h"
#include "mcf_root.h"

#define ROW static inline __attribute__((always_inline)) void

/* (a * b >> 16) + c of b that fits int16 */
static inline int32_t scaled(int32_t a, int32_t b, int32_t c) {
#if MCF_DSP
    return __smlawb(a, b, c);
#else
    return (int32_t)(((int64_t)a * b) >> 16) + c;
#endif
}

/* Channel c less its zero point, times its scale: fits int16. */
static inline int32_t value(const int16_t *pre, int32_t a, const void *x, int32_t c, int type) {
    const int32_t v = mcf_load(x, c, type);
    return pre ? (v + pre[2 * c]) * pre[2 * c + 1] : v * a;
}

ROW add_row(const mcf_groupstats_t *p, const int16_t *pre, const void *x, mcf_group_sums_t *sums, int type) {
    const int32_t a = p->a, channels = p->channels, size = channels / p->groups;
    for (int32_t c = 0; c < channels; sums++) {
        int32_t s1 = 0;
        int64_t s2 = 0;
        for (const int32_t end = c + size; c < end; c++) {
            const int32_t v = value(pre, a, x, c, type);
            s1 += v;
            s2 += (int64_t)v * v;
        }
        sums->s1 += s1;
        sums->s2 += s2;
    }
}

void mcf_groupstats_partial(const mcf_groupstats_t *p, const void *x, int32_t x_stride, int32_t row0, int32_t rows,
                            void *sums) {
    (void)row0;
    for (int32_t i = 0; i < rows; i++) {
        if (p->x_type != MCF_S8)
            add_row(p, p->pre, x, sums, p->x_type);
        else if (p->pre)
            add_row(p, p->pre, x, sums, MCF_S8);
        else
            add_row(p, NULL, x, sums, MCF_S8);
        x = (const uint8_t *)x + x_stride;
    }
}

/* N^2 times the variance and epsilon, less 2*halve bits. */
static uint64_t deviation(const mcf_groupstats_t *p, int64_t s1, int64_t s2) {
    const int64_t d = (s2 >> (2 * p->halve)) * p->count - s1 * s1;
    return (uint64_t)(d < 0 ? 0 : d) + (uint64_t)p->eps_q;
}

/* The sum less `halve` bits; 0 where the mean is not subtracted. */
static inline int64_t sum_of(const mcf_groupstats_t *p, const mcf_group_sums_t *sums) {
    return p->inv ? sums->s1 >> p->halve : 0;
}

void mcf_groupstats_finish(const mcf_groupstats_t *p, const void *sums, void *y) {
    const mcf_group_sums_t *of = sums;
    for (int32_t i = 0; i < p->groups; i++, of++) {
        const int64_t s1 = sum_of(p, of);
        int32_t e, both[2];
        const uint32_t r = 0x80000000u / mcf_root(deviation(p, s1, of->s2), &e);
        both[0] = mcf_shifted((uint32_t)p->gain * r, p->gain_exp + (e >> 1));
        both[1] = -mcf_hi(both[0], (int32_t)((s1 * p->inv) >> (p->inv_shift - p->halve)));
        __builtin_memcpy((uint8_t *)y + 8 * i, both, 8);
    }
}

void mcf_rms_finish(const mcf_groupstats_t *p, const void *sums, void *y) {
    const mcf_group_sums_t *of = sums;
    for (int32_t i = 0; i < p->groups; i++, of++) {
        int32_t e;
        const uint32_t root = mcf_root(deviation(p, sum_of(p, of), of->s2), &e);
        const int32_t t = mcf_rounded(root * (uint32_t)p->gain, p->gain_exp - (e >> 1));
        mcf_store(y, i, p->y_type, mcf_saturate(t + p->zp, p->y_type));
    }
}

ROW norm_row(const mcf_groupnorm_t *p, const int16_t *pre, const void *x, const uint8_t *stats, void *y, int tx,
             int ty) {
    const int32_t a = p->a, channels = p->channels, size = channels / p->groups, shift = p->shift;
    const int32_t *post = p->post;
    for (int32_t c = 0; c < channels; stats += 8) {
        int32_t both[2];
        __builtin_memcpy(both, stats, 8);
        for (const int32_t end = c + size; c < end; c++, post += 2) {
            const int32_t u = scaled(both[0], value(pre, a, x, c, tx), both[1]);
            const int32_t t = scaled(u, post[0], post[1]);
            mcf_store(y, c, ty, mcf_saturate(t >> shift, ty));
        }
    }
}

void mcf_groupnorm(const mcf_groupnorm_t *p, const void *x, int32_t x_stride, const void *stats, int32_t stats_stride,
                   void *y, int32_t y_stride, int32_t rows) {
    const int tx = p->x_type, ty = p->y_type;
    for (int32_t i = 0; i < rows; i++) {
        if (tx == MCF_S8 && ty == MCF_S8 && p->pre)
            norm_row(p, p->pre, x, stats, y, MCF_S8, MCF_S8);
        else if (tx == MCF_S8 && ty == MCF_S8)
            norm_row(p, NULL, x, stats, y, MCF_S8, MCF_S8);
        else if (tx == MCF_S16 && ty == MCF_S16 && !p->pre)
            norm_row(p, NULL, x, stats, y, MCF_S16, MCF_S16);
        else
            norm_row(p, p->pre, x, stats, y, tx, ty);
        x = (const uint8_t *)x + x_stride;
        stats = (const uint8_t *)stats + stats_stride;
        y = (uint8_t *)y + y_stride;
    }
}
