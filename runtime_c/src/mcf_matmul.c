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

/* Two neighbours in one int32, as SMLAD takes them. */
static inline void put_pair(int16_t *to, int32_t first, int32_t second) {
#if MCF_DSP
    const uint32_t both = ((uint32_t)first & 0xFFFF) | (uint32_t)second << 16;
    __builtin_memcpy(to, &both, 4);
#else
    to[0] = (int16_t)first;
    to[1] = (int16_t)second;
#endif
}

static inline int32_t factor(const side_t *x, const uint8_t *at) {
    const int32_t value = mcf_load(at, 0, x->type) - x->zp + (1 << x->shift >> 1);
    return mcf_saturate(value >> x->shift, MCF_S16);
}

/* `count` numbers of one vector, a zero behind an odd count; pairs `lanes` pairs apart. */
static void expand_vector(const side_t *x, const uint8_t *from, int32_t count, int32_t lanes, int16_t *to) {
    const ptrdiff_t along = x->along;
    const int32_t step = 2 * lanes;
    const int32_t zp = x->zp;
    if (x->type == MCF_S8 && !x->shift) {
        const int8_t *at = (const int8_t *)from;
        for (int32_t k = count >> 1; k > 0; k--, to += step) {
            const int32_t first = *at - zp;
            at += along;
            put_pair(to, first, *at - zp);
            at += along;
        }
        if (count & 1) put_pair(to, *at - zp, 0);
    } else {
        for (int32_t k = count >> 1; k > 0; k--, from += 2 * along, to += step)
            put_pair(to, factor(x, from), factor(x, from + along));
        if (count & 1) put_pair(to, factor(x, from), 0);
    }
}

/* Numbers k0 .. k0+count-1 of some vectors, `lanes` of them side by side; the last one again where they are fewer. */
static void expand(const side_t *x, int32_t vectors, int32_t k0, int32_t count, int32_t lanes, int16_t *to) {
    const uint8_t *from = x->at + k0 * x->along;
    const int32_t block = lanes * ((count + 1) & ~1);
    for (int32_t v = 0; v < vectors; v += lanes, to += block)
        for (int32_t lane = 0; lane < lanes; lane++) {
            expand_vector(x, from, count, lanes, to + 2 * lane);
            if (v + lane + 1 < vectors) from += x->next;
        }
}

#if MCF_DSP
static inline int32_t pair_at(const int16_t *at) {
    int32_t both;
    __builtin_memcpy(&both, at, 4);
    return both;
}
#endif

/* Sums of two vectors with COLUMNS others; `pairs` of numbers. Not inlined: its sums stay in registers. */
static __attribute__((noinline)) void dot(const int16_t *a, const int16_t *b, int32_t pairs, int32_t *sums) {
#if MCF_DSP
    const int16_t *const end = a + 4 * pairs;
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    int32_t t0 = sums[4], t1 = sums[5], t2 = sums[6], t3 = sums[7];
    do {
        const int32_t x = pair_at(a), y = pair_at(a + 2);
        int32_t w = pair_at(b);
        s0 = __smlad(x, w, s0);
        t0 = __smlad(y, w, t0);
        w = pair_at(b + 2);
        s1 = __smlad(x, w, s1);
        t1 = __smlad(y, w, t1);
        w = pair_at(b + 4);
        s2 = __smlad(x, w, s2);
        t2 = __smlad(y, w, t2);
        w = pair_at(b + 6);
        s3 = __smlad(x, w, s3);
        t3 = __smlad(y, w, t3);
        a += 4;
        b += 8;
    } while (a != end);
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
    sums[4] = t0, sums[5] = t1, sums[6] = t2, sums[7] = t3;
#else
    for (int32_t i = 0; i < pairs; i++, a += 4, b += 8)
        for (int32_t c = 0; c < COLUMNS; c++) {
            sums[c] += a[0] * b[2 * c] + a[1] * b[2 * c + 1];
            sums[COLUMNS + c] += a[2] * b[2 * c] + a[3] * b[2 * c + 1];
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
                         int16_t *columns) {
    const int32_t most = p->k < SPAN ? p->k : SPAN;
    int16_t *const wide = columns + COLUMNS * ((most + 1) & ~1);
    for (int32_t n = 0; n < p->n; n += COLUMNS) {
        const int32_t count = p->n - n < COLUMNS ? p->n - n : COLUMNS;
        const side_t some = {b->at + n * b->next, b->next, b->along, b->zp, b->type, b->shift};
        int32_t sums[VECTORS][COLUMNS] = {0}; /* an odd last vector is its own partner */
        for (int32_t k = 0; k < p->k; k += SPAN) {
            const int32_t span = p->k - k < SPAN ? p->k - k : SPAN, wide_span = (span + 1) & ~1;
            if (n == 0 || p->k > SPAN) expand(a, vectors, k, span, 2, wide);
            expand(&some, count, k, span, COLUMNS, columns);
            for (int32_t v = 0; v < vectors; v += 2) dot(wide + v * wide_span, columns, wide_span / 2, sums[v]);
        }
        for (int32_t v = 0; v < vectors; v++) store(p, sums[v], y->at + v * y->next + n * y->along, y->along, count);
    }
}

/* Any number of vectors of one batch. */
static void batch(const mcf_matmul_t *p, side_t a, side_t b, result_t y, int32_t vectors, int16_t *scratch) {
    for (; vectors > 0; vectors -= VECTORS) {
        some_vectors(p, &a, &b, &y, vectors < VECTORS ? vectors : VECTORS, scratch);
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
                const side_t left_side = {from,
                                          bytes(s + A + 4, a_stride, a_size),
                                          bytes(s + A + 6, a_stride, a_size),
                                          p->a_zp,
                                          p->a_type,
                                          p->a_shift};
                const side_t right_side = {with,
                                           bytes(s + B + 4, b_stride, b_size),
                                           bytes(s + B + 6, b_stride, b_size),
                                           p->b_zp,
                                           p->b_type,
                                           p->b_shift};
                const result_t to = {(uint8_t *)y + (ptrdiff_t)(row - row0) * y_stride + y_column * y_size,
                                     bytes(s + Y + 4, y_stride, y_size), bytes(s + Y + 6, y_stride, y_size)};
                batch(p, left_side, right_side, to, by_m ? some : p->m, scratch);
            }
    }
}
