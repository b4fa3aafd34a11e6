/* The matrix product on Cortex-M4 and M7: what mcf_dot does not do itself. It works on whole groups of 4 channels with
 * one K chunk; a last group of fewer channels, split sums and rare epilogues take its sums through mcf_gemm_finish. */
#include "mcf_dot.h"
#include "mcf_gemm.h"

#if MCF_DSP

void mcf_gemm_expand(const mcf_gemm_t *g, void *panel)
{
    const mcf_linear_t *p = g->p;
    const int8_t *w = p->weights + (g->group0 * p->kp + g->k0) * 4;
    if (g->kn == p->kp) {
        mcf_dot_expand(w, panel, g->groups * g->kn / 4);
        return;
    }
    for (int32_t i = 0; i < g->groups; i++, w += 4 * p->kp)
        mcf_dot_expand(w, (uint8_t *)panel + 8 * g->kn * i, g->kn / 4);
}

static mcf_dot_pair_t *pair_of(const void *row0, const void *row1, int type)
{
    const int aligned = (((uintptr_t)row0 | (uintptr_t)row1) & 3) == 0;
    if (type == MCF_S8)
        return aligned ? mcf_dot_pair_s8_aligned : mcf_dot_pair_s8;
    if (type == MCF_U8)
        return aligned ? mcf_dot_pair_u8_aligned : mcf_dot_pair_u8;
    return mcf_dot_pair_s16;
}

void mcf_gemm_pair(const void *row0, const void *row1, int type, int32_t count, int32_t k, int32_t kn, void *pair)
{
    (void)kn;
    uint8_t *out = (uint8_t *)pair + 4 * k;
    const int32_t whole = count & ~3, size = mcf_size(type);
    if (whole)
        pair_of(row0, row1, type)(row0, row1, out, whole / 4);
    if (count == whole)
        return;
    uint32_t rest[2][2] = {{0}};
    __builtin_memcpy(rest[0], (const uint8_t *)row0 + whole * size, (size_t)((count - whole) * size));
    __builtin_memcpy(rest[1], (const uint8_t *)row1 + whole * size, (size_t)((count - whole) * size));
    pair_of(rest[0], rest[1], type)(rest[0], rest[1], out + 4 * whole, 1);
}

/* The part of mcf_dot that ends the layer's groups, or NULL where it has none. */
static mcf_dot_label_t *finish_of(const mcf_linear_t *p)
{
    static mcf_dot_label_t *const table[2][5] = {
        {mcf_dot_s8_table8, mcf_dot_s8_table9, mcf_dot_s8_table10, mcf_dot_s8_table11, mcf_dot_s8_table12},
        {mcf_dot_s8_table8, mcf_dot_s8_table9, mcf_dot_s8_table10_1, mcf_dot_s8_table11, mcf_dot_s8_table12_1},
    };
    if (p->chunks > 1 || p->acc_shift || p->y_type != MCF_S8)
        return NULL;
    if (p->table)
        return p->res_type == MCF_NONE ? table[p->shift == 1][p->table_bits - 8] : NULL;
    if (p->clamp_min != -128 || p->clamp_max != 127)
        return NULL;
    if (p->res_type == MCF_S8)
        return mcf_dot_s8_res8;
    if (p->res_type == MCF_S16)
        return mcf_dot_s8_res16;
    return p->shift == 1 ? mcf_dot_s8_1 : mcf_dot_s8;
}

/* Frame for `groups` groups from `group` (counted from the panel's first) over K positions k .. k+kn-1 of g. */
static mcf_dot_t frame(const mcf_gemm_t *g, int32_t group, int32_t groups, int32_t k, int32_t kn)
{
    const uint8_t *pair = (const uint8_t *)g->pair + 4 * k;
    mcf_dot_t d = {.pair = pair, .pair_entry = pair, .pair_end = pair + 4 * kn};
    const int32_t steps = kn / 4;
    if (g->panel) {
        const int32_t skip = -steps & (MCF_DOT_UNROLL - 1);
        d.w = (const uint8_t *)g->panel + 8 * (group * g->kn + k);
        d.w_end = (const uint8_t *)d.w + 8 * groups * kn;
        d.entry = (uint32_t)mcf_dot_loop + (uint32_t)(skip * MCF_DOT_STEP_BYTES);
        d.pair_entry = pair - 16 * skip;
        d.w_skip = (uint32_t)(32 * skip);
    } else {
        const int32_t skip = -steps & (MCF_DOT_PACKED_UNROLL - 1);
        d.w = g->p->weights + ((g->group0 + group) * g->p->kp + g->k0 + k) * 4;
        d.w_end = (const uint8_t *)d.w + 4 * groups * kn;
        d.entry = (uint32_t)mcf_dot_packed_loop + (uint32_t)(skip * MCF_DOT_PACKED_STEP_BYTES);
    }
    return d;
}

