/* Portable C of the matrix product: the same bits as mcf_gemm_dsp.c on any machine. Panels and pairs hold plain int16
 * rows here, so that a host compiler vectorises the sum over K. Sums wrap modulo 2^32: with the zero point folded into
 * the bias only the total is proved to fit. */
#include "mcf_gemm.h"

void mcf_gemm_finish(const mcf_linear_t *p, const int32_t *t, int32_t n0, int32_t count, const void *res, void *y)
{
    const int32_t step = p->res_type == MCF_NONE ? 2 : 3;
    const int32_t *post = p->post + n0 / 4 * mcf_post_words(p) + 4 * p->chunks;
    for (int32_t c = 0; c < count; c++, post += step) {
        int32_t v = t[c] + post[1];
        if (step == 3)
            v += mcf_load(res, n0 + c, p->res_type) * post[2];
        v >>= p->shift;
        if (p->table)
            v = mcf_load(p->table, mcf_clamp(v, 0, (1 << p->table_bits) - 1), p->y_type);
        else
            v = mcf_clamp(v, p->clamp_min, p->clamp_max);
        mcf_store(y, n0 + c, p->y_type, v);
    }
}

#if !MCF_DSP

/* int4: byte k & 3 of word c / 2 holds two channels, the even one below; the value counts 16 times (mult is /16). */
static int32_t weight(const mcf_linear_t *p, int32_t group, int32_t c, int32_t k)
{
    if (p->weight_bits == 8)
        return p->weights[group * 4 * p->kp + (k >> 2) * 16 + c * 4 + (k & 3)];
    const int32_t byte = p->weights[group * 2 * p->kp + (k >> 2) * 8 + (c >> 1) * 4 + (k & 3)];
    return c & 1 ? byte & ~15 : (int8_t)(uint8_t)((uint32_t)byte << 4);
}

void mcf_gemm_expand(const mcf_gemm_t *g, void *panel)
{
    int16_t *out = panel;
    for (int32_t group = g->group0; group < g->group0 + g->groups; group++)
        for (int32_t c = 0; c < 4; c++)
            for (int32_t k = g->k0; k < g->k0 + g->kn; k++)
                *out++ = (int16_t)weight(g->p, group, c, k);
}

void mcf_gemm_pair(const void *row0, const void *row1, int type, int32_t count, int32_t k, int32_t kn, void *pair)
{
    int16_t *a = (int16_t *)pair + k;
    for (int32_t i = 0; i < count; i++) {
        a[i] = (int16_t)mcf_load(row0, i, type);
        a[kn + i] = (int16_t)mcf_load(row1, i, type);
    }
    for (int32_t i = count; i & 3; i++)
        a[i] = a[kn + i] = 0;
}

/* K positions k .. k+n-1 of the pair's `row` times one channel of the group. */
static uint32_t dot(const mcf_gemm_t *g, int32_t row, int32_t group, int32_t c, int32_t k, int32_t n)
{
    const int16_t *a = (const int16_t *)g->pair + row * g->kn + k;
    uint32_t sum = 0;
    if (g->panel) {
        const int16_t *w = (const int16_t *)g->panel + ((group - g->group0) * 4 + c) * g->kn + k;
        for (int32_t i = 0; i < n; i++)
            sum += (uint32_t)(a[i] * w[i]);
    } else {
        for (int32_t i = 0; i < n; i++)
            sum += (uint32_t)(a[i] * weight(g->p, group, c, g->k0 + k + i));
    }
    return sum;
}

/* Sum over the chunks of K of hi(acc * mult) for one channel of one row. */
static int32_t scaled(const mcf_gemm_t *g, int32_t row, int32_t group, int32_t c)
{
    const mcf_linear_t *p = g->p;
    const int32_t *post = p->post + group * mcf_post_words(p);
    const int32_t mult = post[4 * p->chunks + (p->res_type == MCF_NONE ? 2 : 3) * c];
    int32_t t = 0;
    for (int32_t j = 0, k = 0; j < p->chunks; j++) {
        const int32_t n = p->chunk_kp ? p->chunk_kp[j] : g->kn;
        const uint32_t acc = (uint32_t)post[4 * j + c] + dot(g, row, group, c, k, n);
        t += mcf_hi((int32_t)(acc << p->acc_shift), mult);
        k += n;
    }
    return t;
}

void mcf_gemm_dot(const mcf_gemm_t *g, const mcf_gemm_rows_t *rows)
{
    const mcf_linear_t *p = g->p;
    for (int32_t group = g->group0; group < g->group0 + g->groups; group++) {
        const int32_t n0 = group * 4, count = p->n - n0 < 4 ? p->n - n0 : 4;
        int32_t t[2][4];
        for (int32_t row = 0; row < 2; row++) {
            const int32_t *start = rows->resume ? rows->acc[row] + n0 : p->post + group * mcf_post_words(p);
            for (int32_t c = 0; c < count; c++)
                t[row][c] = rows->acc[0] ? (int32_t)((uint32_t)start[c] + dot(g, row, group, c, 0, g->kn))
                                         : scaled(g, row, group, c);
        }
        for (int32_t row = 0; row < 2; row++) {
            if (rows->acc[0])
                __builtin_memcpy(rows->acc[row] + n0, t[row], 4 * (size_t)count);
            else if (row == 0 || rows->y[1] != rows->y[0])
                mcf_gemm_finish(p, t[row], n0, count, rows->res[row], rows->y[row]);
        }
    }
}

#endif
