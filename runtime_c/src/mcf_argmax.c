/* SPDX-License-Identifier: Apache-2.0 */
/* q_argmax of docs/adr/0002: int16 index of the largest channel, the first of equals. */
#include "mcf_elementwise.h"

static inline __attribute__((always_inline)) int32_t largest(const void *x, int32_t channels, int type) {
    int32_t best = 0, most = mcf_load(x, 0, type);
    for (int32_t c = 1; c < channels; c++) {
        const int32_t v = mcf_load(x, c, type);
        if (v > most) {
            most = v;
            best = c;
        }
    }
    return best;
}

void mcf_argmax(const mcf_argmax_t *p, const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t rows) {
    for (int32_t i = 0; i < rows; i++) {
        const int32_t best = p->x_type == MCF_S16  ? largest(x, p->channels, MCF_S16)
                             : p->x_type == MCF_S8 ? largest(x, p->channels, MCF_S8)
                                                   : largest(x, p->channels, MCF_U8);
        mcf_store(y, 0, MCF_S16, best);
        x = (const uint8_t *)x + x_stride;
        y = (uint8_t *)y + y_stride;
    }
}
