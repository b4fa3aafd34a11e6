/* SPDX-License-Identifier: Apache-2.0 */
/* Portable C of the matrix product: the same bits as mcf_gemm_dsp.c on any machine. Panels and pairs hold plain int16
 * rows here, so that a host compiler vectorises the sum over K. Sums wrap modulo 2^32: with the zero point folded into
 * the bias only the total is proved to fit. */
#include "mcf_gemm.h"

static int32_t look_up(const mcf_linear_t *p, int32_t index) {
    const int32_t v = mcf_clamp(index, 0, (1 << p->table_bits) - 1), bits = p->table_bits - MCF_TABLE_INTERVALS;
    if (p->y_type == MCF_S8) return ((const int8_t *)p->table)[v];
    return mcf_between((const int16_t *)p->table + (v >> bits), v & ((1 << bits) - 1), bits);
}

void mcf_gemm_finish(const mcf_linear_t *p, const int32_t *t, int32_t n0, int32_t count, const void *res, void *y) {
    const int32_t *post = p->post + n0 / 4 * mcf_post_words(p) + 4 * p->chunks;
    for (int32_t c = 0; c < count; c++) {
        int32_t v = t[c] + p->offset;
        if (p->res_type != MCF_NONE) v += mcf_load(res, n0 + c, p->res_type) * post[4 + c];
        v >>= p->shift;
        v = p->table ? look_up(p, v) : mcf_clamp(v, p->clamp_min, p->clamp_max);
        mcf_store(y, n0 + c, p->y_type, v);
    }
}

#if !MCF_DSP

/* int4: byte k & 3 of word c / 2 holds two channels, the even one below; the value counts 16 times (mult is /16). */
static int32_t weight(const mcf_linear_t *p, int32_t group, int32_t c, int32_t k) {
    if (p->weight_bits == 8) return p->weights[group * 4 * p->w_stride + (k >> 2) * 16 + c * 4 + (k & 3)];
    const int32_t byte = p->weights[group * 2 * p->w_stride + (k >> 2) * 8 + (c >> 1) * 4 + (k & 3)];
    return c & 1 ? byte & ~15 : (int8_t)(uint8_t)((uint32_t)byte << 4);
}

void mcf_gemm_start(mcf_gemm_t *g) {
    int16_t *out = g->panel;
    for (int32_t group = g->group0; out && group < g->group0 + g->groups; group++)
        for (int32_t c = 0; c < 4; c++)
            for (int32_t k = g->k0; k < g->k0 + g->kn; k++) *out++ = (int16_t)weight(g->p, group, c, k);
}

void mcf_gemm_pair(const mcf_gemm_t *g, int32_t pair, const uint8_t *row0, const uint8_t *row1, int32_t count,
                   int32_t k) {
    const uint8_t *row[2] = {row0, row1};
    for (int32_t r = 0; r < 2; r++) {
        int16_t *a = (int16_t *)g->pairs + (2 * pair + r) * g->kn + k;
        for (int32_t i = 0; i < count; i++) a[i] = (int16_t)mcf_load(row[r], i, g->p->x_type);
        for (int32_t i = count; i & 3; i++) a[i] = 0;
    }
}

/* K positions k .. k+n-1 of a row times one channel of the group. */
static uint32_t dot(const mcf_gemm_t *g, int32_t row, int32_t group, int32_t c, int32_t k, int32_t n) {
    const int16_t *a = (const int16_t *)g->pairs + row * g->kn + k;
    uint32_t sum = 0;
    if (g->panel) {
        const int16_t *w = (const int16_t *)g->panel + ((group - g->group0) * 4 + c) * g->kn + k;
        for (int32_t i = 0; i < n; i++) sum += (uint32_t)(a[i] * w[i]);
    } else {
        for (int32_t i = 0; i < n; i++) sum += (uint32_t)(a[i] * weight(g->p, group, c, g->k0 + k + i));
    }
    return sum;
}

/* Sum over the chunks of K of hi(acc * mult) for one channel of one row. */
static int32_t scaled(const mcf_gemm_t *g, int32_t row, int32_t group, int32_t c) {
    const mcf_linear_t *p = g->p;
    const int32_t *post = p->post + group * mcf_post_words(p);
    int32_t t = 0;
    for (int32_t j = 0, k = 0; j < p->chunks; j++) {
        const int32_t n = p->chunk_kp ? p->chunk_kp[j] : g->kn;
        const uint32_t acc = (uint32_t)post[4 * j + c] + dot(g, row, group, c, k, n);
        t += mcf_hi((int32_t)(acc << p->acc_shift), post[4 * p->chunks + c]);
        k += n;
    }
    return t;
}

void mcf_gemm_dot(mcf_gemm_t *g, const mcf_gemm_rows_t *rows, int32_t count) {
    const mcf_linear_t *p = g->p;
    for (int32_t group = g->group0; group < g->group0 + g->groups; group++) {
        const int32_t n0 = group * 4, channels = p->n - n0 < 4 ? p->n - n0 : 4;
        const int32_t *bias = p->post + group * mcf_post_words(p);
        for (int32_t row = 0; row < count; row++) {
            uint8_t *y = rows->y + row * rows->y_stride;
            int32_t t[4], start[4];
            if (g->mode == MCF_GEMM_OUTPUTS) {
                for (int32_t c = 0; c < channels; c++) t[c] = scaled(g, row, group, c);
                mcf_gemm_finish(p, t, n0, channels, rows->res + row * rows->res_stride, y);
                continue;
            }
            __builtin_memcpy(start, g->mode == MCF_GEMM_SUMS ? (const uint8_t *)bias : y + 4 * n0,
                             4 * (size_t)channels);
            for (int32_t c = 0; c < channels; c++)
                t[c] = (int32_t)((uint32_t)start[c] + dot(g, row, group, c, 0, g->kn));
            __builtin_memcpy(y + 4 * n0, t, 4 * (size_t)channels);
        }
    }
}

#endif
