/* SPDX-License-Identifier: Apache-2.0 */
/* Resizing, an output line at a time: lines are mixed in the scratch, then pixels of what they made. */
#include "mcf_resize.h"

#define INLINE static inline __attribute__((always_inline))

enum { HALF = 64 }; /* of 2^16 by weights that sum to 512 */

typedef uint32_t __attribute__((may_alias)) word_t;

INLINE uint32_t word(const uint8_t *from) {
    uint32_t v;
    __builtin_memcpy(&v, from, 4);
    return v;
}

/* Halves of two registers side by side: both low ones, both high ones. */
INLINE uint32_t lows(uint32_t a, uint32_t b) {
#if MCF_DSP
    uint32_t v; /* compilers make three instructions of it */
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(v) : "r"(a), "r"(b));
    return v;
#else
    return (a & 0xFFFF) | b << 16;
#endif
}

INLINE uint32_t highs(uint32_t a, uint32_t b) {
#if MCF_DSP
    uint32_t v;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(v) : "r"(b), "r"(a));
    return v;
#else
    return a >> 16 | (b & 0xFFFF0000);
#endif
}

/* Bytes 0 and 2, or 1 and 3, as halves; t + a*b. Compilers make two instructions of each. */
INLINE uint32_t evens(uint32_t v) {
#if MCF_DSP
    return __uxtb16(v);
#else
    return v & 0x00FF00FF;
#endif
}

INLINE uint32_t odds(uint32_t v) {
#if MCF_DSP
    uint32_t two;
    __asm__("uxtb16 %0, %1, ror #8" : "=r"(two) : "r"(v));
    return two;
#else
    return v >> 8 & 0x00FF00FF;
#endif
}

INLINE uint32_t plus(uint32_t t, uint32_t a, uint32_t b) {
#if MCF_DSP
    uint32_t v;
    __asm__("mla %0, %1, %2, %3" : "=r"(v) : "r"(a), "r"(b), "r"(t));
    return v;
#else
    return t + a * b;
#endif
}

/* Bytes as 0..255: signed ones `flip` their highest bit, which adds 128; since weights sum to 1, y has the same 128 too
 * much. v = wa*a + wb*b, 15 bits, two by two in a register, and the half of a step by which y is rounded. */
INLINE void mix(const uint8_t *a, const uint8_t *b, uint32_t wa, uint32_t wb, uint32_t flip, uint16_t *v, int32_t n) {
    const uint32_t half = HALF << 16 | HALF;
    for (; n >= 4; n -= 4, a += 4, b += 4, v += 4) {
        const uint32_t u = word(a) ^ flip, w = word(b) ^ flip;
        const uint32_t even = plus(plus(half, evens(u), wa), evens(w), wb);
        const uint32_t odd = plus(plus(half, odds(u), wa), odds(w), wb);
        const uint32_t first = lows(even, odd), second = highs(even, odd);
        ((word_t *)v)[0] = first;
        ((word_t *)v)[1] = second;
    }
    for (; n > 0; n--) *v++ = (uint16_t)((*a++ ^ (flip & 0x80)) * wa + (*b++ ^ (flip & 0x80)) * wb + HALF);
}

/* The halves of `pair` times two weights: a byte above 16 bits of fraction. */
INLINE uint32_t weighted(uint32_t pair, uint32_t w) {
#if MCF_DSP
    return (uint32_t)__smuad((int32_t)pair, (int32_t)w);
#else
    return (pair & 0xFFFF) * (w & 0xFFFF) + (pair >> 16) * (w >> 16);
#endif
}

/* Four channels between those at a and b, of which the halves of two registers hold two each. */
INLINE void four(uint32_t a0, uint32_t a1, uint32_t b0, uint32_t b1, uint32_t w, uint32_t flip, uint8_t *y) {
    const uint32_t even = highs(weighted(lows(a0, b0), w), weighted(lows(a1, b1), w));
    const uint32_t odd = highs(weighted(highs(a0, b0), w), weighted(highs(a1, b1), w));
    const uint32_t v = (even | odd << 8) ^ flip;
    __builtin_memcpy(y, &v, 4);
}

/* A pixel of `n` channels, a multiple of 4, between pixels a and b of a mixed line. */
INLINE uint8_t *words_between(const word_t *a, const word_t *b, uint32_t w, uint32_t flip, uint8_t *y, int32_t n) {
    uint8_t *const end = y + n;
    for (; y != end; y += 4, a += 2, b += 2) four(a[0], a[1], b[0], b[1], w, flip, y);
    return y;
}

