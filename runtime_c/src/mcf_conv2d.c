/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions as matrix products: the rows are patches of the image, gathered a tile at a time. */
#include "mcf_conv.h"

#include "mcf_gemm.h"

/* A few bytes; a call of memcpy would cost more than it copies. */
static inline uint8_t *copy(uint8_t *to, const uint8_t *from, int32_t count) {
    for (; count >= 4; count -= 4, to += 4, from += 4) __builtin_memcpy(to, from, 4);
    for (; count > 0; count--) *to++ = *from++;
    return to;
}

static uint8_t *outside(const mcf_conv2d_t *p, uint8_t *to, int32_t taps, int32_t pixel) {
    for (int32_t i = 0; i < taps; i++) to = copy(to, p->pad, pixel);
    return to;
}

/* The patch at image position (y0, x0), which may lie outside, as kernel_h*kernel_w*channels elements; x is line row0. */
static void gather_edge(const mcf_conv2d_t *p, const uint8_t *x, int32_t row0, int32_t y0, int32_t x0, int32_t pixel,
                        uint8_t *to) {
    const int32_t first = x0 < 0 ? (-x0 < p->kernel_w ? -x0 : p->kernel_w) : 0;
    const int32_t end = p->width - x0 < p->kernel_w ? (p->width > x0 ? p->width - x0 : 0) : p->kernel_w;
    const int32_t inside = end > first ? end - first : 0;
    for (int32_t y = y0; y < y0 + p->kernel_h; y++) {
        if (y < 0 || y >= p->height || inside == 0) {
            to = outside(p, to, p->kernel_w, pixel);
            continue;
        }
        to = outside(p, to, first, pixel);
        to = copy(to, x + ((y - row0) * p->width + x0 + first) * pixel, inside * pixel);
        to = outside(p, to, p->kernel_w - first - inside, pixel);
    }
}

/* A walk over output pixels, line by line. Patches inside the image have first <= ox < end on lines with y_inside. */
typedef struct {
    const mcf_conv2d_t *p;
    const uint8_t *x, *pad;     /* both at the first channel of the group */
    int32_t row0;               /* the image line at x */
    int32_t piece, pixel, line; /* bytes of the group's channels, of a pixel and of an image line */
    int32_t ox, y0, y_inside, first, end;
} walk_t;

static void start_line(walk_t *w, int32_t y0) {
    w->ox = 0;
    w->y0 = y0;
    w->y_inside = y0 >= 0 && y0 + w->p->kernel_h <= w->p->height;
}

static walk_t start(const mcf_conv2d_t *p, const uint8_t *x, int32_t row0, int32_t oy) {
    walk_t w = {.p = p, .x = x, .pad = p->pad, .row0 = row0, .pixel = p->channels * mcf_size(p->core.x_type)};
    const int32_t room = p->width - p->kernel_w + p->pad_left;
    w.piece = p->groups == 1 ? w.pixel : w.pixel / p->groups;
    w.line = p->width * w.pixel;
    w.first = (p->pad_left + p->stride_w - 1) / p->stride_w;
    w.end = room < 0 ? 0 : room / p->stride_w + 1;
    start_line(&w, oy * p->stride_h - p->pad_top);
    return w;
}

static inline void advance(walk_t *w, int32_t pixels) {
    w->ox += pixels;
    if (w->ox == w->p->out_width) start_line(w, w->y0 + w->p->stride_h);
}

/* One group of a patch, which may lie outside. */
static void gather_group(const walk_t *w, int32_t x0, uint8_t *to) {
    const mcf_conv2d_t *p = w->p;
    for (int32_t y = w->y0; y < w->y0 + p->kernel_h; y++) {
        const int32_t inside = y >= 0 && y < p->height;
        for (int32_t x = x0; x < x0 + p->kernel_w; x++) {
            const uint8_t *from = w->pad;
            if (inside && x >= 0 && x < p->width) from = w->x + (y - w->row0) * w->line + x * w->pixel;
            to = copy(to, from, w->piece);
        }
    }
}

