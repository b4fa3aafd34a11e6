/* SPDX-License-Identifier: Apache-2.0 */
/* The matrix product on Cortex-M4 and M7: what mcf_dot does not do itself. It works on whole groups of 4 channels with
 * one K chunk; a last group of fewer channels, split sums and rare epilogues take its sums through mcf_gemm_finish. */
#include "mcf_gemm.h"

#if MCF_DSP

void mcf_gemm_pair(const mcf_gemm_t *g, int32_t pair, const uint8_t *row0, const uint8_t *row1, int32_t count,
                   int32_t k) {
    static mcf_dot_pair_t *const pairs[2][3] = {{mcf_dot_pair_s8, mcf_dot_pair_u8, mcf_dot_pair_s16},
                                                {mcf_dot_pair_s8_aligned, mcf_dot_pair_u8_aligned, mcf_dot_pair_s16}};
    const int type = g->p->x_type;
    const int32_t whole = count & ~3, size = mcf_size(type);
    uint8_t *out = (uint8_t *)g->pairs + 4 * (pair * g->kn + k);
    if (whole) pairs[(((uintptr_t)row0 | (uintptr_t)row1) & 3) == 0][type](row0, row1, out, whole / 4);
    if (count == whole) return;
    uint32_t rest[2][2] = {{0}};
    __builtin_memcpy(rest[0], row0 + whole * size, (size_t)((count - whole) * size));
    __builtin_memcpy(rest[1], row1 + whole * size, (size_t)((count - whole) * size));
    pairs[1][type](rest[0], rest[1], out + 4 * whole, 1);
}

/* The finish of int8 outputs with a residual, or NULL. */
static mcf_dot_label_t *finish_of_res8(const mcf_linear_t *p) {
    static mcf_dot_label_t *const shifts[4] = {mcf_dot_s8_res8_shift8, mcf_dot_s8_res8_shift9, mcf_dot_s8_res8_shift10,
                                               mcf_dot_s8_res8_shift11};
    if (p->res_type == MCF_S16) return mcf_dot_s8_res16;
    if (p->res_type != MCF_S8) return NULL;
    return p->shift >= 8 && p->shift < 12 ? shifts[p->shift - 8] : mcf_dot_s8_res8;
}

static mcf_dot_label_t *finish_of_s8(const mcf_linear_t *p) {
    static mcf_dot_label_t *const tables[2][3] = {
        {mcf_dot_s8_table10, mcf_dot_s8_table11, mcf_dot_s8_table12},
        {mcf_dot_s8_table10_shift3, mcf_dot_s8_table11_shift3, mcf_dot_s8_table12_shift3},
    };
    const int fixed = p->shift == MCF_DOT_SHIFT;
    if (p->table) return p->res_type == MCF_NONE && p->table_bits >= 10 ? tables[fixed][p->table_bits - 10] : NULL;
    if (p->clamp_min != -128 || p->clamp_max != 127) return NULL;
    if (p->res_type != MCF_NONE) return finish_of_res8(p);
    return fixed ? mcf_dot_s8_shift3 : mcf_dot_s8;
}

static mcf_dot_label_t *finish_of_s16(const mcf_linear_t *p) {
    const int clamps = p->clamp_min != -32768 || p->clamp_max != 32767;
    if (p->table) return p->res_type == MCF_NONE && p->table_bits == 20 ? mcf_dot_s16_table20 : NULL;
    if (p->res_type == MCF_NONE) return clamps ? mcf_dot_s16_clamp : mcf_dot_s16;
    return p->res_type == MCF_S16 && !clamps ? mcf_dot_s16_res16 : NULL;
}

/* The finish of the layer's whole groups, or NULL where mcf_dot has none. */
static mcf_dot_label_t *finish_of(const mcf_linear_t *p) {
    if (p->chunks > 1) return NULL;
    return p->y_type == MCF_S16 ? finish_of_s16(p) : finish_of_s8(p);
}

