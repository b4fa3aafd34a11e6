/* SPDX-License-Identifier: Apache-2.0 */
/* q_add, q_requant and q_mul of docs/adr/0002: one loop each, compiled for int8, for int16 and for mixed rows. */
#include "mcf_elementwise.h"

#include "mcf_elementwise_dsp.h"

#define ROW static inline __attribute__((always_inline)) void

ROW add_row(const mcf_add_t *p, const void *a, const void *b, void *y, int ta, int tb, int ty) {
    const int32_t *post = p->post, shift = p->shift, channels = p->channels;
    for (int32_t c = 0; c < channels; c++, post += 3) {
        const int32_t t = post[0] + mcf_load(a, c, ta) * post[1] + mcf_load(b, c, tb) * post[2];
        mcf_store(y, c, ty, mcf_saturate(t >> shift, ty));
    }
}

ROW requant_row(const mcf_add_t *p, const void *a, void *y, int ta, int ty) {
    const int32_t *post = p->post, shift = p->shift, channels = p->channels;
    for (int32_t c = 0; c < channels; c++, post += 2) {
        const int32_t t = post[0] + mcf_load(a, c, ta) * post[1];
        mcf_store(y, c, ty, mcf_saturate(t >> shift, ty));
    }
}

/* From channel `c` on. */
ROW mul_row(const mcf_mul_t *p, const void *a, const void *b, void *y, int32_t c, int ta, int tb, int ty) {
    const int32_t shift = p->shift, acc_shift = p->acc_shift, a_zp = p->a_zp, b_zp = p->b_zp, channels = p->channels;
    for (const int32_t *post = p->post + 2 * c; c < channels; c++, post += 2) {
        const int32_t acc = (mcf_load(a, c, ta) - a_zp) * (mcf_load(b, c, tb) - b_zp);
        const int32_t t = mcf_hi((int32_t)((uint32_t)acc << acc_shift), post[0]) + post[1];
        mcf_store(y, c, ty, mcf_saturate(t >> shift, ty));
    }
}

/* From channel `c` on, of a narrow sum. */
static void narrow_sums(const mcf_add_t *p, const int8_t *a, const int8_t *b, int8_t *y, int32_t c) {
    for (; c < p->channels; c++) {
        const int32_t factors = p->post[2 * c], offset = p->post[2 * c + 1];
        const int32_t t = offset + a[c] * (int16_t)factors + b[c] * (factors >> 16);
        y[c] = (int8_t)mcf_saturate(t >> MCF_ADD_SHIFT, MCF_S8);
    }
}

static void narrow_add(const mcf_add_t *p, const int8_t *a, int32_t a_stride, const int8_t *b, int32_t b_stride,
                       int8_t *y, int32_t y_stride, int32_t rows) {
    int32_t done = 0;
#if MCF_DSP
    const int8_t *a_row = a, *b_row = b;
    int8_t *y_row = y;
    done = p->channels & ~3;
    for (int32_t i = done ? rows : 0; i > 0; i--) {
        mcf_add_s8(p->post, a_row, b_row, y_row, done / 4);
        a_row += a_stride;
        b_row += b_stride;
        y_row += y_stride;
    }
    if (done == p->channels) return;
#endif
    for (int32_t i = 0; i < rows; i++) narrow_sums(p, a + i * a_stride, b + i * b_stride, y + i * y_stride, done);
}

#if MCF_DSP

static uint32_t both(int32_t low, int32_t high) {
    return (uint32_t)(uint16_t)low | (uint32_t)high << 16;
}

/* Of a narrow product, but for the last channels. */
static void narrow_rows(const mcf_mul_t *p, const void *a, int32_t a_stride, const void *b, int32_t b_stride, void *y,
                        int32_t y_stride, int32_t rows) {
    const uint32_t zeros = both(-p->a_zp, -p->b_zp);
    for (int32_t i = 0; i < rows; i++) {
        mcf_mul_s8(p->post, a, b, y, p->channels / 4, zeros);
        a = (const uint8_t *)a + a_stride;
        b = (const uint8_t *)b + b_stride;
        y = (uint8_t *)y + y_stride;
    }
}

