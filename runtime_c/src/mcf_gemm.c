/* Portable C of the matrix product: the same bits as mcf_gemm_dsp.c on any machine. Panels and pairs hold plain int16
 * rows here, so that a host compiler vectorises the sum over K. Sums wrap modulo 2^32: with the zero point folded into
 * the bias only the total is proved to fit. */
#include "mcf_gemm.h"

static const int32_t *post_of(const mcf_linear_t *p, int32_t group)
{
    return p->post + group * (4 * p->chunks + (p->res_type == MCF_NONE ? 8 : 12));
}

void mcf_gemm_finish(const mcf_linear_t *p, const int32_t *t, int32_t n0, int32_t count, const void *res, void *y)
{
    const int32_t step = p->res_type == MCF_NONE ? 2 : 3;
    const int32_t *post = post_of(p, n0 / 4) + 4 * p->chunks;
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

#if 1

/* int4: byte k & 3 of word c / 2 holds two channels, the even one below; the value counts 16 times (mult is /16). */
static int32_t weight(const mcf_linear_t *p, int32_t group, int32_t c, int32_t k)
{
    if (p->weight_bits == 8)
        return p->weights[group * 4 * p->kp + (k >> 2) * 16 + c * 4 + (k & 3)];
    const int32_t byte = p->weights[group * 2 * p->kp + (k >> 2) * 8 + (c >> 1) * 4 + (k & 3)];
    return c & 1 ? byte & ~15 : (int8_t)(uint8_t)((uint32_t)byte << 4);
}

void mcf_gemm_expand(const mcf_linear_t *p, int32_t group0, int32_t groups, int32_t k0, int32_t kn, void *panel)
{
    int16_t *out = panel;
    for (int32_t group = group0; group < group0 + groups; group++)
        for (int32_t c = 0; c < 4; c++)
            for (int32_t k = k0; k < k0 + kn; k++)
                *out++ = (int16_t)weight(p, group, c, k);
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

static uint32_t dot(const int16_t *a, const int16_t *w, int32_t kn)
{
    uint32_t sum = 0;
    for (int32_t k = 0; k < kn; k++)
        sum += (uint32_t)(a[k] * w[k]);
    return sum;
}

static uint32_t dot_packed(const mcf_linear_t *p, const int16_t *a, int32_t group, int32_t c, int32_t k0, int32_t kn)
{
    uint32_t sum = 0;
    for (int32_t k = 0; k < kn; k++)
        sum += (uint32_t)(a[k] * weight(p, group, c, k0 + k));
    return sum;
}

/* Sum over K positions k .. k+n-1 (counted from k0) of one row and one channel. */
static uint32_t piece(const mcf_linear_t *p, const int16_t *panel, const int16_t *a, int32_t k0, int32_t kn, int32_t k,
                      int32_t n, int32_t group, int32_t group0, int32_t c)
{
    if (panel == NULL)
        return dot_packed(p, a + k, group, c, k0 + k, n);
    return dot(a + k, panel + ((group - group0) * 4 + c) * kn + k, n);
}

void mcf_gemm_dot(const mcf_linear_t *p, const void *panel, const void *pair, int32_t k0, int32_t kn, int32_t group0,
                  int32_t groups, const mcf_gemm_rows_t *rows)
{
    for (int32_t group = group0; group < group0 + groups; group++) {
        const int32_t *post = post_of(p, group);
        const int32_t n0 = group * 4, count = p->n - n0 < 4 ? p->n - n0 : 4;
        const int32_t step = p->res_type == MCF_NONE ? 2 : 3;
        int32_t t[2][4] = {{0}};
        for (int32_t row = 0; row < 2; row++) {
            const int16_t *a = (const int16_t *)pair + row * kn;
            for (int32_t c = 0; c < count; c++) {
                if (rows->acc[row]) {
                    const uint32_t start = (uint32_t)(rows->resume ? rows->acc[row][n0 + c] : post[c]);
                    t[row][c] = (int32_t)(start + piece(p, panel, a, k0, kn, 0, kn, group, group0, c));
                    continue;
                }
                for (int32_t j = 0, k = 0; j < p->chunks; k += p->chunk_kp ? p->chunk_kp[j] : kn, j++) {
                    const int32_t length = p->chunk_kp ? p->chunk_kp[j] : kn;
                    const uint32_t acc = (uint32_t)post[4 * j + c] + piece(p, panel, a, k0, kn, k, length, group, group0, c);
                    t[row][c] += mcf_hi((int32_t)(acc << p->acc_shift), post[4 * p->chunks + step * c]);
                }
            }
        }
        for (int32_t row = 0; row < 2; row++) {
            if (rows->acc[row])
                __builtin_memcpy(rows->acc[row] + n0, t[row], 4 * (size_t)count);
            else if (row == 0 || rows->y[1] != rows->y[0])
                mcf_gemm_finish(p, t[row], n0, count, rows->res[row], rows->y[row]);
        }
    }
}

#endif