void mcf_gemm_range(mcf_dot_t *d, const void *pair, int32_t kn, int32_t expanded, int32_t weight_bits) {
    const int32_t unroll = expanded ? MCF_DOT_UNROLL : MCF_DOT_PACKED_UNROLL;
    const int32_t skip = (unroll - kn / 4 % unroll) % unroll;
    d->pair = d->pair_entry = pair;
    d->pair_end = (const uint8_t *)pair + 4 * kn;
    d->w_skip = 0;
    if (expanded) {
        d->entry = (uint32_t)mcf_dot_loop + (uint32_t)(skip * MCF_DOT_STEP_BYTES);
        d->pair_entry = (const uint8_t *)pair - 16 * skip;
        d->w_skip = (uint32_t)(32 * skip);
    } else if (weight_bits == 8) {
        d->entry = (uint32_t)mcf_dot_packed8_loop + (uint32_t)(skip * MCF_DOT_PACKED8_STEP_BYTES);
    } else {
        d->entry = (uint32_t)mcf_dot_packed4_loop + (uint32_t)(skip * MCF_DOT_PACKED4_STEP_BYTES);
    }
}

/* `groups` groups from `group` (counted from group0) over the K positions k .. k+kn-1 of g, from one pair on. */
static void set_range(const mcf_gemm_t *g, mcf_dot_t *d, int32_t pair, int32_t group, int32_t groups, int32_t k,
                      int32_t kn) {
    const int32_t bits = g->p->weight_bits;
    mcf_gemm_range(d, (const uint8_t *)g->pairs + 4 * (pair * g->kn + k), kn, g->panel != NULL, bits);
    if (g->panel) {
        d->w = (const uint8_t *)g->panel + 8 * (group * g->kn + k);
        d->w_end = (const uint8_t *)d->w + 8 * groups * kn;
    } else {
        d->w = g->p->weights + ((g->group0 + group) * g->p->w_stride + g->k0 + k) * bits / 2;
        d->w_end = (const uint8_t *)d->w + groups * kn * bits / 2;
    }
}

static const int32_t zeros[4];

/* The panel, group by group over its K positions; split K: chunk by chunk. */
static void expand(const mcf_gemm_t *g) {
    const mcf_linear_t *p = g->p;
    const int32_t bits = p->weight_bits, step = p->w_stride * bits / 2;
    void (*const widen)(const void *, void *, int32_t) = bits == 8 ? mcf_dot_expand8 : mcf_dot_expand4;
    uint8_t *to = g->panel;
    for (int32_t j = 0, k = g->k0; j < p->chunks; j++) {
        const int32_t kn = p->chunk_kp ? p->chunk_kp[j] : g->kn;
        const int8_t *w = p->weights + g->group0 * step + k * bits / 2;
        if (kn == p->w_stride) widen(w, to, g->groups * kn / 4);
        for (int32_t i = 0; i < g->groups && kn != p->w_stride; i++) widen(w + i * step, to + 8 * kn * i, kn / 4);
        to += 8 * kn * g->groups;
        k += kn;
    }
}

void mcf_gemm_epilogue(const mcf_linear_t *p, mcf_dot_t *d) {
    d->offset = p->offset;
    d->shift = p->shift;
    d->table = p->table;
    d->acc_shift = p->acc_shift;
    d->clamp_min = p->clamp_min;
    d->clamp_max = p->clamp_max;
    d->after_up = finish_of(p);
    d->finish = p->acc_shift && d->after_up ? mcf_dot_up : d->after_up;
}

void mcf_gemm_start(mcf_gemm_t *g) {
    const mcf_linear_t *p = g->p;
    mcf_dot_t *d = &g->dot;
    const int32_t n0 = 4 * g->group0, contiguous = g->panel || g->kn == p->w_stride, whole = (p->n - n0) / 4;
    if (g->panel) expand(g);
    mcf_gemm_epilogue(p, d);
    d->post = p->post + g->group0 * mcf_post_words(p);
    d->pair_bytes = 4 * g->kn;
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
    d->post_back = g->mode == MCF_GEMM_ADD_SUMS ? 0 : 4 * g->whole * mcf_post_words(p);
    set_range(g, d, 0, 0, g->whole, 0, g->kn);
}

/* Sums of one group over one range of K, for one pair of rows. */
static void sums(const mcf_gemm_t *g, int32_t pair, int32_t group, int32_t k, int32_t kn, const int32_t *bias,
                 int32_t out[2][4]) {
    mcf_dot_t d = {.finish = mcf_dot_sums, .post = bias, .y = {out[0], out[1]}, .pairs = 1};
    set_range(g, &d, pair, group, 1, k, kn);
    mcf_dot(&d);
}

