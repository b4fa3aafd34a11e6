/* SPDX-License-Identifier: Apache-2.0 */
/* Linear layers: the loops over panels of channels and pairs of rows around mcf_gemm. */
#include "mcf_linear.h"

#include "mcf_gemm.h"

static inline void load_pair(const mcf_gemm_t *g, int32_t pair, const uint8_t *row0, const uint8_t *row1) {
    const mcf_linear_t *p = g->p;
    const int32_t length = (p->segment + 3) & ~3;
    for (int32_t k = 0; k < g->kn; k += length) {
        mcf_gemm_pair(g, pair, row0, row1, p->segment, k);
        row0 += p->segment_stride;
        row1 += p->segment_stride;
    }
}

/* Every row against every channel: panel by panel, `tile` rows at a time. Weights are expanded once per panel and call;
 * for one or two rows that costs more than it saves. Rows are expanded once per panel, or once where the tile holds all
 * of them. */
static void multiply(mcf_gemm_t *g, const uint8_t *x, int32_t x_stride, const mcf_gemm_rows_t *out, int32_t rows,
                     void *scratch) {
    const mcf_linear_t *p = g->p;
    const int32_t all = (p->n + 3) / 4, expand = p->panel && rows > 2, tile = expand ? p->tile : 2;
    const int32_t groups = expand ? p->panel / 4 : all;
    g->pairs = scratch;
    g->panel = expand ? (uint8_t *)scratch + 2 * g->kn * tile : NULL;
    g->t = (int32_t *)((uint8_t *)scratch + 2 * g->kn * (tile + p->panel));
    for (g->group0 = 0; g->group0 < all; g->group0 += groups) {
        mcf_gemm_rows_t at = *out;
        g->groups = all - g->group0 < groups ? all - g->group0 : groups;
        mcf_gemm_start(g);
        for (int32_t first = 0; first < rows; first += tile) {
            const int32_t count = rows - first < tile ? rows - first : tile;
            const uint8_t *row = x + first * x_stride;
            for (int32_t i = 0; i < count && (rows > tile || g->group0 == 0); i += 2, row += 2 * x_stride)
                load_pair(g, i / 2, row, i + 1 < count ? row + x_stride : row);
            mcf_gemm_dot(g, &at, count);
            at.y += tile * at.y_stride;
            at.res += tile * at.res_stride;
        }
    }
}

void mcf_linear(const mcf_linear_t *p, const void *x, int32_t x_stride, const void *res, int32_t res_stride, void *y,
                int32_t y_stride, int32_t rows, void *scratch) {
    mcf_gemm_t g = {.p = p, .kn = p->kp, .mode = MCF_GEMM_OUTPUTS};
    const mcf_gemm_rows_t out = {res ? res : y, y, res ? res_stride : 0, y_stride};
    multiply(&g, x, x_stride, &out, rows, scratch);
}

void mcf_linear_partial(const mcf_linear_t *p, int32_t segment0, int32_t count, const void *x, int32_t x_stride,
                        void *sums, int32_t rows, void *scratch) {
    const int32_t length = (p->segment + 3) & ~3, mode = segment0 ? MCF_GEMM_ADD_SUMS : MCF_GEMM_SUMS;
    mcf_gemm_t g = {.p = p, .k0 = segment0 * length, .kn = count * length, .mode = mode};
    const mcf_gemm_rows_t out = {sums, sums, 0, 4 * p->n};
    multiply(&g, x, x_stride, &out, rows, scratch);
}

void mcf_linear_finish(const mcf_linear_t *p, const void *sums, const void *res, int32_t res_stride, void *y,
                       int32_t y_stride, int32_t rows) {
    const int32_t *acc = sums;
    for (int32_t row = 0; row < rows; row++, acc += p->n) {
        const void *res_row = res ? (const uint8_t *)res + row * res_stride : NULL;
        const int32_t *post = p->post + 4; /* one chunk: partial sums are not split */
        for (int32_t n0 = 0; n0 < p->n; n0 += 4, post += mcf_post_words(p)) {
            const int32_t count = p->n - n0 < 4 ? p->n - n0 : 4;
            int32_t t[4];
            for (int32_t c = 0; c < count; c++)
                t[c] = mcf_hi((int32_t)((uint32_t)acc[n0 + c] << p->acc_shift), post[c]);
            mcf_gemm_finish(p, t, n0, count, res_row, (uint8_t *)y + row * y_stride);
        }
    }
}
