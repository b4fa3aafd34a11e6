/* SPDX-License-Identifier: Apache-2.0 */
/* q_power of docs/adr/0002: a mantissa of 16 bits, so that small numbers are as exact as large ones. */
#include "mcf_power.h"
#include "mcf_root.h"

static int32_t power_of(const mcf_power_t *p, int32_t q) {
    int32_t e;
    if (p->halves == -2) {
        const uint32_t d = q > 0 ? (uint32_t)q : q < 0 ? (uint32_t)-q : 1;
        const int32_t bits = 32 - __builtin_clz(d);
        const uint32_t r = 0x80000000u / (d << (16 - bits));
        const int32_t y = mcf_rounded(r * (uint32_t)p->gain, p->gain_exp + bits);
        return q < 0 ? -y : y;
    }
    const uint32_t root = mcf_root(q > 0 ? (uint32_t)q : 1, &e);
    if (p->halves == 1) return q > 0 ? mcf_rounded(root * (uint32_t)p->gain, p->gain_exp - (e >> 1)) : 0;
    return mcf_rounded((0x80000000u / root) * (uint32_t)p->gain, p->gain_exp + (e >> 1));
}

void mcf_power(const mcf_power_t *p, const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t rows) {
    for (int32_t i = 0; i < rows; i++) {
        for (int32_t c = 0; c < p->channels; c++) {
            const int32_t v = power_of(p, mcf_load(x, c, p->x_type) - p->x_zp);
            mcf_store(y, c, p->y_type, mcf_saturate(v + p->zp, p->y_type));
        }
        x = (const uint8_t *)x + x_stride;
        y = (uint8_t *)y + y_stride;
    }
}
