/* SPDX-License-Identifier: Apache-2.0 */
/* q_add, q_requant and q_mul of docs/adr/0002: one loop each, compiled for int8, for int16 and for mixed rows. */
#include "mcf_elementwise.h"

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

ROW mul_row(const mcf_mul_t *p, const void *a, const void *b, void *y, int ta, int tb, int ty) {
    const int32_t *post = p->post, shift = p->shift, acc_shift = p->acc_shift, a_zp = p->a_zp, b_zp = p->b_zp;
    const int32_t channels = p->channels;
    for (int32_t c = 0; c < channels; c++, post += 2) {
        const int32_t acc = (mcf_load(a, c, ta) - a_zp) * (mcf_load(b, c, tb) - b_zp);
        const int32_t t = mcf_hi((int32_t)((uint32_t)acc << acc_shift), post[0]) + post[1];
        mcf_store(y, c, ty, mcf_saturate(t >> shift, ty));
    }
}

static int all(int a, int b, int y, int type) {
    return a == type && b == type && y == type;
}

void mcf_add(const mcf_add_t *p, const void *a, int32_t a_stride, const void *b, int32_t b_stride, void *y,
             int32_t y_stride, int32_t rows) {
    const int small = all(p->a_type, p->b_type, p->y_type, MCF_S8),
              wide = all(p->a_type, p->b_type, p->y_type, MCF_S16);
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
             int32_t y_stride, int32_t rows) {
    const int small = all(p->a_type, p->b_type, p->y_type, MCF_S8),
              wide = all(p->a_type, p->b_type, p->y_type, MCF_S16);
    for (int32_t i = 0; i < rows; i++) {
        if (small)
            mul_row(p, a, b, y, MCF_S8, MCF_S8, MCF_S8);
        else if (wide)
            mul_row(p, a, b, y, MCF_S16, MCF_S16, MCF_S16);
        else
            mul_row(p, a, b, y, p->a_type, p->b_type, p->y_type);
        a = (const uint8_t *)a + a_stride;
        b = (const uint8_t *)b + b_stride;
        y = (uint8_t *)y + y_stride;
    }
}
