/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolutions: every channel has its own kernel. */
#include "mcf_conv.h"

#include "mcf_gemm.h"

typedef struct {
    const mcf_conv2d_t *p;
    const uint8_t *x, *res; /* res and y: first line of the call; without residual res is y */
    uint8_t *y;
    int32_t x_row0, y_row0, y_rows; /* x: image line x_row0 */
    int32_t y_pixel, res_pixel;     /* bytes of an output pixel */
    int32_t x_pixel, x_channel;     /* values between pixels of x; the channel that lies first there */
} call_t;

/* Scaled sums of `count` channels from 4*group on, at output pixel (oy, ox). */
static void sums(const call_t *k, int32_t oy, int32_t ox, int32_t group, int32_t count, int32_t t[4]) {
    const mcf_conv2d_t *p = k->p;
    const mcf_linear_t *core = &p->core;
    const int32_t *post = core->post + group * mcf_post_words(core);
    const int8_t *w = core->weights + group * 4 * p->kernel_h * p->kernel_w;
    for (int32_t c = 0; c < count; c++) {
        uint32_t acc = (uint32_t)post[c];
        for (int32_t ky = 0; ky < p->kernel_h; ky++)
            for (int32_t kx = 0; kx < p->kernel_w; kx++) {
                const int32_t iy = oy * p->stride_h - p->pad_top + ky, ix = ox * p->stride_w - p->pad_left + kx;
                const int32_t in = iy >= 0 && iy < p->height && ix >= 0 && ix < p->width;
                const int32_t at = ((iy - k->x_row0) * p->width + ix) * k->x_pixel + 4 * group + c - k->x_channel;
                const int32_t v = in ? mcf_load(k->x, at, core->x_type) : mcf_load(p->pad, 4 * group + c, core->x_type);
                acc += (uint32_t)(v * w[(ky * p->kernel_w + kx) * 4 + c]);
            }
        t[c] = mcf_hi((int32_t)(acc << core->acc_shift), post[4 + c]);
    }
}

/* The channels of a group, of all pixels of x: [pixel][count]. */
static void copy_group(const call_t *k, int32_t n0, int32_t count, uint8_t *to) {
    const mcf_conv2d_t *p = k->p;
    const int32_t size = mcf_size(p->core.x_type);
    const uint8_t *from = k->x + n0 * size;
    for (int32_t i = 0; i < p->height * p->width; i++, to += count * size, from += p->channels * size)
        for (int32_t b = 0; b < count * size; b++) to[b] = from[b];
}

/* Any group, pixel by pixel. */
static void plain_group(const call_t *call, int32_t group, void *scratch) {
    const mcf_linear_t *core = &call->p->core;
    const int32_t n0 = 4 * group, count = core->n - n0 < 4 ? core->n - n0 : 4;
    call_t aside = *call;
    const call_t *k = &aside;
    if (call->p->over) {
        copy_group(call, n0, count, scratch);
        aside.x = scratch;
        aside.x_pixel = count;
        aside.x_channel = n0;
    }
    for (int32_t i = 0; i < k->y_rows * k->p->out_width; i++) {
        int32_t t[4];
        sums(k, k->y_row0 + i / k->p->out_width, i % k->p->out_width, group, count, t);
        mcf_gemm_finish(core, t, n0, count, k->res + i * k->res_pixel, k->y + i * k->y_pixel);
    }
}

#if MCF_DSP

/* Columns of a strip that the output lines read. */
static int32_t columns(const mcf_conv2d_t *p) {
    return (p->out_width - 1) * p->stride_w + p->kernel_w;
}

static uint8_t *fill(uint8_t *to, int32_t count, const uint32_t pad[2]) {
    for (; count > 0; count--, to += 8) __builtin_memcpy(to, pad, 8);
    return to;
}

/* `lines` image lines from line y0 on, with the padding around them, for the channels of one group. */
static void load_strip(const call_t *k, mcf_dw_expand_t *expand, int32_t y0, int32_t lines, int32_t group,
                       uint8_t *to) {
    const mcf_conv2d_t *p = k->p;
    const int32_t size = mcf_size(p->core.x_type), pixel = p->channels * size, all = columns(p);
    const int32_t before = p->pad_left < all ? p->pad_left : all;
    const int32_t inside = all - before < p->width ? all - before : p->width;
    const int32_t after = all - before - inside, step = p->width * pixel;
    int32_t at = (y0 - k->x_row0) * step + 4 * group * size;
    uint32_t pad[2];
    expand((const uint8_t *)p->pad + 4 * group * size, pad, 1, 0);
    for (int32_t y = y0; y < y0 + lines; y++, at += step) {
        if (y < 0 || y >= p->height) {
            to = fill(to, all, pad);
            continue;
        }
        to = fill(to, before, pad);
        expand(k->x + at, to, inside, pixel);
        to = fill(to + 8 * inside, after, pad);
    }
}

