/* The matrix product on Cortex-M4 and M7: what mcf_dot does not do itself. It works on whole groups of 4 channels with
 * one K chunk; a last group of fewer channels, split sums and rare epilogues take its sums through mcf_gemm_finish. */
#include "mcf_gemm.h"

#if MCF_DSP

void mcf_gemm_pair(const mcf_gemm_t *g, const uint8_t *row0, const uint8_t *row1, int32_t count, int32_t k)
{
    static mcf_dot_pair_t *const pairs[2][3] = {{mcf_dot_pair_s8, mcf_dot_pair_u8, mcf_dot_pair_s16},
                                                {mcf_dot_pair_s8_aligned, mcf_dot_pair_u8_aligned, mcf_dot_pair_s16}};
    const int type = g->p->x_type;
    const int32_t whole = count & ~3, size = mcf_size(type);
    uint8_t *out = (uint8_t *)g->pair + 4 * k;
    if (whole)
        pairs[(((uintptr_t)row0 | (uintptr_t)row1) & 3) == 0][type](row0, row1, out, whole / 4);
    if (count == whole)
        return;
    uint32_t rest[2][2] = {{0}};
    __builtin_memcpy(rest[0], row0 + whole * size, (size_t)((count - whole) * size));
    __builtin_memcpy(rest[1], row1 + whole * size, (size_t)((count - whole) * size));
    pairs[1][type](rest[0], rest[1], out + 4 * whole, 1);
}

/* The finish of the layer's whole groups, or NULL where mcf_dot has none. */
static mcf_dot_label_t *finish_of(const mcf_linear_t *p)
{
    static mcf_dot_label_t *const tables[2][5] = {
        {mcf_dot_s8_table8, mcf_dot_s8_table9, mcf_dot_s8_table10, mcf_dot_s8_table11, mcf_dot_s8_table12},
        {mcf_dot_s8_table8, mcf_dot_s8_table9, mcf_dot_s8_table10_fixed, mcf_dot_s8_table11_fixed,
         mcf_dot_s8_table12_fixed},
    };
    const int wide = p->y_type == MCF_S16, type = p->res_type;
    const int clamps = !p->table && (p->clamp_min != (wide ? -32768 : -128) || p->clamp_max != (wide ? 32767 : 127));
    if (p->chunks > 1 || (p->table && type != MCF_NONE) || type == MCF_U8)
        return NULL;
    if (wide) {
        if (p->table)
            return p->table_bits == 12 ? mcf_dot_s16_table12 : NULL;
        if (type == MCF_NONE)
            return clamps ? mcf_dot_s16_clamp : mcf_dot_s16;
        return type == MCF_S16 && !clamps ? mcf_dot_s16_res16 : NULL;
    }
    if (clamps || (p->acc_shift && type == MCF_NONE))
        return NULL;
    if (p->table)
        return tables[p->shift == MCF_DOT_SHIFT][p->table_bits - 8];
    if (type == MCF_S16)
        return p->acc_shift ? mcf_dot_s8_res16_up : mcf_dot_s8_res16;
    if (type == MCF_NONE)
        return p->shift == MCF_DOT_SHIFT ? mcf_dot_s8_fixed : mcf_dot_s8;
    if (p->acc_shift)
        return mcf_dot_s8_res8_up;
    return p->shift == MCF_DOT_RES_SHIFT ? mcf_dot_s8_res8_fixed : mcf_dot_s8_res8;
}

/* Weights, pair and entry for `groups` groups from `group` (counted from group0) over K positions k .. k+kn-1 of g. */
static void set_range(const mcf_gemm_t *g, mcf_dot_t *d, int32_t group, int32_t groups, int32_t k, int32_t kn)
{
    const uint8_t *pair = (const uint8_t *)g->pair + 4 * k;
    const int32_t bits = g->p->weight_bits, unroll = g->panel ? MCF_DOT_UNROLL : MCF_DOT_PACKED_UNROLL;
    const int32_t skip = (unroll - kn / 4 % unroll) % unroll;
    int32_t group_bytes = 8 * kn;
    d->pair = pair;
    d->pair_end = pair + 4 * kn;
    d->pair_entry = pair;
    d->w_skip = 0;
    if (g->panel) {
        d->w = (const uint8_t *)g->panel + 8 * (group * g->kn + k);
        d->entry = (uint32_t)mcf_dot_loop + (uint32_t)(skip * MCF_DOT_STEP_BYTES);
        d->pair_entry = pair - 16 * skip;
        d->w_skip = (uint32_t)(32 * skip);
    } else {
        d->w = g->p->weights + ((g->group0 + group) * g->p->kp + g->k0 + k) * bits / 2;
        d->entry = bits == 8 ? (uint32_t)mcf_dot_packed8_loop + (uint32_t)(skip * MCF_DOT_PACKED8_STEP_BYTES)
                             : (uint32_t)mcf_dot_packed4_loop + (uint32_t)(skip * MCF_DOT_PACKED4_STEP_BYTES);
        group_bytes = kn * bits / 2;
    }
    d->w_end = (const uint8_t *)d->w + groups * group_bytes;
}

static const int32_t zeros[4];

