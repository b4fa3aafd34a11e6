/* SPDX-License-Identifier: Apache-2.0 */
/* Max-pooling, a window at a time: all its pixels, 16 bytes of channels side by side. */
#include "mcf_maxpool.h"

/* The part of a window that lies in the image: `rows` x `cols` pixels of `bytes` bytes from x on. */
typedef struct {
    const uint8_t *x;
    int32_t rows, cols, bytes, line;
} window_t;

#define INLINE static inline __attribute__((always_inline))

#if MCF_DSP

/* SSUB8 (USUB8, SSUB16) sets the flags by which SEL chooses: 2 instructions for 4 bytes. */
#define LARGER(b, subtract) __asm__(subtract " %1, %2, %0\n\tsel %0, %2, %0" : "+r"(a), "=&r"(aside) : "r"(b) : "cc")

INLINE uint32_t larger(uint32_t a, uint32_t b, int type) {
    uint32_t aside;
    if (type == MCF_S8)
        LARGER(b, "ssub8");
    else if (type == MCF_U8)
        LARGER(b, "usub8");
    else
        LARGER(b, "ssub16");
    return a;
}

INLINE uint32_t word(const uint8_t *x) {
    uint32_t w;
    __builtin_memcpy(&w, x, 4);
    return w;
}

/* Words of a pixel at byte `at`. */
INLINE void some_words(const window_t *w, uint8_t *y, int32_t at, int32_t count, int type) {
    const uint8_t *row = w->x + at;
    uint32_t most[4];
    for (int32_t i = 0; i < count; i++) most[i] = word(row + 4 * i);
    for (int32_t left = w->rows; left > 0; left--, row += w->line) {
        const uint8_t *x = row;
        for (int32_t cols = w->cols; cols > 0; cols--, x += w->bytes)
            for (int32_t i = 0; i < count; i++) most[i] = larger(most[i], word(x + 4 * i), type);
    }
    for (int32_t i = 0; i < count; i++) __builtin_memcpy(y + at + 4 * i, &most[i], 4);
}

/* 4 bytes or more; the last word may overlap the one before it. */
INLINE void words(const window_t *w, uint8_t *y, int type) {
    int32_t at = 0;
    for (; at + 16 <= w->bytes; at += 16) some_words(w, y, at, 4, type);
    for (; at + 4 <= w->bytes; at += 4) some_words(w, y, at, 1, type);
    if (at < w->bytes) some_words(w, y, w->bytes - 4, 1, type);
}

#endif

INLINE void elements(const window_t *w, uint8_t *y, int type) {
    for (int32_t c = 0; c < w->bytes / mcf_size(type); c++) {
        int32_t most = mcf_load(w->x, c, type);
        for (int32_t row = 0; row < w->rows; row++)
            for (int32_t col = 0; col < w->cols; col++) {
                const int32_t v = mcf_load(w->x + row * w->line + col * w->bytes, c, type);
                most = v > most ? v : most;
            }
        mcf_store(y, c, type, most);
    }
}

/* A line of windows; x is the first image line that they see. */
INLINE void windows(const mcf_maxpool_t *p, window_t *w, const uint8_t *x, uint8_t *y, int type) {
    int32_t from = -p->pad_left;
    for (int32_t i = 0; i < p->out_width; i++, from += p->stride_w, y += w->bytes) {
        const int32_t first = from < 0 ? 0 : from, end = from + p->kernel_w;
        w->x = x + first * w->bytes;
        w->cols = (end < p->width ? end : p->width) - first;
#if MCF_DSP
        if (w->bytes >= 4) {
            words(w, y, type);
            continue;
        }
#endif
        elements(w, y, type);
    }
}

void mcf_maxpool(const mcf_maxpool_t *p, const void *x, int32_t x_row0, void *y, int32_t y_row0, int32_t y_rows) {
    const int32_t bytes = p->channels * mcf_size(p->type);
    window_t w = {.bytes = bytes, .line = p->width * bytes};
    uint8_t *to = y;
    for (int32_t i = y_row0; i < y_row0 + y_rows; i++, to += p->out_width * bytes) {
        const int32_t from = i * p->stride_h - p->pad_top, end = from + p->kernel_h;
        const int32_t first = from < 0 ? 0 : from;
        const uint8_t *line = (const uint8_t *)x + (first - x_row0) * w.line;
        w.rows = (end < p->height ? end : p->height) - first;
        if (p->type == MCF_S8)
            windows(p, &w, line, to, MCF_S8);
        else if (p->type == MCF_U8)
            windows(p, &w, line, to, MCF_U8);
        else
            windows(p, &w, line, to, MCF_S16);
    }
}
