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