/* The last pixel of a line of odd width; its partner goes aside. */
static void last_pixel(const call_t *k, const mcf_dot_t *line, const uint8_t *pair, const uint8_t *res, uint8_t *y) {
    uint64_t aside;
    mcf_dot_t d = *line;
    d.pair = d.pair_entry = pair + line->pairs * line->pair_bytes;
    d.y[0] = y + 2 * line->pairs * k->y_pixel;
    d.y[1] = &aside;
    d.res[0] = d.res[1] = res + 2 * line->pairs * k->res_pixel;
    d.pairs = 1;
    mcf_dot(&d);
}

/* `lines` output lines, in pairs of pixels, from a strip whose lines they read are `step` bytes apart. */
static void fast_lines(const call_t *k, mcf_dot_t *d, const uint8_t *pair, int32_t step, const uint8_t *res, uint8_t *y,
                       int32_t lines) {
    const int32_t width = k->p->out_width, y_pixel = k->y_pixel, res_pixel = k->res_pixel;
    const int32_t y_line = width * y_pixel, res_line = width * res_pixel;
    d->pairs = width / 2;
    for (; lines > 0; lines--) {
        d->pair = d->pair_entry = pair;
        d->y[0] = y;
        d->y[1] = y + y_pixel;
        d->res[0] = res;
        d->res[1] = res + res_pixel;
        if (width > 1) mcf_dot(d);
        if (width & 1) last_pixel(k, d, pair, res, y);
        pair += step;
        y += y_line;
        res += res_line;
    }
}

/* A whole group of 4 channels through mcf_dot, `band` output lines at a time. Scratch: kernel, strip, more columns. */
static void fast_group(const call_t *k, mcf_dot_t *d, int32_t group, void *scratch) {
    static mcf_dw_expand_t *const expands[3] = {mcf_dw_expand_s8, mcf_dw_expand_u8, mcf_dw_expand_s16};
    const mcf_conv2d_t *p = k->p;
    const mcf_linear_t *core = &p->core;
    const int32_t taps = p->kernel_h * p->kernel_w, line = 8 * columns(p);
    uint8_t *const strip = (uint8_t *)scratch + 8 * taps, *y = k->y + 4 * group * mcf_size(core->y_type);
    const uint8_t *res = k->res + 4 * group * mcf_size(core->res_type);
    mcf_dw_expand_s8(core->weights + 4 * group * taps, scratch, taps, 4);
    d->w = scratch;
    d->w_end = strip;
    d->post = core->post + group * mcf_post_words(core);
    d->row_step = line - 8 * p->kernel_w;
    for (int32_t row = 0; row < k->y_rows; row += p->band) {
        const int32_t rows = k->y_rows - row < p->band ? k->y_rows - row : p->band;
        load_strip(k, expands[core->x_type], (k->y_row0 + row) * p->stride_h - p->pad_top,
                   (rows - 1) * p->stride_h + p->kernel_h, group, strip);
        fast_lines(k, d, strip, p->stride_h * line, res, y, rows);
        y += rows * p->out_width * k->y_pixel;
        res += rows * p->out_width * k->res_pixel;
    }
}

/* The frame of every group; 0 where mcf_dot has no loop or no finish for the layer. */
static int32_t prepare(const call_t *k, mcf_dot_t *d) {
    const mcf_conv2d_t *p = k->p;
    const int32_t small = p->kernel_h == 3 && p->kernel_w == 3, skip = MCF_DW_UNROLL - p->kernel_w;
    const uint32_t row = (uint32_t)(p->stride_w == 1 ? mcf_dw_row_1 : mcf_dw_row_2);
    mcf_gemm_epilogue(&p->core, d);
    d->row_entry = row + (uint32_t)(skip * MCF_DW_STEP_BYTES);
    d->entry = d->row_entry;
    if (small) d->entry = (uint32_t)(p->stride_w == 1 ? mcf_dw_3x3_1 : mcf_dw_3x3_2);
    d->pair_bytes = 16 * p->stride_w;
    d->y_step = 2 * k->y_pixel - 4 * mcf_size(p->core.y_type);
    d->res_step = 2 * k->res_pixel - (p->core.res_type == MCF_NONE ? 0 : 4 * mcf_size(p->core.res_type));
    d->post_back = 4 * mcf_post_words(&p->core);
    return d->finish && p->stride_w <= 2 && skip >= 0;
}

#endif

void mcf_dwconv2d(const mcf_conv2d_t *p, const void *x, int32_t x_row0, const void *res, void *y, int32_t y_row0,
                  int32_t y_rows, void *scratch) {
    const mcf_linear_t *core = &p->core;
    const call_t k = {p,
                      x,
                      res ? res : y,
                      y,
                      x_row0,
                      y_row0,
                      y_rows,
                      core->n * mcf_size(core->y_type),
                      res ? core->n * mcf_size(core->res_type) : 0,
                      p->channels,
                      0};
    int32_t group = 0;
#if MCF_DSP
    mcf_dot_t d = {0};
    if (prepare(&k, &d))
        for (; group < core->n / 4; group++) fast_group(&k, &d, group, scratch);
#endif
    for (; 4 * group < core->n; group++) plain_group(&k, group, scratch);
}