/* The same of any number of channels. */
INLINE uint8_t *between(const uint16_t *a, const uint16_t *b, uint32_t w, uint32_t flip, uint8_t *y, int32_t n) {
    uint32_t a0, a1, b0, b1;
    for (; n >= 4; n -= 4, a += 4, b += 4, y += 4) {
        __builtin_memcpy(&a0, a, 4);
        __builtin_memcpy(&a1, a + 2, 4);
        __builtin_memcpy(&b0, b, 4);
        __builtin_memcpy(&b1, b + 2, 4);
        four(a0, a1, b0, b1, w, flip, y);
    }
    for (; n > 0; n--) *y++ = (uint8_t)(weighted(lows(*a++, *b++), w) >> 16 ^ (flip & 0x80));
    return y;
}

/* Output line i of bytes. */
static uint8_t *paired(const mcf_resize_t *p, const uint8_t *x, int32_t x_row0, int32_t i, uint16_t *v, uint8_t *y) {
    const int32_t c = p->channels, line = p->width * c;
    const int16_t *rows = p->rows + 2 * i, *wy = p->wy + 2 * i, *at = p->columns, *wx = p->wx;
    const int16_t *const end = wx + 2 * p->out_width;
    const uint32_t flip = p->type == MCF_S8 ? 0x80808080 : 0;
    mix(x + (rows[0] - x_row0) * line, x + (rows[1] - x_row0) * line, (uint32_t)wy[0], (uint32_t)wy[1], flip, v, line);
    uint32_t w;
    if (c % 4 == 0)
        for (; wx != end; wx += 2, at += 2) {
            __builtin_memcpy(&w, wx, 4);
            y = words_between((const word_t *)(v + at[0] * c), (const word_t *)(v + at[1] * c), w, flip, y, c);
        }
    else
        for (; wx != end; wx += 2, at += 2) {
            __builtin_memcpy(&w, wx, 4);
            y = between(v + at[0] * c, v + at[1] * c, w, flip, y, c);
        }
    return y;
}

INLINE void store(uint8_t *y, int32_t i, int type, int32_t t) {
    mcf_store(y, i, type, type == MCF_U8 ? mcf_clamp(t, 0, 255) : mcf_saturate(t, type));
}

/* Output line i of any taps. */
INLINE uint8_t *summed(const mcf_resize_t *p, const uint8_t *x, int32_t x_row0, int32_t i, int32_t *v, uint8_t *y,
                       int type) {
    const int32_t c = p->channels, elements = p->width * c, line = elements * mcf_size(type);
    const int32_t m = p->taps_h, n = p->taps_w, drop = p->bits_h - p->kept, shift = p->bits_w + p->kept;
    const int16_t *w = p->wy + i * m, *at = p->rows + i * m;
    for (int32_t t = 0; t < m; t++) {
        const uint8_t *const from = x + (at[t] - x_row0) * line;
        const int32_t by = w[t], right = t == m - 1 ? drop : 0;
        for (int32_t k = 0; k < elements; k++)
            v[k] = ((t ? v[k] : 1 << drop >> 1) + by * mcf_load(from, k, type)) >> right;
    }
    w = p->wx;
    at = p->columns;
    for (int32_t j = 0; j < p->out_width; j++, w += n, at += n, y += c * mcf_size(type))
        for (int32_t k = 0; k < c; k++) {
            int32_t sum = 1 << (shift - 1);
            for (int32_t t = 0; t < n; t++) sum += w[t] * v[at[t] * c + k];
            store(y, k, type, sum >> shift);
        }
    return y;
}

void mcf_resize(const mcf_resize_t *p, const void *x, int32_t x_row0, void *y, int32_t y_row0, int32_t y_rows,
                void *scratch) {
    uint8_t *to = y;
    for (int32_t i = y_row0; i < y_row0 + y_rows; i++) {
        if (p->pairs)
            to = paired(p, x, x_row0, i, scratch, to);
        else if (p->type == MCF_S8)
            to = summed(p, x, x_row0, i, scratch, to, MCF_S8);
        else if (p->type == MCF_U8)
            to = summed(p, x, x_row0, i, scratch, to, MCF_U8);
        else
            to = summed(p, x, x_row0, i, scratch, to, MCF_S16);
    }
}