static void expand(const mcf_gemm_t *g)
{
    const mcf_linear_t *p = g->p;
    const int32_t bits = p->weight_bits, step = p->kp * bits / 2;
    const int8_t *w = p->weights + g->group0 * step + g->k0 * bits / 2;
    void (*const widen)(const void *, void *, int32_t) = bits == 8 ? mcf_dot_expand8 : mcf_dot_expand4;
    if (g->kn == p->kp)
        widen(w, g->panel, g->groups * g->kn / 4);
    for (int32_t i = 0; i < g->groups && g->kn != p->kp; i++)
        widen(w + i * step, (uint8_t *)g->panel + 8 * g->kn * i, g->kn / 4);
}

void mcf_gemm_start(mcf_gemm_t *g)
{
    const mcf_linear_t *p = g->p;
    mcf_dot_t *d = &g->dot;
    const int32_t n0 = 4 * g->group0, contiguous = g->panel || g->kn == p->kp, whole = (p->n - n0) / 4;
    if (g->panel)
        expand(g);
    d->post = p->post + g->group0 * mcf_post_words(p);
    d->shift = p->shift;
    d->table = p->table;
    d->acc_shift = p->acc_shift;
    d->clamp_min = p->clamp_min;
    d->clamp_max = p->clamp_max;
    d->finish = finish_of(p);
    g->y_at = n0 * (g->mode == MCF_GEMM_OUTPUTS ? mcf_size(p->y_type) : 4);
    g->res_at = n0 * mcf_size(p->res_type);
    if (g->mode == MCF_GEMM_SUMS) {
        d->finish = mcf_dot_sums;
        d->shift = 4 * (uint32_t)mcf_post_words(p) - 16;
    } else if (g->mode == MCF_GEMM_ADD_SUMS) {
        d->finish = mcf_dot_add_sums;
        d->post = zeros;
    }
    g->whole = !d->finish || !contiguous ? 0 : whole < g->groups ? whole : g->groups;
    set_range(g, d, 0, g->whole, 0, g->kn);
}

/* Sums of one group over one range of K. */
static void sums(const mcf_gemm_t *g, int32_t group, int32_t k, int32_t kn, const int32_t *bias, int32_t out[2][4])
{
    mcf_dot_t d = {.finish = mcf_dot_sums, .post = bias, .y = {out[0], out[1]}};
    set_range(g, &d, group, 1, k, kn);
    mcf_dot(&d);
}

static void partial_group(const mcf_gemm_t *g, int32_t group, int32_t n0, int32_t count, const mcf_gemm_rows_t *rows)
{
    int32_t acc[2][4], before[2][4] = {{0}};
    const int32_t *bias = g->mode == MCF_GEMM_SUMS ? g->p->post + n0 / 4 * mcf_post_words(g->p) : zeros;
    sums(g, group, 0, g->kn, bias, acc);
    for (int32_t row = 0; row < 2 && g->mode == MCF_GEMM_ADD_SUMS; row++)
        __builtin_memcpy(before[row], rows->y[row] + 4 * n0, 4 * (size_t)count);
    for (int32_t row = 0; row < 2; row++) {
        for (int32_t c = 0; c < count; c++)
            acc[row][c] = (int32_t)((uint32_t)acc[row][c] + (uint32_t)before[row][c]);
        __builtin_memcpy(rows->y[row] + 4 * n0, acc[row], 4 * (size_t)count);
    }
}

/* A group by itself: fewer than 4 channels, split K, or an epilogue that mcf_dot has not. */
static void output_group(const mcf_gemm_t *g, int32_t group, int32_t n0, int32_t count, const mcf_gemm_rows_t *rows)
{
    const mcf_linear_t *p = g->p;
    const int32_t *post = p->post + n0 / 4 * mcf_post_words(p), *mult = post + 4 * p->chunks;
    int32_t acc[2][4], t[2][4] = {{0}};
    for (int32_t j = 0, k = 0; j < p->chunks; j++) {
        const int32_t kn = p->chunk_kp ? p->chunk_kp[j] : g->kn;
        sums(g, group, k, kn, post + 4 * j, acc);
        for (int32_t i = 0; i < 8; i++)
            t[i >> 2][i & 3] += mcf_hi((int32_t)((uint32_t)acc[i >> 2][i & 3] << p->acc_shift), mult[(i & 3) * 2]);
        k += kn;
    }
    mcf_gemm_finish(p, t[0], n0, count, rows->res[0], rows->y[0]);
    if (rows->y[1] != rows->y[0])
        mcf_gemm_finish(p, t[1], n0, count, rows->res[1], rows->y[1]);
}

void mcf_gemm_dot(mcf_gemm_t *g, const mcf_gemm_rows_t *rows)
{
    if (g->whole) {
        for (int32_t i = 0; i < 2; i++) {
            g->dot.y[i] = rows->y[i] + g->y_at;
            g->dot.res[i] = rows->res[i] + g->res_at;
        }
        mcf_dot(&g->dot);
    }
    for (int32_t group = g->whole; group < g->groups; group++) {
        const int32_t n0 = 4 * (g->group0 + group), count = g->p->n - n0 < 4 ? g->p->n - n0 : 4;
        if (g->mode == MCF_GEMM_OUTPUTS)
            output_group(g, group, n0, count, rows);
        else
            partial_group(g, group, n0, count, rows);
    }
}

#endif
