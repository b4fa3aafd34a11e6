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

/* Halfwords (a, b) of places 0 and 2, and of 1 and 3, of two words; lower halfwords of two words, and upper ones. */
#if MCF_DSP
#define TWO(name, text)                                                                                                \
    INLINE uint32_t name(uint32_t a, uint32_t b) {                                                                     \
        uint32_t r;                                                                                                    \
        __asm(text : "=r"(r) : "r"(a), "r"(b));                                                                        \
        return r;                                                                                                      \
    }
TWO(lower, "pkhbt %0, %1, %2, lsl #16")
TWO(upper, "pkhtb %0, %2, %1, asr #16")
INLINE uint32_t bytes(uint32_t a) {
    uint32_t r;
    __asm("uxtb16 %0, %1" : "=r"(r) : "r"(a));
    return r;
}
INLINE uint32_t next_bytes(uint32_t a) {
    uint32_t r;
    __asm("uxtb16 %0, %1, ror #8" : "=r"(r) : "r"(a));
    return r;
}
#else
INLINE uint32_t lower(uint32_t a, uint32_t b) {
    return (a & 0xffff) | b << 16;
}
INLINE uint32_t upper(uint32_t a, uint32_t b) {
    return a >> 16 | (b & 0xffff0000u);
}
INLINE uint32_t bytes(uint32_t a) {
    return a & 0x00ff00ffu;
}
INLINE uint32_t next_bytes(uint32_t a) {
    return a >> 8 & 0x00ff00ffu;
}
#endif
INLINE uint32_t even(uint32_t a, uint32_t b) {
    return bytes(a) | bytes(b) << 8;
}
INLINE uint32_t odd(uint32_t a, uint32_t b) {
    return next_bytes(a) | next_bytes(b) << 8;
}

INLINE uint32_t word(const uint8_t *x) {
    uint32_t w;
    __builtin_memcpy(&w, x, 4);
    return w;
}

INLINE void put(uint8_t *y, uint32_t w, size_t bytes) {
    __builtin_memcpy(y, &w, bytes);
}

/* n places (a multiple of 4) of 2 or 4 lines, x_line apart: y has the bytes of a place side by side. */
typedef void tiles_t(uint8_t *y, const uint8_t *x, int32_t x_line, int32_t n, int32_t y_step);

static void pairs(uint8_t *y, const uint8_t *x, int32_t x_line, int32_t n, int32_t y_step) {
    for (; n > 0; n -= 4, x += 4, y += 4 * y_step) {
        const uint32_t a = word(x), b = word(x + x_line), e = even(a, b), o = odd(a, b);
        put(y, e, 2);
        put(y + y_step, o, 2);
        put(y + 2 * y_step, e >> 16, 2);
        put(y + 3 * y_step, o >> 16, 2);
    }
}

/* The same where y_step is 2. */
static void dense_pairs(uint8_t *y, const uint8_t *x, int32_t x_line, int32_t n, int32_t y_step) {
    for (; n > 0; n -= 4, x += 4, y += 4 * y_step) {
        const uint32_t a = word(x), b = word(x + x_line), e = even(a, b), o = odd(a, b);
        put(y, lower(e, o), 4);
        put(y + 4, upper(e, o), 4);
    }
}

static void fours(uint8_t *y, const uint8_t *x, int32_t x_line, int32_t n, int32_t y_step) {
    for (; n > 0; n -= 4, x += 4) {
        const uint32_t a = word(x), b = word(x + x_line), c = word(x + 2 * x_line), d = word(x + 3 * x_line);
        const uint32_t e = even(a, b), o = odd(a, b), f = even(c, d), p = odd(c, d);
        put(y, lower(e, f), 4);
        put(y += y_step, lower(o, p), 4);
        put(y += y_step, upper(e, f), 4);
        put(y += y_step, upper(o, p), 4);
        y += y_step;
    }
}

/* One transpose; the last tiles of both sides may overlap those before. */
static void transpose(uint8_t *y, const uint8_t *x, int32_t lines, int32_t x_line, int32_t places, int32_t y_step) {
    const int32_t whole = places & ~3, last = places - 4;
    for (int32_t line = 0, count; line < lines; line += count) {
        count = lines - line >= 4 ? 4 : 2;
        tiles_t *const tiles = count == 4 ? fours : y_step == 2 ? dense_pairs : pairs;
        if (line + count > lines) line = lines - count;
        tiles(y + line, x + line * x_line, x_line, whole, y_step);
        if (places & 3) tiles(y + line + last * y_step, x + line * x_line + last, x_line, 4, y_step);
    }
}

void mcf_transpose(const void *x, int32_t first, void *y, int32_t n1, int32_t x1, int32_t y1, int32_t n0, int32_t x0,
                   int32_t y0, int32_t lines, int32_t x_line, int32_t places, int32_t y_step) {
    for (int32_t a = 0; a < n1; a++)
        for (int32_t b = 0; b < n0; b++)
            transpose((uint8_t *)y + a * y1 + b * y0, (const uint8_t *)x + first + a * x1 + b * x0, lines, x_line,
                      places, y_step);
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