/* A group by itself: fewer than 4 channels, split K, or an epilogue that mcf_dot has not. */
static void output_group(const mcf_gemm_t *g, int32_t pair, int32_t group, int32_t n0, int32_t t[2][4]) {
    const mcf_linear_t *p = g->p;
    const int32_t *post = p->post + n0 / 4 * mcf_post_words(p), *mult = post + 4 * p->chunks;
    int32_t acc[2][4];
    for (int32_t j = 0, k = 0; j < p->chunks; j++) {
        const int32_t kn = p->chunk_kp ? p->chunk_kp[j] : g->kn;
        sums(g, pair, group, k, kn, post + 4 * j, acc);
        for (int32_t i = 0; i < 8; i++) {
            const int32_t part = mcf_hi((int32_t)((uint32_t)acc[i >> 2][i & 3] << p->acc_shift), mult[i & 3]);
            t[i >> 2][i & 3] = j ? t[i >> 2][i & 3] + part : part;
        }
        k += kn;
    }
}

static void one_group(const mcf_gemm_t *g, int32_t group, const mcf_gemm_rows_t *rows, int32_t count) {
    const mcf_linear_t *p = g->p;
    const int32_t n0 = 4 * (g->group0 + group), channels = p->n - n0 < 4 ? p->n - n0 : 4;
    const int32_t *bias = g->mode == MCF_GEMM_SUMS ? p->post + n0 / 4 * mcf_post_words(p) : zeros;
    for (int32_t row = 0; row < count; row++) {
        int32_t t[2][4], before[4] = {0};
        uint8_t *y = rows->y + row * rows->y_stride;
        if ((row & 1) == 0 && g->mode == MCF_GEMM_OUTPUTS)
            output_group(g, row / 2, group, n0, t);
        else if ((row & 1) == 0)
            sums(g, row / 2, group, 0, g->kn, bias, t);
        if (g->mode == MCF_GEMM_OUTPUTS) {
            mcf_gemm_finish(p, t[row & 1], n0, channels, rows->res + row * rows->res_stride, y);
            continue;
        }
        if (g->mode == MCF_GEMM_ADD_SUMS) __builtin_memcpy(before, y + 4 * n0, 4 * (size_t)channels);
        for (int32_t c = 0; c < channels; c++) before[c] = (int32_t)((uint32_t)before[c] + (uint32_t)t[row & 1][c]);
        __builtin_memcpy(y + 4 * n0, before, 4 * (size_t)channels);
    }
}

void mcf_gemm_dot(mcf_gemm_t *g, const mcf_gemm_rows_t *rows, int32_t count) {
    mcf_dot_t *d = &g->dot;
    if (g->panel && g->p->chunks > 1) {
        mcf_gemm_split(g, rows, count);
        return;
    }
    for (int32_t row = 0; g->whole && row < count; row += 2 * d->pairs) {
        const int32_t y_next = count - row > 1 ? rows->y_stride : 0, res_next = count - row > 1 ? rows->res_stride : 0;
        const int32_t bytes = 4 * g->whole * (g->mode == MCF_GEMM_OUTPUTS ? mcf_size(g->p->y_type) : 4);
        d->pairs = count - row > 1 ? (count - row) / 2 : 1;
        d->y[0] = rows->y + row * rows->y_stride + g->y_at;
        d->y[1] = (uint8_t *)d->y[0] + y_next;
        d->res[0] = rows->res + row * rows->res_stride + g->res_at;
        d->res[1] = (const uint8_t *)d->res[0] + res_next;
        d->y_step = 2 * rows->y_stride - bytes;
        d->res_step = 2 * rows->res_stride - (g->p->res_type == MCF_NONE ? 0 : 4 * g->whole * mcf_size(g->p->res_type));
        if (row) set_range(g, d, row / 2, 0, g->whole, 0, g->kn);
        mcf_dot(d);
    }
    for (int32_t group = g->whole; group < g->groups; group++) one_group(g, group, rows, count);
}

#endif
