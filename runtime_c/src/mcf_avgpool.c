/* SPDX-License-Identifier: Apache-2.0 */
/* Average pooling, a window at a time: the sum of its pixels, four channels side by side. */
#include "mcf_avgpool.h"

/* The part of a window that lies in the image: `rows` x `cols` pixels of `bytes` bytes from x on. `share` is 2^30 / pixels. */
typedef struct {
    const uint8_t *x;
    int32_t rows, cols, bytes, line, share;
} window_t;

#define INLINE static inline __attribute__((always_inline))

INLINE int32_t average(const mcf_avgpool_t *p, const int32_t *post, int32_t sum, int32_t share) {
    const int32_t mean = mcf_hi((int32_t)((uint32_t)sum << p->up), share);
    const int32_t t = mcf_hi((int32_t)((uint32_t)mean << p->acc_shift), post[0]) + post[1];
    return mcf_saturate(t >> p->shift, p->y_type);
}

#if MCF_DSP

enum { MOST_PIXELS = 128 }; /* whose sum of 8 bits fits int16 */

/* Channels c to c + 3 of a window of 8-bit pixels, summed in two pairs of int16. */
INLINE void four(const mcf_avgpool_t *p, const window_t *w, void *y, int32_t c, int type) {
    const uint8_t *row = w->x + c;
    uint32_t even = 0, odd = 0, four;
    for (int32_t left = w->rows; left > 0; left--, row += w->line) {
        const uint8_t *x = row;
        for (int32_t cols = w->cols; cols > 0; cols--, x += w->bytes) {
            __builtin_memcpy(&four, x, 4);
            const uint32_t turned = (four >> 8) | (four << 24);
            even = type == MCF_S8 ? (uint32_t)__sxtab16(even, four) : __uxtab16(even, four);
            odd = type == MCF_S8 ? (uint32_t)__sxtab16(odd, turned) : __uxtab16(odd, turned);
        }
    }
    const int32_t *post = p->post + 2 * c;
    mcf_store(y, c, p->y_type, average(p, post, (int16_t)even, w->share));
    mcf_store(y, c + 1, p->y_type, average(p, post + 2, (int16_t)odd, w->share));
    mcf_store(y, c + 2, p->y_type, average(p, post + 4, (int32_t)even >> 16, w->share));
    mcf_store(y, c + 3, p->y_type, average(p, post + 6, (int32_t)odd >> 16, w->share));
}

#endif

INLINE void channels(const mcf_avgpool_t *p, const window_t *w, void *y, int type) {
    int32_t c = 0;
#if MCF_DSP
    if (type != MCF_S16 && w->rows * w->cols <= MOST_PIXELS)
        for (; c + 4 <= p->channels; c += 4) four(p, w, y, c, type);
#endif
    for (; c < p->channels; c++) {
        int32_t sum = 0;
        for (int32_t row = 0; row < w->rows; row++)
            for (int32_t col = 0; col < w->cols; col++) sum += mcf_load(w->x + row * w->line + col * w->bytes, c, type);
        mcf_store(y, c, p->y_type, average(p, p->post + 2 * c, sum, w->share));
    }
}

/* A line of windows; x is the first image line that they see. */
INLINE void windows(const mcf_avgpool_t *p, window_t *w, const uint8_t *x, uint8_t *y, int type) {
    int32_t from = -p->pad_left;
    for (int32_t i = 0; i < p->out_width; i++, from += p->stride_w) {
        const int32_t first = from < 0 ? 0 : from, end = from + p->kernel_w;
        w->x = x + first * w->bytes;
        w->cols = (end < p->width ? end : p->width) - first;
        const uint32_t pixels = (uint32_t)(w->rows * w->cols);
        w->share = (int32_t)(((1u << 30) + (pixels >> 1)) / pixels);
        channels(p, w, y, type);
        y += p->channels * mcf_size(p->y_type);
    }
}

void mcf_avgpool(const mcf_avgpool_t *p, const void *x, int32_t x_row0, void *y, int32_t y_row0, int32_t y_rows) {
    const int32_t bytes = p->channels * mcf_size(p->x_type);
    window_t w = {.bytes = bytes, .line = p->width * bytes};
    uint8_t *to = y;
    for (int32_t i = y_row0; i < y_row0 + y_rows; i++) {
        const int32_t from = i * p->stride_h - p->pad_top, end = from + p->kernel_h;
        const int32_t first = from < 0 ? 0 : from;
        const uint8_t *line = (const uint8_t *)x + (first - x_row0) * w.line;
        w.rows = (end < p->height ? end : p->height) - first;
        if (p->x_type == MCF_S8)
            windows(p, &w, line, to, MCF_S8);
        else if (p->x_type == MCF_U8)
            windows(p, &w, line, to, MCF_U8);
        else
            windows(p, &w, line, to, MCF_S16);
        to += p->out_width * p->channels * mcf_size(p->y_type);
    }
}
