/* Linear layers: the loops over panels of channels and pairs of rows around mcf_gemm. */
#include "mcf_linear.h"

#include "mcf_gemm.h"

typedef struct {
    int32_t x, res, y, acc; /* from one row to the next: bytes, of acc: elements */
} strides_t;

static void load_pair(const mcf_gemm_t *g, const uint8_t *row0, const uint8_t *row1, void *pair)
{
    const mcf_linear_t *p = g->p;
    const int32_t length = (p->segment + 3) & ~3;
    for (int32_t k = 0; k < g->kn; k += length) {
        mcf_gemm_pair(row0, row1, p->x_type, p->segment, k, g->kn, pair);
        row0 += p->segment_stride;
        row1 += p->segment_stride;
    }
}

static mcf_gemm_rows_t rows_at(const mcf_gemm_rows_t *first, const strides_t *step, int32_t row, int32_t next)
{
    mcf_gemm_rows_t at = *first;
    for (int32_t i = 0; i < 2; i++, row += next) {
        if (at.res[i])
            at.res[i] = (const uint8_t *)at.res[i] + row * step->res;
        if (at.y[i])
            at.y[i] = (uint8_t *)at.y[i] + row * step->y;
        if (at.acc[i])
            at.acc[i] += row * step->acc;
    }
    return at;
}

/* K positions k0 .. k0+kn-1 of every row against every channel. Weights are expanded once per panel and call; for one
 * or two rows that costs more than it saves. */
static void multiply(const mcf_linear_t *p, int32_t k0, int32_t kn, const uint8_t *x, const mcf_gemm_rows_t *out,
                     const strides_t *step, int32_t rows, void *scratch)
{
    const int32_t all = (p->n + 3) / 4, groups = p->panel && rows > 2 ? p->panel / 4 : all;
    void *panel = p->panel && rows > 2 ? (uint8_t *)scratch + 4 * kn : NULL;
    for (int32_t group = 0; group < all; group += groups) {
        const mcf_gemm_t g = {p, panel, scratch, k0, kn, group, all - group < groups ? all - group : groups};
        if (panel)
            mcf_gemm_expand(&g, panel);
        for (int32_t row = 0; row < rows; row += 2) {
            const int32_t next = row + 1 < rows;
            const mcf_gemm_rows_t at = rows_at(out, step, row, next);
            load_pair(&g, x + row * step->x, x + (row + next) * step->x, scratch);
            mcf_gemm_dot(&g, &at);
        }
    }
}

void mcf_linear(const mcf_linear_t *p, const void *x, int32_t x_stride, const void *res, int32_t res_stride, void *y,
                int32_t y_stride, int32_t rows, void *scratch)
{
    const mcf_gemm_rows_t out = {{res, res}, {y, y}, {NULL, NULL}, 0};
    const strides_t step = {x_stride, res_stride, y_stride, 0};
    multiply(p, 0, p->kp, x, &out, &step, rows, scratch);
}

void mcf_linear_partial(const mcf_linear_t *p, int32_t segment0, int32_t count, const void *x, int32_t x_stride,
                        int32_t *acc, int32_t rows, void *scratch)
{
    const mcf_gemm_rows_t out = {{NULL, NULL}, {NULL, NULL}, {acc, acc}, segment0 != 0};
    const strides_t step = {x_stride, 0, 0, p->n};
    const int32_t length = (p->segment + 3) & ~3;
    multiply(p, segment0 * length, count * length, x, &out, &step, rows, scratch);
}

void mcf_linear_finish(const mcf_linear_t *p, const int32_t *acc, const void *res, int32_t res_stride, void *y,
                       int32_t y_stride, int32_t rows)
{
    const int32_t step = p->res_type == MCF_NONE ? 2 : 3;
    for (int32_t row = 0; row < rows; row++) {
        const void *res_row = res ? (const uint8_t *)res + row * res_stride : NULL;
        const int32_t *mult = p->post + 4; /* one chunk: partial sums are not split */
        for (int32_t n0 = 0; n0 < p->n; n0 += 4, mult += mcf_post_words(p)) {
            const int32_t count = p->n - n0 < 4 ? p->n - n0 : 4;
            int32_t t[4];
            for (int32_t c = 0; c < count; c++)
                t[c] = mcf_hi((int32_t)((uint32_t)acc[row * p->n + n0 + c] << p->acc_shift), mult[step * c]);
            mcf_gemm_finish(p, t, n0, count, res_row, (uint8_t *)y + row * y_stride);
        }
    }
}