/* The next patch as bytes. */
static void gather(walk_t *w, uint8_t *to) {
    const mcf_conv2d_t *p = w->p;
    const int32_t x0 = w->ox * p->stride_w - p->pad_left;
    if (w->piece != w->pixel) {
        gather_group(w, x0, to);
    } else if (w->y_inside && w->ox >= w->first && w->ox < w->end) {
        const uint8_t *from = w->x + (w->y0 - w->row0) * w->line + x0 * w->pixel;
        for (int32_t ky = 0; ky < p->kernel_h; ky++, from += w->line) to = copy(to, from, p->kernel_w * w->pixel);
    } else {
        gather_edge(p, w->x, w->row0, w->y0, x0, w->pixel, to);
    }
    advance(w, 1);
}

/* Two patches of the walk (one, if `two` is 0) to a pair. */
static void load_pair(const mcf_gemm_t *g, walk_t *w, int32_t pair, int32_t two, uint8_t *row0) {
    const mcf_linear_t *core = g->p;
    uint8_t *row1 = row0 + core->kp * mcf_size(core->x_type);
    gather(w, row0);
    if (two) gather(w, row1);
    mcf_gemm_pair(g, pair, row0, two ? row1 : row0, core->kp, 0);
}

/* Two next patches where they lie inside the image, side by side; NULL where not. */
static inline const uint8_t *both_inside(const walk_t *w, int32_t two, int32_t *step) {
    *step = w->p->stride_w * w->pixel;
    if (!two || !w->y_inside || w->ox < w->first || w->ox + 1 >= w->end || w->ox + 1 >= w->p->out_width) return NULL;
    return w->x + (w->y0 - w->row0) * w->line + w->ox * *step - w->p->pad_left * w->pixel;
}

/* Kernel rows of a multiple of 4 elements need no copy. */
static void load_lines(const mcf_gemm_t *g, walk_t *w, int32_t pair, int32_t two, uint8_t *row0) {
    int32_t step;
    const uint8_t *from = both_inside(w, two, &step);
    const int32_t count = w->p->kernel_w * w->p->channels;
    if (from == NULL) {
        load_pair(g, w, pair, two, row0);
        return;
    }
    for (int32_t ky = 0; ky < w->p->kernel_h; ky++, from += w->line)
        mcf_gemm_pair(g, pair, from, from + step, count, ky * count);
    advance(w, 2);
}

/* Nor do the channels of a group, where they are a multiple of 4. */
static void load_pieces(const mcf_gemm_t *g, walk_t *w, int32_t pair, int32_t two, uint8_t *row0) {
    int32_t step, k = 0;
    const uint8_t *line = both_inside(w, two, &step);
    const int32_t count = w->p->channels / w->p->groups;
    if (line == NULL) {
        load_pair(g, w, pair, two, row0);
        return;
    }
    for (int32_t ky = 0; ky < w->p->kernel_h; ky++, line += w->line)
        for (int32_t kx = 0; kx < w->p->kernel_w; kx++, k += count) {
            const uint8_t *from = line + kx * w->pixel;
            mcf_gemm_pair(g, pair, from, from + step, count, k);
        }
    advance(w, 2);
}

#if MCF_DSP
/* Nor do 3x3 pixels of 3 bytes, the first layer of many a network. */
static void load_3x9(const mcf_gemm_t *g, walk_t *w, int32_t pair, int32_t two, uint8_t *row0) {
    int32_t step;
    const uint8_t *from = both_inside(w, two, &step);
    if (from == NULL) {
        load_pair(g, w, pair, two, row0);
        return;
    }
    mcf_dot_pair_t *const load = g->p->x_type == MCF_U8 ? mcf_dot_pair_3x9_u8 : mcf_dot_pair_3x9_s8;
    load(from, from + step, (uint8_t *)g->pairs + 4 * pair * g->kn, w->line);
    advance(w, 2);
}
#endif

