/* SPDX-License-Identifier: Apache-2.0 */
/* q_unary of docs/adr/0002: an activation function is a table. */
#include "mcf_elementwise.h"

/* Four at a time: every access is one instruction with an offset. */
static void bytes(const int8_t *table, const int8_t *x, int8_t *y, int32_t count) {
    int32_t c = 0;
    for (; c + 4 <= count; c += 4) {
        const int8_t a = table[x[c]], b = table[x[c + 1]], d = table[x[c + 2]], e = table[x[c + 3]];
        y[c] = a;
        y[c + 1] = b;
        y[c + 2] = d;
        y[c + 3] = e;
    }
    for (; c < count; c++) y[c] = table[x[c]];
}

/* int16 x. `table`: where x is 0; inlined, compilers would add that to every index. */
static __attribute__((noinline)) void words(const int16_t *table, const void *x, void *y, int32_t count) {
    for (int32_t c = 0; c < count; c++) {
        const int32_t v = mcf_load(x, c, MCF_S16);
        mcf_store(y, c, MCF_S16, mcf_between(table + (v >> 4), v & 15, 4));
    }
}

static __attribute__((noinline)) void words_to_bytes(const int16_t *table, const void *x, void *y, int32_t count) {
    for (int32_t c = 0; c < count; c++) {
        const int32_t v = mcf_load(x, c, MCF_S16);
        mcf_store(y, c, MCF_S8, mcf_saturate((mcf_between(table + (v >> 4), v & 15, 4) + 128) >> 8, MCF_S8));
    }
}

static void bytes_to_words(const int16_t *table, const int8_t *x, void *y, int32_t count) {
    for (int32_t c = 0; c < count; c++) mcf_store(y, c, MCF_S16, table[x[c]]);
}

void mcf_unary(const mcf_unary_t *p, const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t rows) {
    const int16_t *const wide = p->table;
    for (int32_t i = 0; i < rows; i++) {
        if (p->x_type == MCF_S16 && p->y_type == MCF_S16)
            words(wide + 2048, x, y, p->channels);
        else if (p->x_type == MCF_S16)
            words_to_bytes(wide + 2048, x, y, p->channels);
        else if (p->y_type == MCF_S16)
            bytes_to_words(wide + 128, x, y, p->channels);
        else
            bytes((const int8_t *)p->table + 128, x, y, p->channels);
        x = (const uint8_t *)x + x_stride;
        y = (uint8_t *)y + y_stride;
    }
}
