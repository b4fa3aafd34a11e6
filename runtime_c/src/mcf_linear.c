/* Linear layers: the loops over panels of channels and pairs of rows around mcf_gemm. */
#include "mcf_linear.h"

#include "mcf_gemm.h"

/* Rows first, first+1 of x to the pair buffer: `count` pieces each. */
static void load_pair(const mcf_linear_t *p, const uint8_t *x, int32_t x_stride, int32_t first, int32_t rows,
                      int32_t count, void *pair)
{
    const uint8_t *row0 = x + first * x_stride, *row1 = first + 1 < rows ? row0 + x_stride : row0;
    const int32_t length = (p->segment + 3) & ~3, kn = count * length;
    for (int32_t s = 0; s < count; s++)
        mcf_gemm_pair(row0 + s * p->segment_stride, row1 + s * p->segment_stride, p->x_type, p->segment, s * length, kn,
                      pair);
}

/* `count` segments from segment0 of every row against every channel. Weights are expanded once per panel and call;
 * for one or two rows that costs more than it saves. */
static void multiply(const mcf_linear_t *p, int32_t segment0, int32_t count, const void *x, int32_t x_stride,
                     const mcf_gemm_rows_t *out, const int32_t step[3], int32_t rows, void *scratch)
{
    const int32_t length = (p->segment + 3) & ~3, k0 = segment0 * length, kn = count * length;
    const int32_t all = (p->n + 3) / 4, groups = p->panel && rows > 2 ? p->panel / 4 : all;
    uint8_t *panel = p->panel && rows > 2 ? (uint8_t *)scratch + 4 * kn : NULL;
    for (int32_t group = 0; group < all; group += groups) {
        const int32_t here = all - group < groups ? all - group : groups;
        if (panel)
            mcf_gemm_expand(p, group, here, k0, kn, panel);
        mcf_gemm_rows_t at = *out;
        for (int32_t row = 0; row < rows; row += 2) {
            const int32_t next = row + 1 < rows;
            load_pair(p, x, x_stride, row, rows, count, scratch);
            if (at.res[0]) {
                at.res[0] = (const uint8_t *)out->res[0] + row * step[0];
                at.res[1] = (const uint8_t *)at.res[0] + next * step[0];
            }
            if (at.y[0]) {
                at.y[0] = (uint8_t *)out->y[0] + row * step[1];
                at.y[1] = (uint8_t *)at.y[0] + next * step[1];
            }
            if (at.acc[0]) {
                at.acc[0] = out->acc[0] + row * step[2];
                at.acc[1] = at.acc[0] + next * step[2];
            }
            mcf_gemm_dot(p, panel, scratch, k0, kn, group, here, &at);
        }
    }
}

void mcf_linear(const mcf_linear_t *p, const void *x, int32_t x_stride, const void *res, int32_t res_stride, void *y,
                int32_t y_stride, int32_t rows, void *scratch)
{
    const mcf_gemm_rows_t out = {{res, res}, {y, y}, {NULL, NULL}, 0};
    const int32_t step[3] = {res_stride, y_stride, 0};
    multiply(p, 0, p->segments, x, x_stride, &out, step, rows, scratch);
}

void mcf_linear_partial(const mcf_linear_t *p, int32_t segment0, int32_t count, const void *x, int32_t x_stride,
                        int32_t *acc, int32_t rows, void *scratch)
{
    const mcf_gemm_rows_t out = {{NULL, NULL}, {NULL, NULL}, {acc, acc}, segment0 != 0};
    const int32_t step[3] = {0, 0, p->n};
    multiply(p, segment0, count, x, x_stride, &out, step, rows, scratch);
}

void mcf_linear_finish(const mcf_linear_t *p, const int32_t *acc, const void *res, int32_t res_stride, void *y,
                       int32_t y_stride, int32_t rows)
{
    const int32_t step = p->res_type == MCF_NONE ? 2 : 3;
    for (int32_t row = 0; row < rows; row++) {
        const int32_t *post = p->post;
        const void *res_row = res ? (const uint8_t *)res + row * res_stride : NULL;
        for (int32_t n0 = 0; n0 < p->n; n0 += 4, post += 4 + 4 * step) {
            const int32_t count = p->n - n0 < 4 ? p->n - n0 : 4;
            int32_t t[4];
            for (int32_t c = 0; c < count; c++)
                t[c] = mcf_hi((int32_t)((uint32_t)acc[row * p->n + n0 + c] << p->acc_shift), post[4 + step * c]);
            mcf_gemm_finish(p, t, n0, count, res_row, (uint8_t *)y + row * y_stride);
        }
    }
}