typedef void load_t(const mcf_gemm_t *g, walk_t *w, int32_t pair, int32_t two, uint8_t *row0);

static load_t *loader(const mcf_conv2d_t *p) {
    if (p->groups > 1) return p->channels / p->groups % 4 == 0 ? load_pieces : load_pair;
#if MCF_DSP
    if (p->kernel_h == 3 && p->kernel_w * p->channels == 9 && p->core.x_type != MCF_S16) return load_3x9;
#endif
    return p->kernel_w * p->channels % 4 == 0 ? load_lines : load_pair;
}

/* One group, whose layer `core` is, of the patches of a walk to rows that begin `at` its output channels. */
static __attribute__((noinline)) void convolve(const mcf_linear_t *core, const walk_t *patches, mcf_gemm_rows_t at,
                                               int32_t pixels, void *scratch) {
    const int32_t all = (core->n + 3) / 4, expand = core->panel && pixels > 2;
    const int32_t groups = expand ? core->panel / 4 : all, tile = expand ? core->tile : 2;
    uint8_t *const panel = (uint8_t *)scratch + 2 * core->kp * tile;
    uint8_t *const t = panel + (expand ? 2 * core->kp * core->panel : 0);
    uint8_t *const rows = t + (expand && core->chunks > 1 ? 8 * core->panel : 0);
    load_t *const load = loader(patches->p);
    mcf_gemm_t g = {.p = core, .kn = core->kp, .pairs = scratch, .panel = expand ? panel : NULL, .t = (int32_t *)t};
    __builtin_memset(rows, 0, 2 * (size_t)(core->kp * mcf_size(core->x_type))); /* the padding of K */
    for (; g.group0 < all; g.group0 += groups) {
        walk_t walk = *patches;
        mcf_gemm_rows_t to = at;
        g.groups = all - g.group0 < groups ? all - g.group0 : groups;
        mcf_gemm_start(&g);
        for (int32_t first = 0, count; first < pixels; first += count) {
            count = pixels - first < tile ? pixels - first : tile;
            for (int32_t i = 0; i < count; i += 2) load(&g, &walk, i / 2, i + 1 < count, rows);
            mcf_gemm_dot(&g, &to, count);
            to.y += count * to.y_stride;
            to.res += count * to.res_stride;
        }
    }
}

static void convolve_groups(const mcf_conv2d_t *p, walk_t walk, mcf_gemm_rows_t at, int32_t pixels, void *scratch) {
    mcf_linear_t core = p->core;
    const int32_t fours = (core.n + 3) / 4, y_bytes = at.y_stride, res_bytes = at.res_stride;
    at.y_stride *= p->groups;
    at.res_stride *= p->groups;
    for (int32_t group = 0; group < p->groups; group++) {
        convolve(&core, &walk, at, pixels, scratch);
        core.weights += fours * core.w_stride * core.weight_bits / 2;
        core.post += fours * mcf_post_words(&core);
        walk.x += walk.piece;
        walk.pad += walk.piece;
        at.y += y_bytes;
        at.res += res_bytes;
    }
}

void mcf_conv2d(const mcf_conv2d_t *p, const void *x, int32_t x_row0, const void *res, void *y, int32_t y_row0,
                int32_t y_rows, void *scratch) {
    const mcf_linear_t *core = &p->core;
    const walk_t walk = start(p, x, x_row0, y_row0);
    const mcf_gemm_rows_t at = {res ? res : y, y, res ? core->n * mcf_size(core->res_type) : 0,
                                core->n * mcf_size(core->y_type)};
    if (p->groups == 1)
        convolve(core, &walk, at, y_rows * p->out_width, scratch);
    else
        convolve_groups(p, walk, at, y_rows * p->out_width, scratch);
}
