/* SPDX-License-Identifier: Apache-2.0 */
/* Rows in another order: windows of an image are consecutive rows for as long as they are attended to. */
#include "mcf_elementwise.h"

static inline uint16_t entry(const void *table, int32_t i) {
    uint16_t value;
    __builtin_memcpy(&value, (const uint8_t *)table + 2 * i, 2);
    return value;
}

void mcf_gather(const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t row_bytes, int32_t rows,
                const void *index) {
    for (int32_t i = 0; i < rows; i++)
        __builtin_memcpy((uint8_t *)y + i * y_stride, (const uint8_t *)x + entry(index, i) * x_stride,
                         (size_t)row_bytes);
}

void mcf_gather_padded(const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t row_bytes, int32_t rows,
                       const void *index, const void *fill) {
    for (int32_t i = 0; i < rows; i++) {
        const int32_t at = entry(index, i);
        const void *row = at == 65535 ? fill : (const uint8_t *)x + at * x_stride;
        if (row)
            __builtin_memcpy((uint8_t *)y + i * y_stride, row, (size_t)row_bytes);
        else
            __builtin_memset((uint8_t *)y + i * y_stride, 0, (size_t)row_bytes);
    }
}

void mcf_fill_padded(void *y, int32_t y_stride, int32_t row_bytes, int32_t rows, const void *index, const void *fill) {
    for (int32_t i = 0; i < rows; i++)
        if (entry(index, i) == 65535) __builtin_memcpy((uint8_t *)y + i * y_stride, fill, (size_t)row_bytes);
}

void mcf_scatter_padded(const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t row_bytes, int32_t rows,
                        const void *index) {
    for (int32_t i = 0; i < rows; i++) {
        const int32_t at = entry(index, i);
        if (at != 65535)
            __builtin_memcpy((uint8_t *)y + at * y_stride, (const uint8_t *)x + i * x_stride, (size_t)row_bytes);
    }
}

#define INLINE static inline __attribute__((always_inline))

/* A few bytes; a call of memcpy would cost more than it copies. */
INLINE void move(uint8_t *y, const uint8_t *x, int32_t bytes) {
    for (; bytes >= 4; bytes -= 4, y += 4, x += 4) __builtin_memcpy(y, x, 4);
    for (; bytes > 0; bytes--) *y++ = *x++;
}

INLINE void steps(uint8_t *y, const uint8_t *x, int32_t bytes, int32_t n, int32_t x_step, int32_t y_step) {
    for (; n >= 4; n -= 4) {
        for (int32_t i = 0; i < 4; i++, x += x_step, y += y_step) __builtin_memcpy(y, x, (size_t)bytes);
    }
    for (; n > 0; n--, x += x_step, y += y_step) __builtin_memcpy(y, x, (size_t)bytes);
}

static void innermost(uint8_t *y, const uint8_t *x, int32_t bytes, int32_t n, int32_t x_step, int32_t y_step) {
    if (bytes == 1)
        steps(y, x, 1, n, x_step, y_step);
    else if (bytes == 2)
        steps(y, x, 2, n, x_step, y_step);
    else
        for (; n > 0; n--, x += x_step, y += y_step) move(y, x, bytes);
}

void mcf_walk(const void *x, int32_t first, void *y, int32_t row_bytes, int32_t n3, int32_t x3, int32_t y3, int32_t n2,
              int32_t x2, int32_t y2, int32_t n1, int32_t x1, int32_t y1, int32_t n0, int32_t x0, int32_t y0) {
    for (int32_t a = 0; a < n3; a++)
        for (int32_t b = 0; b < n2; b++)
            for (int32_t c = 0; c < n1; c++)
                innermost((uint8_t *)y + a * y3 + b * y2 + c * y1,
                          (const uint8_t *)x + first + a * x3 + b * x2 + c * x1, row_bytes, n0, x0, y0);
}

/* Transposes of bytes by words. */

/* Bytes 0 and 2 of two words side by side, and bytes 1 and 3; lower halfwords of two words, and upper ones. */
#if MCF_DSP
#define TWO(name, text)                                                                                                \
    INLINE uint32_t name(uint32_t a, uint32_t b) {                                                                     \
        uint32_t r;                                                                                                    \
        __asm(text : "=r"(r) : "r"(a), "r"(b));                                                                        \
        return r;                                                                                                      \
    }
TWO(lower, "pkhbt %0, %1, %2, lsl #16")
TWO(upper, "pkhtb %0, %2, %1, asr #16")
INLINE uint32_t even(uint32_t a, uint32_t b, uint32_t odds) {
    uint32_t r;
    __asm("and %0, %2, %1, lsl #8\n\tuxtab16 %0, %0, %3" : "=&r"(r) : "r"(b), "r"(odds), "r"(a));
    return r;
}
INLINE uint32_t odd(uint32_t a, uint32_t b) {
    uint32_t r;
    __asm("bic %0, %1, #0x00ff00ff\n\tuxtab16 %0, %0, %2, ror #8" : "=&r"(r) : "r"(b), "r"(a));
    return r;
}
#else
INLINE uint32_t lower(uint32_t a, uint32_t b) {
    return (a & 0xffff) | b << 16;
}
INLINE uint32_t upper(uint32_t a, uint32_t b) {
    return a >> 16 | (b & 0xffff0000u);
}
INLINE uint32_t even(uint32_t a, uint32_t b, uint32_t odds) {
    return (a & ~odds) | (b << 8 & odds);
}
INLINE uint32_t odd(uint32_t a, uint32_t b) {
    return (a >> 8 & 0x00ff00ffu) | (b & 0xff00ff00u);
}
#endif

INLINE uint32_t word(const uint8_t *x) {
    uint32_t w;
    __builtin_memcpy(&w, x, 4);
    return w;
}

