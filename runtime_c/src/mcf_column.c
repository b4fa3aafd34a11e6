/* SPDX-License-Identifier: Apache-2.0 */
/* q_add and q_mul of docs/adr/0002 where b is [T, 1]: its number of the row stays in a register. */
#include "mcf_elementwise.h"

#define ROW static inline __attribute__((always_inline)) void

ROW add_row(const mcf_add_t *p, const void *a, int32_t b, void *y, int ta, int ty) {
    const int32_t *post = p->post, shift = p->shift, channels = p->channels;
    for (int32_t c = 0; c < channels; c++, post += 3) {
        const int32_t t = post[0] + mcf_load(a, c, ta) * post[1] + b * post[2];
        mcf_store(y, c, ty, mcf_saturate(t >> shift, ty));
    }
}

ROW mul_row(const mcf_mul_t *p, const void *a, int32_t b, void *y, int ta, int ty) {
    const int32_t *post = p->post, shift = p->shift, acc_shift = p->acc_shift, a_zp = p->a_zp;
    const int32_t channels = p->channels;
    for (int32_t c = 0; c < channels; c++, post += 2) {
        const int32_t acc = (mcf_load(a, c, ta) - a_zp) * b;
        const int32_t t = mcf_hi((int32_t)((uint32_t)acc << acc_shift), post[0]) + post[1];
        mcf_store(y, c, ty, mcf_saturate(t >> shift, ty));
    }
}

void mcf_add_column(const mcf_add_t *p, const void *a, int32_t a_stride, const void *b, int32_t b_stride, void *y,
                    int32_t y_stride, int32_t rows) {
    const int small = p->a_type == MCF_S8 && p->y_type == MCF_S8, wide = p->a_type == MCF_S16 && p->y_type == MCF_S16;
    for (int32_t i = 0; i < rows; i++) {
        const int32_t of_row = mcf_load(b, 0, p->b_type);
        if (small)
            add_row(p, a, of_row, y, MCF_S8, MCF_S8);
        else if (wide)
            add_row(p, a, of_row, y, MCF_S16, MCF_S16);
        else
            add_row(p, a, of_row, y, p->a_type, p->y_type);
        a = (const uint8_t *)a + a_stride;
        b = (const uint8_t *)b + b_stride;
        y = (uint8_t *)y + y_stride;
    }
}

void mcf_mul_column(const mcf_mul_t *p, const void *a, int32_t a_stride, const void *b, int32_t b_stride, void *y,
                    int32_t y_stride, int32_t rows, void *scratch) {
    (void)scratch;
    const int small = p->a_type == MCF_S8 && p->y_type == MCF_S8, wide = p->a_type == MCF_S16 && p->y_type == MCF_S16;
    for (int32_t i = 0; i < rows; i++) {
        const int32_t of_row = mcf_load(b, 0, p->b_type) - p->b_zp;
        if (small)
            mul_row(p, a, of_row, y, MCF_S8, MCF_S8);
        else if (wide)
            mul_row(p, a, of_row, y, MCF_S16, MCF_S16);
        else
            mul_row(p, a, of_row, y, p->a_type, p->y_type);
        a = (const uint8_t *)a + a_stride;
        b = (const uint8_t *)b + b_stride;
        y = (uint8_t *)y + y_stride;
    }
}
