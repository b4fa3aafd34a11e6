/* Convolutions as matrix products: the rows are patches of the image, gathered two at a time. */
#include "mcf_conv.h"

#include "mcf_gemm.h"

/* A few bytes; a call of memcpy would cost more than it copies. */
static inline uint8_t *copy(uint8_t *to, const uint8_t *from, int32_t count)
{
    for (; count >= 4; count -= 4, to += 4, from += 4)
        __builtin_memcpy(to, from, 4);
    for (; count > 0; count--)
        *to++ = *from++;
    return to;
}

static uint8_t *outside(const mcf_conv2d_t *p, uint8_t *to, int32_t taps, int32_t pixel)
{
    for (int32_t i = 0; i < taps; i++)
        to = copy(to, p->pad, pixel);
    return to;
}

/* The patch under output pixel (oy, ox) as kernel_h*kernel_w*channels elements. */
static void gather(const mcf_conv2d_t *p, const uint8_t *x, int32_t oy, int32_t ox, uint8_t *to)
{
    const int32_t pixel = p->channels * mcf_size(p->core.x_type);
    const int32_t x0 = ox * p->stride_w - p->pad_left;
    const int32_t first = x0 < 0 ? (-x0 < p->kernel_w ? -x0 : p->kernel_w) : 0;
    const int32_t end = p->width - x0 < p->kernel_w ? (p->width > x0 ? p->width - x0 : 0) : p->kernel_w;
    const int32_t inside = end > first ? end - first : 0;
    for (int32_t ky = 0; ky < p->kernel_h; ky++) {
        const int32_t y = oy * p->stride_h - p->pad_top + ky;
        if (y < 0 || y >= p->height || inside == 0) {
            to = outside(p, to, p->kernel_w, pixel);
            continue;
        }
        to = outside(p, to, first, pixel);
        to = copy(to, x + (y * p->width + x0 + first) * pixel, inside * pixel);
        to = outside(p, to, p->kernel_w - first - inside, pixel);
    }
}

void mcf_conv2d(const mcf_conv2d_t *p, const void *x, const void *res, void *y, int32_t y_row0, int32_t y_rows,
                void *scratch)
{
    const mcf_linear_t *core = &p->core;
    const int32_t pixels = y_rows * p->out_width, all = (core->n + 3) / 4;
    const int32_t expand = core->panel && pixels > 2, groups = expand ? core->panel / 4 : all;
    const int32_t y_bytes = core->n * mcf_size(core->y_type), res_bytes = core->n * mcf_size(core->res_type);
    uint8_t *panel = (uint8_t *)scratch + 4 * core->kp, *row0 = panel + (expand ? 8 * core->kp * groups : 0);
    uint8_t *row1 = row0 + ((core->segment * mcf_size(core->x_type) + 3) & ~3);
    for (int32_t group = 0; group < all; group += groups) {
        const int32_t here = all - group < groups ? all - group : groups;
        const mcf_gemm_t g = {core, expand ? panel : NULL, scratch, 0, core->kp, group, here};
        if (expand)
            mcf_gemm_expand(&g, panel);
        for (int32_t i = 0, oy = y_row0, ox = 0; i < pixels; i += 2) {
            const int32_t next = i + 1 < pixels;
            gather(p, x, oy, ox, row0);
            if (++ox == p->out_width)
                ox = 0, oy++;
            if (next)
                gather(p, x, oy, ox, row1);
            if (++ox == p->out_width)
                ox = 0, oy++;
            mcf_gemm_pair(row0, next ? row1 : row0, core->x_type, core->segment, 0, core->kp, scratch);
            mcf_gemm_rows_t rows = {{NULL, NULL}, {(uint8_t *)y + i * y_bytes, (uint8_t *)y + (i + next) * y_bytes},
                                    {NULL, NULL}, 0};
            if (res) {
                rows.res[0] = (const uint8_t *)res + i * res_bytes;
                rows.res[1] = (const uint8_t *)res + (i + next) * res_bytes;
            }
            mcf_gemm_dot(&g, &rows);
        }
    }
}