/* The same by one row of b: what a channel of it and mult make is the same for all rows. */
static void gate_rows(const mcf_mul_t *p, const void *a, int32_t a_stride, const int8_t *b, void *y, int32_t y_stride,
                      int32_t rows, int32_t *factors) {
    const uint32_t zeros = both(-p->a_zp, -p->a_zp);
    for (int32_t c = 0; c < (p->channels & ~3); c++) {
        factors[2 * c] = (b[c] - p->b_zp) * (p->post[2 * c] >> 1);
        factors[2 * c + 1] = p->post[2 * c + 1];
    }
    for (int32_t i = 0; i < rows; i++) {
        mcf_gate_s8(factors, a, y, p->channels / 4, zeros);
        a = (const uint8_t *)a + a_stride;
        y = (uint8_t *)y + y_stride;
    }
}

#endif

static int all(int a, int b, int y, int type) {
    return a == type && b == type && y == type;
}

void mcf_add(const mcf_add_t *p, const void *a, int32_t a_stride, const void *b, int32_t b_stride, void *y,
             int32_t y_stride, int32_t rows) {
    const int small = all(p->a_type, p->b_type, p->y_type, MCF_S8),
              wide = all(p->a_type, p->b_type, p->y_type, MCF_S16);
    if (p->narrow) {
        narrow_add(p, a, a_stride, b, b_stride, y, y_stride, rows);
        return;
    }
    for (int32_t i = 0; i < rows; i++) {
        if (small)
            add_row(p, a, b, y, MCF_S8, MCF_S8, MCF_S8);
        else if (wide)
            add_row(p, a, b, y, MCF_S16, MCF_S16, MCF_S16);
        else
            add_row(p, a, b, y, p->a_type, p->b_type, p->y_type);
        a = (const uint8_t *)a + a_stride;
        b = (const uint8_t *)b + b_stride;
        y = (uint8_t *)y + y_stride;
    }
}

void mcf_requant(const mcf_add_t *p, const void *a, int32_t a_stride, void *y, int32_t y_stride, int32_t rows) {
    const int small = all(p->a_type, p->a_type, p->y_type, MCF_S8);
    for (int32_t i = 0; i < rows; i++) {
        if (small)
            requant_row(p, a, y, MCF_S8, MCF_S8);
        else
            requant_row(p, a, y, p->a_type, p->y_type);
        a = (const uint8_t *)a + a_stride;
        y = (uint8_t *)y + y_stride;
    }
}

void mcf_mul(const mcf_mul_t *p, const void *a, int32_t a_stride, const void *b, int32_t b_stride, void *y,
             int32_t y_stride, int32_t rows, void *scratch) {
    const int small = all(p->a_type, p->b_type, p->y_type, MCF_S8),
              wide = all(p->a_type, p->b_type, p->y_type, MCF_S16);
    int32_t done = 0;
    (void)scratch;
#if MCF_DSP
    if (p->narrow && p->channels >= 4) {
        done = p->channels & ~3;
        if (scratch && b_stride == 0)
            gate_rows(p, a, a_stride, b, y, y_stride, rows, scratch);
        else
            narrow_rows(p, a, a_stride, b, b_stride, y, y_stride, rows);
        if (done == p->channels) return;
    }
#endif
    for (int32_t i = 0; i < rows; i++) {
        if (small)
            mul_row(p, a, b, y, done, MCF_S8, MCF_S8, MCF_S8);
        else if (wide)
            mul_row(p, a, b, y, 0, MCF_S16, MCF_S16, MCF_S16);
        else
            mul_row(p, a, b, y, 0, p->a_type, p->b_type, p->y_type);
        a = (const uint8_t *)a + a_stride;
        b = (const uint8_t *)b + b_stride;
        y = (uint8_t *)y + y_stride;
    }
}