static const int32_t zeros[8];

/* Sums of one group over one range of K, to rows of int32. */
static void sums(const mcf_gemm_t *g, int32_t group, int32_t k, int32_t kn, const int32_t *bias, int32_t out[2][4])
{
    mcf_dot_t d = frame(g, group, 1, k, kn);
    d.finish = mcf_dot_sums;
    d.post = bias + 4;
    d.y0 = out[0];
    d.y1 = out[1];
    mcf_dot(d);
}

/* Any group by itself: fewer than 4 channels, split K, or an epilogue that mcf_dot has not. */
static void one_group(const mcf_gemm_t *g, int32_t group, const mcf_gemm_rows_t *rows)
{
    const mcf_linear_t *p = g->p;
    const int32_t n0 = (g->group0 + group) * 4, count = p->n - n0 < 4 ? p->n - n0 : 4;
    const int32_t *post = p->post + (g->group0 + group) * mcf_post_words(p), *mult = post + 4 * p->chunks;
    int32_t acc[2][4], t[2][4] = {{0}};
    if (rows->acc[0]) {
        sums(g, group, 0, g->kn, rows->resume ? zeros : post, acc);
        for (int32_t i = 0; i < 8 && rows->resume; i++)
            if ((i & 3) < count)
                acc[i >> 2][i & 3] += rows->acc[i >> 2][n0 + (i & 3)];
        for (int32_t row = 0; row < 2; row++)
            __builtin_memcpy(rows->acc[row] + n0, acc[row], 4 * (size_t)count);
        return;
    }
    for (int32_t j = 0, k = 0; j < p->chunks; j++) {
        const int32_t kn = p->chunk_kp ? p->chunk_kp[j] : g->kn;
        sums(g, group, k, kn, post + 4 * j, acc);
        for (int32_t i = 0; i < 8; i++)
            t[i >> 2][i & 3] += mcf_hi((int32_t)((uint32_t)acc[i >> 2][i & 3] << p->acc_shift),
                                       mult[(i & 3) * (p->res_type == MCF_NONE ? 2 : 3)]);
        k += kn;
    }
    mcf_gemm_finish(p, t[0], n0, count, rows->res[0], rows->y[0]);
    if (rows->y[1] != rows->y[0])
        mcf_gemm_finish(p, t[1], n0, count, rows->res[1], rows->y[1]);
}

void mcf_gemm_dot(const mcf_gemm_t *g, const mcf_gemm_rows_t *rows)
{
    const mcf_linear_t *p = g->p;
    mcf_dot_label_t *finish = rows->acc[0] ? rows->resume ? mcf_dot_add_sums : mcf_dot_sums : finish_of(p);
    const int32_t n0 = 4 * g->group0, contiguous = g->panel || g->kn == p->kp;
    int32_t whole = finish && contiguous ? (p->n - n0) / 4 : 0;
    whole = whole < g->groups ? whole : g->groups;
    if (whole) {
        mcf_dot_t d = frame(g, 0, whole, 0, g->kn);
        d.finish = finish;
        d.post = rows->resume ? zeros + 4 : p->post + g->group0 * mcf_post_words(p) + 4;
        if (rows->acc[0]) {
            d.shift = rows->resume ? 0 : 4 * (uint32_t)mcf_post_words(p);
            d.y0 = rows->acc[0] + n0;
            d.y1 = rows->acc[1] + n0;
        } else {
            const int32_t size = mcf_size(p->res_type) * n0;
            d.shift = p->shift;
            d.table = p->table;
            d.res0 = (const uint8_t *)rows->res[0] + size;
            d.res1 = (const uint8_t *)rows->res[1] + size;
            d.y0 = (uint8_t *)rows->y[0] + mcf_size(p->y_type) * n0;
            d.y1 = (uint8_t *)rows->y[1] + mcf_size(p->y_type) * n0;
        }
        mcf_dot(d);
    }
    for (int32_t group = whole; group < g->groups; group++)
        one_group(g, group, rows);
}

#endif
