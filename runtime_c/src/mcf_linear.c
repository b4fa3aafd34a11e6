/* Linear layers: the loops over panels of channels and pairs of rows around mcf_gemm. */
#include "mcf_linear.h"

#include "mcf_gemm.h"

typedef struct {
    int32_t x, res, y; /* bytes from one row to the next */
} strides_t;

static inline void load_pair(const mcf_gemm_t *g, const uint8_t *row0, const uint8_t *row1)
{
    const mcf_linear_t *p = g->p;
    const int32_t length = (p->segment + 3) & ~3;
    for (int32_t k = 0; k < g->kn; k += length) {
        mcf_gemm_pair(g, row0, row1, p->segment, k);
        row0 += p->segment_stride;
        row1 += p->segment_stride;
    }
}

/* The channels of g for every row. */
static void multiply_panel(mcf_gemm_t *g, const uint8_t *x, const uint8_t *res, uint8_t *y, const strides_t *step,
                           int32_t rows)
{
    for (; rows > 0; rows -= 2) {
        const int32_t next = rows > 1;
        const mcf_gemm_rows_t at = {{res, next ? res + step->res : res}, {y, next ? y + step->y : y}};
        load_pair(g, x, next ? x + step->x : x);
        mcf_gemm_dot(g, &at);
        x += 2 * step->x;
        res += 2 * step->res;
        y += 2 * step->y;
    }
}

/* Every row against every channel. Weights are expanded once per panel and call; for one or two rows that costs more
 * than it saves. */
static void multiply(mcf_gemm_t *g, const void *x, const void *res, void *y, const strides_t *step, int32_t rows,
                     void *scratch)
{
    const int32_t all = (g->p->n + 3) / 4, expand = g->p->panel && rows > 2;
    const int32_t groups = expand ? g->p->panel / 4 : all;
    g->pair = scratch;
    g->panel = expand ? (uint8_t *)scratch + 4 * g->kn : NULL;
    for (g->group0 = 0; g->group0 < all; g->group0 += groups) {
        g->groups = all - g->group0 < groups ? all - g->group0 : groups;
        mcf_gemm_start(g);
        multiply_panel(g, x, res ? res : y, y, step, rows);
    }
}

void mcf_linear(const mcf_linear_t *p, const void *x, int32_t x_stride, const void *res, int32_t res_stride, void *y,
                int32_t y_stride, int32_t rows, void *scratch)
{
    mcf_gemm_t g = {.p = p, .kn = p->kp, .mode = MCF_GEMM_OUTPUTS};
    const strides_t step = {x_stride, res ? res_stride : 0, y_stride};
    multiply(&g, x, res, y, &step, rows, scratch);
}

void mcf_linear_partial(const mcf_linear_t *p, int32_t segment0, int32_t count, const void *x, int32_t x_stride,
                        int32_t *acc, int32_t rows, void *scratch)
{
    const int32_t length = (p->segment + 3) & ~3, mode = segment0 ? MCF_GEMM_ADD_SUMS : MCF_GEMM_SUMS;
    mcf_gemm_t g = {.p = p, .k0 = segment0 * length, .kn = count * length, .mode = mode};
    const strides_t step = {x_stride, 0, 4 * p->n};
    multiply(&g, x, NULL, acc, &step, rows, scratch);
}

void mcf_linear_finish(const mcf_linear_t *p, const int32_t *acc, const void *res, int32_t res_stride, void *y,
                       int32_t y_stride, int32_t rows)
{
    for (int32_t row = 0; row < rows; row++, acc += p->n) {
        const void *res_row = res ? (const uint8_t *)res + row * res_stride : NULL;
        const int32_t *post = p->post + 4; /* one chunk: partial sums are not split */
        for (int32_t n0 = 0; n0 < p->n; n0 += 4, post += mcf_post_words(p)) {
            const int32_t count = p->n - n0 < 4 ? p->n - n0 : 4;
            int32_t t[4];
            for (int32_t c = 0; c < count; c++)
                t[c] = mcf_hi((int32_t)((uint32_t)acc[n0 + c] << p->acc_shift), post[2 * c]);
            mcf_gemm_finish(p, t, n0, count, res_row, (uint8_t *)y + row * y_stride);
        }
    }
}
