/* SPDX-License-Identifier: Apache-2.0 */
/* q_matmul of docs/adr/0002: vectors of a and of b are expanded to int16, whatever their steps, then multiplied. */
#include "mcf_matmul.h"

enum { VECTORS = MCF_MATMUL_VECTORS, COLUMNS = MCF_MATMUL_COLUMNS, SPAN = MCF_MATMUL_SPAN };
enum { A = 0, B = 8, Y = 16 }; /* places of the steps */

/* Bytes to the next vector, and to the next number of one. */
typedef struct {
    const uint8_t *at;
    ptrdiff_t next, along;
    int32_t zp;
    uint8_t type, shift;
} side_t;

typedef struct {
    uint8_t *at;
    ptrdiff_t next, along;
} result_t;

static inline ptrdiff_t bytes(const int32_t *step, int32_t stride, int32_t size) {
    return (ptrdiff_t)step[0] * stride + (ptrdiff_t)step[1] * size;
}

static void expand_bytes(const int8_t *x, ptrdiff_t along, int32_t zp, int16_t *to, int32_t count) {
    for (int32_t k = 0; k < count; k++, x += along) to[k] = (int16_t)(*x - zp);
}

/* Numbers k0 .. k0+count-1 of some vectors; a zero makes an odd count even. */
static void expand(const side_t *x, int32_t vectors, int32_t k0, int32_t count, int16_t *to) {
    const uint8_t *from = x->at + k0 * x->along;
    const int32_t half = 1 << x->shift >> 1;
    for (int32_t v = 0; v < vectors; v++, from += x->next) {
        if (x->type == MCF_S8 && !x->shift) {
            expand_bytes((const int8_t *)from, x->along, x->zp, to, count);
        } else {
            for (int32_t k = 0; k < count; k++) {
                const int32_t value = mcf_load(from + k * x->along, 0, x->type) - x->zp + half;
                to[k] = (int16_t)mcf_saturate(value >> x->shift, MCF_S16);
            }
        }
        to += count;
        if (count & 1) *to++ = 0;
    }
}

/* Sums of two vectors with COLUMNS others; `pairs` of numbers. */
static void dot(const int16_t *a0, const int16_t *a1, const int16_t *b, int32_t pairs, int32_t *sums0, int32_t *sums1) {
    const int16_t *b1 = b + 2 * pairs, *b2 = b1 + 2 * pairs, *b3 = b2 + 2 * pairs;
#if MCF_DSP
    int32_t s0 = sums0[0], s1 = sums0[1], s2 = sums0[2], s3 = sums0[3];
    int32_t t0 = sums1[0], t1 = sums1[1], t2 = sums1[2], t3 = sums1[3];
    for (int32_t i = 0; i < pairs; i++) {
        int32_t x, y, w;
        __builtin_memcpy(&x, a0 + 2 * i, 4);
        __builtin_memcpy(&y, a1 + 2 * i, 4);
        __builtin_memcpy(&w, b + 2 * i, 4);
        s0 = __smlad(x, w, s0);
        t0 = __smlad(y, w, t0);
        __builtin_memcpy(&w, b1 + 2 * i, 4);
        s1 = __smlad(x, w, s1);
        t1 = __smlad(y, w, t1);
        __builtin_memcpy(&w, b2 + 2 * i, 4);
        s2 = __smlad(x, w, s2);
        t2 = __smlad(y, w, t2);
        __builtin_memcpy(&w, b3 + 2 * i, 4);
        s3 = __smlad(x, w, s3);
        t3 = __smlad(y, w, t3);
    }
    sums0[0] = s0, sums0[1] = s1, sums0[2] = s2, sums0[3] = s3;
    sums1[0] = t0, sums1[1] = t1, sums1[2] = t2, sums1[3] = t3;
#else
    for (int32_t i = 0; i < 2 * pairs; i++) {
        const int32_t x = a0[i], y = a1[i];
        sums0[0] += x * b[i], sums0[1] += x * b1[i], sums0[2] += x * b2[i], sums0[3] += x * b3[i];
        sums1[0] += y * b[i], sums1[1] += y * b1[i], sums1[2] += y * b2[i], sums1[3] += y * b3[i];
    }
#endif
}

static void store(const mcf_matmul_t *p, const int32_t *sums, uint8_t *y, ptrdiff_t along, int32_t columns) {
    for (int32_t c = 0; c < columns; c++, y += along) {
        const int32_t value = (mcf_hi((int32_t)((uint32_t)sums[c] << p->acc_shift), p->mult) + p->offset) >> p->shift;
        mcf_store(y, 0, p->y_type, mcf_saturate(value, p->y_type));
    }
}

