/* SPDX-License-Identifier: Apache-2.0 */
/* Layers whose K is split: int32 holds the sum of a chunk only, so every chunk is scaled by itself (docs/adr/0002). */
#include "mcf_gemm.h"

#if MCF_DSP

/* hi(sum * mult) of chunk j for one pair of rows, all groups of the panel; the first chunk sets t, the others add. */
static void one_chunk(const mcf_gemm_t *g, int32_t pair, int32_t j, int32_t k, int32_t kn) {
    const mcf_linear_t *p = g->p;
    mcf_dot_t d = {.pairs = 1, .y = {g->t, g->t + 4 * g->groups}, .acc_shift = p->acc_shift};
    mcf_gemm_range(&d, (const uint8_t *)g->pairs + 4 * (pair * g->kn + k), kn, 1, 8);
    d.w = (const uint8_t *)g->panel + 8 * g->groups * k;
    d.w_end = (const uint8_t *)d.w + 8 * g->groups * kn;
    d.post = p->post + g->group0 * mcf_post_words(p) + 4 * j;
    d.shift = 16 * (uint32_t)(p->chunks - 1 - j);
    d.clamp_min = 16 * j + (p->res_type == MCF_NONE ? 0 : 16);
    d.after_up = j ? mcf_dot_add_scaled : mcf_dot_scaled;
    d.finish = p->acc_shift ? mcf_dot_up : d.after_up;
    mcf_dot(&d);
}

void mcf_gemm_split(const mcf_gemm_t *g, const mcf_gemm_rows_t *rows, int32_t count) {
    const mcf_linear_t *p = g->p;
    for (int32_t row = 0; row < count; row++) {
        for (int32_t j = 0, k = 0; j < p->chunks && (row & 1) == 0; k += p->chunk_kp[j], j++)
            one_chunk(g, row / 2, j, k, p->chunk_kp[j]);
        const int32_t *t = g->t + (row & 1) * 4 * g->groups;
        for (int32_t n0 = 4 * g->group0; n0 < 4 * (g->group0 + g->groups); n0 += 4, t += 4)
            mcf_gemm_finish(p, t, n0, p->n - n0 < 4 ? p->n - n0 : 4, rows->res + row * rows->res_stride,
                            rows->y + row * rows->y_stride);
    }
}

#endif
