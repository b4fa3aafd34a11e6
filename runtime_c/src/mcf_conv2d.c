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

/* Output pixels from line oy on, `tile` at a time. */
static void multiply_panel(mcf_gemm_t *g, const mcf_conv2d_t *p, const uint8_t *x, mcf_gemm_rows_t at, int32_t oy,
                           int32_t pixels, int32_t tile, uint8_t *row0)
{
    const mcf_linear_t *core = &p->core;
    uint8_t *row1 = row0 + ((core->segment * mcf_size(core->x_type) + 3) & ~3);
    for (int32_t ox = 0, count; pixels > 0; pixels -= count) {
        count = pixels < tile ? pixels : tile;
        for (int32_t i = 0; i < count; i++) {
            gather(p, x, oy, ox, i & 1 ? row1 : row0);
            if (++ox == p->out_width)
                ox = 0, oy++;
            if (i & 1 || i + 1 == count)
                mcf_gemm_pair(g, i / 2, row0, i & 1 ? row1 : row0, core->segment, 0);
        }
        mcf_gemm_dot(g, &at, count);
        at.y += count * at.y_stride;
        at.res += count * at.res_stride;
    }
}

void mcf_conv2d(const mcf_conv2d_t *p, const void *x, const void *res, void *y, int32_t y_row0, int32_t y_rows,
                void *scratch)
{
    const mcf_linear_t *core = &p->core;
    const int32_t pixels = y_rows * p->out_width, all = (core->n + 3) / 4;
    const int32_t expand = core->panel && pixels > 2, groups = expand ? core->panel / 4 : all;
    const int32_t tile = expand ? core->tile : 2;
    uint8_t *const panel = (uint8_t *)scratch + 2 * core->kp * tile;
    const mcf_gemm_rows_t at = {res ? res : y, y, res ? core->n * mcf_size(core->res_type) : 0,
                                core->n * mcf_size(core->y_type)};
    mcf_gemm_t g = {.p = core, .kn = core->kp, .pairs = scratch, .panel = expand ? panel : NULL};
    for (; g.group0 < all; g.group0 += groups) {
        g.groups = all - g.group0 < groups ? all - g.group0 : groups;
        mcf_gemm_start(&g);
        multiply_panel(&g, p, x, at, y_row0, pixels, tile, panel + (expand ? 8 * core->kp * groups : 0));
    }
}