/* At most VECTORS vectors of a with all of b. */
static void some_vectors(const mcf_matmul_t *p, const side_t *a, const side_t *b, const result_t *y, int32_t vectors,
                         int16_t *wide) {
    const int32_t most = p->k < SPAN ? p->k : SPAN;
    int16_t *const columns = wide + VECTORS * ((most + 1) & ~1);
    for (int32_t n = 0; n < p->n; n += COLUMNS) {
        const int32_t count = p->n - n < COLUMNS ? p->n - n : COLUMNS;
        const side_t some = {b->at + n * b->next, b->next, b->along, b->zp, b->type, b->shift};
        int32_t sums[VECTORS + 1][COLUMNS] = {0}; /* an odd last vector is its own partner, in the last row */
        for (int32_t k = 0; k < p->k; k += SPAN) {
            const int32_t span = p->k - k < SPAN ? p->k - k : SPAN, wide_span = (span + 1) & ~1;
            if (n == 0 || p->k > SPAN) expand(a, vectors, k, span, wide);
            expand(&some, count, k, span, columns);
            for (int32_t v = 0; v < vectors; v += 2) {
                const int16_t *const at = wide + v * wide_span;
                const int single = v + 1 == vectors;
                dot(at, single ? at : at + wide_span, columns, wide_span / 2, sums[v], sums[single ? VECTORS : v + 1]);
            }
        }
        for (int32_t v = 0; v < vectors; v++)
            store(p, sums[v], y->at + v * y->next + n * y->along, y->along, count);
    }
}

/* Vectors m0 .. m0+vectors-1 of one batch. a_row and y_row: what a and y point at. */
static void batch(const mcf_matmul_t *p, side_t a, side_t b, result_t y, int32_t vectors, int16_t *wide) {
    for (; vectors > 0; vectors -= VECTORS) {
        some_vectors(p, &a, &b, &y, vectors < VECTORS ? vectors : VECTORS, wide);
        a.at += VECTORS * a.next;
        y.at += VECTORS * y.next;
    }
}

void mcf_matmul(const mcf_matmul_t *p, const void *a, int32_t a_stride, const void *b, int32_t b_stride, void *y,
                int32_t y_stride, int32_t row0, int32_t rows, void *scratch) {
    const int32_t *const s = p->steps, *const in_rows = s + Y; /* steps of y's rows are 0 along its columns' axes */
    const int32_t a_size = mcf_size(p->a_type), b_size = mcf_size(p->b_type), y_size = mcf_size(p->y_type);
    const int32_t end = row0 + rows, a_row0 = p->row_wise ? row0 : 0, by_m = in_rows[4];
    int32_t some;
    for (int32_t row = row0; row < end; row += some) {
        const int32_t m0 = by_m ? row % p->m : 0, left = p->m - m0;
        const int32_t g0 = in_rows[0] ? row / in_rows[0] % p->g : 0, g1 = in_rows[0] ? g0 + 1 : p->g;
        const int32_t h0 = in_rows[2] ? row / in_rows[2] % p->h : 0, h1 = in_rows[2] ? h0 + 1 : p->h;
        some = !by_m ? 1 : left < end - row ? left : end - row;
        for (int32_t g = g0; g < g1; g++)
            for (int32_t h = h0; h < h1; h++) {
                const int32_t a_row = g * s[A] + h * s[A + 2] + m0 * s[A + 4] - a_row0;
                const int32_t a_column = g * s[A + 1] + h * s[A + 3] + m0 * s[A + 5];
                const int32_t b_row = g * s[B] + h * s[B + 2], b_column = g * s[B + 1] + h * s[B + 3];
                const int32_t y_column = g * s[Y + 1] + h * s[Y + 3];
                const uint8_t *const from = (const uint8_t *)a + (ptrdiff_t)a_row * a_stride + a_column * a_size;
                const uint8_t *const with = (const uint8_t *)b + (ptrdiff_t)b_row * b_stride + b_column * b_size;
                const side_t left_side = {from, bytes(s + A + 4, a_stride, a_size), bytes(s + A + 6, a_stride, a_size),
                                          p->a_zp, p->a_type, p->a_shift};
                const side_t right_side = {with, bytes(s + B + 4, b_stride, b_size), bytes(s + B + 6, b_stride, b_size),
                                           p->b_zp, p->b_type, p->b_shift};
                const result_t to = {(uint8_t *)y + (ptrdiff_t)(row - row0) * y_stride + y_column * y_size,
                                     bytes(s + Y + 4, y_stride, y_size), bytes(s + Y + 6, y_stride, y_size)};
                batch(p, left_side, right_side, to, by_m ? some : p->m, scratch);
            }
    }
}
