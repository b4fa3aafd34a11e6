/* SPDX-License-Identifier: Apache-2.0 */
/* Moves: rows from one place to another, zeros. */
#include "mcf_elementwise.h"

void mcf_copy(const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t row_bytes, int32_t rows) {
    for (int32_t i = 0; i < rows; i++) {
        __builtin_memcpy(y, x, (size_t)row_bytes);
        x = (const uint8_t *)x + x_stride;
        y = (uint8_t *)y + y_stride;
    }
}

void mcf_zero(void *y, int32_t bytes) {
    __builtin_memset(y, 0, (size_t)bytes);
}