INLINE void put(uint8_t *y, uint32_t w, size_t bytes) {
    __builtin_memcpy(y, &w, bytes);
}

/* Four places of 2 or 4 lines, x_line apart: y has the bytes of a place side by side. */
typedef void tile_t(uint8_t *y, const uint8_t *x, int32_t x_line, int32_t y_step, uint32_t odds);

INLINE void pairs(uint8_t *y, const uint8_t *x, int32_t x_line, int32_t y_step, uint32_t odds) {
    const uint32_t a = word(x), b = word(x + x_line), e = even(a, b, odds), o = odd(a, b);
    put(y, e, 2);
    put(y + y_step, o, 2);
    put(y + 2 * y_step, e >> 16, 2);
    put(y + 3 * y_step, o >> 16, 2);
}

INLINE void dense_pairs(uint8_t *y, const uint8_t *x, int32_t x_line, int32_t y_step, uint32_t odds) {
    const uint32_t a = word(x), b = word(x + x_line), e = even(a, b, odds), o = odd(a, b);
    put(y, lower(e, o), 4);
    put(y + y_step * 2, upper(e, o), 4);
}

INLINE void fours(uint8_t *y, const uint8_t *x, int32_t x_line, int32_t y_step, uint32_t odds) {
    const uint32_t a = word(x), b = word(x + x_line), c = word(x + 2 * x_line), d = word(x + 3 * x_line);
    const uint32_t e = even(a, b, odds), o = odd(a, b), f = even(c, d, odds), p = odd(c, d);
    put(y, lower(e, f), 4);
    put(y += y_step, lower(o, p), 4);
    put(y += y_step, upper(e, f), 4);
    put(y += y_step, upper(o, p), 4);
}

INLINE void sixes(uint8_t *y, const uint8_t *x, int32_t x_line, int32_t y_step, uint32_t odds) {
    fours(y, x, x_line, y_step, odds);
    pairs(y + 4, x + 4 * x_line, x_line, y_step, odds);
}

typedef struct {
    int32_t n1, x1, y1, n0, x0, y0, x_line, places, y_step;
} loops_t;

/* `lines` of every transpose, `each` at a time; the last tile of a line may overlap the one before. */
INLINE void every(const loops_t *p, uint8_t *y, const uint8_t *x, int32_t lines, int32_t each, int32_t y_step,
                  tile_t *tile) {
    const int32_t places = p->places, x_line = p->x_line;
    const uint32_t odds = 0xff00ff00u;
    for (int32_t a = p->n1; a > 0; a--, x += p->x1, y += p->y1) {
        const uint8_t *begin = x;
        uint8_t *to = y;
        for (int32_t b = p->n0; b > 0; b--, begin += p->x0, to += p->y0) {
            const uint8_t *from = begin;
            for (int32_t line = 0; line < lines; line += each, from += each * x_line) {
                const uint8_t *at = from, *const last = from + (places - 4);
                uint8_t *out = to + line;
                for (; y_step == 2 && at < last - 3; at += 8, out += 8 * y_step) {
                    tile(out, at, x_line, y_step, odds);
                    tile(out + 4 * y_step, at + 4, x_line, y_step, odds);
                }
                for (; at <= last; at += 4, out += 4 * y_step) tile(out, at, x_line, y_step, odds);
                if (places & 3) tile(to + line + (places - 4) * y_step, last, x_line, y_step, odds);
            }
        }
    }
}

static void two_lines(const loops_t *p, uint8_t *y, const uint8_t *x, int32_t lines) {
    if (p->y_step == 2)
        every(p, y, x, lines, 2, 2, dense_pairs);
    else
        every(p, y, x, lines, 2, p->y_step, pairs);
}

static void four_lines(const loops_t *p, uint8_t *y, const uint8_t *x, int32_t lines) {
    if (p->y_step == 4)
        every(p, y, x, lines, 4, 4, fours);
    else
        every(p, y, x, lines, 4, p->y_step, fours);
}

/* The last line may be written twice. */
void mcf_transpose(const void *x, int32_t first, void *y, int32_t n1, int32_t x1, int32_t y1, int32_t n0, int32_t x0,
                   int32_t y0, int32_t lines, int32_t x_line, int32_t places, int32_t y_step) {
    const loops_t loops = {n1, x1, y1, n0, x0, y0, x_line, places, y_step};
    const uint8_t *from = (const uint8_t *)x + first;
    const int32_t most = lines & ~3, two = lines & 2, odd_line = lines - 2;
    if (lines == 6 && y_step == 6) {
        every(&loops, y, from, 6, 6, 6, sixes);
        return;
    }
    if (most) four_lines(&loops, y, from, most);
    if (two) two_lines(&loops, (uint8_t *)y + most, from + most * x_line, 2);
    if (lines & 1) two_lines(&loops, (uint8_t *)y + odd_line, from + odd_line * x_line, 2);
}

/* Each cycle a, b, c, ..., 65535: row a takes b's bytes, b takes c's, ..., the last takes a's. */
void mcf_permute(void *x, int32_t stride, int32_t row_bytes, const void *cycles, void *row) {
    for (int32_t i = 0; entry(cycles, i) != 65535; i++) {
        uint8_t *to = (uint8_t *)x + entry(cycles, i) * stride;
        __builtin_memcpy(row, to, (size_t)row_bytes);
        for (i++; entry(cycles, i) != 65535; i++) {
            uint8_t *from = (uint8_t *)x + entry(cycles, i) * stride;
            __builtin_memcpy(to, from, (size_t)row_bytes);
            to = from;
        }
        __builtin_memcpy(to, row, (size_t)row_bytes);
    }
}
