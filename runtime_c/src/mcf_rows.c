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

#define INLINE static inline __attribute__((always_inline))

/* A few bytes; a call of memcpy would cost more than it copies. */
INLINE void move(uint8_t *y, const uint8_t *x, int32_t bytes) {
    for (; bytes >= 4; bytes -= 4, y += 4, x += 4) __builtin_memcpy(y, x, 4);
    for (; bytes > 0; bytes--) *y++ = *x++;
}

INLINE void steps(uint8_t *y, const uint8_t *x, int32_t bytes, int32_t n, int32_t x_step, int32_t y_step) {
    for (; n >= 4; n -= 4) {
        for (int32_t i = 0; i < 4; i++, x += x_step, y += y_step) __builtin_memcpy(y, x, (size_t)bytes);
    }
    for (; n > 0; n--, x += x_step, y += y_step) __builtin_memcpy(y, x, (size_t)bytes);
}

static void innermost(uint8_t *y, const uint8_t *x, int32_t bytes, int32_t n, int32_t x_step, int32_t y_step) {
    if (bytes == 1)
        steps(y, x, 1, n, x_step, y_step);
    else if (bytes == 2)
        steps(y, x, 2, n, x_step, y_step);
    else
        for (; n > 0; n--, x += x_step, y += y_step) move(y, x, bytes);
}

void mcf_walk(const void *x, int32_t first, void *y, int32_t row_bytes, int32_t n3, int32_t x3, int32_t y3, int32_t n2,
              int32_t x2, int32_t y2, int32_t n1, int32_t x1, int32_t y1, int32_t n0, int32_t x0, int32_t y0) {
    for (int32_t a = 0; a < n3; a++)
        for (int32_t b = 0; b < n2; b++)
            for (int32_t c = 0; c < n1; c++)
                innermost((uint8_t *)y + a * y3 + b * y2 + c * y1,
                          (const uint8_t *)x + first + a * x3 + b * x2 + c * x1, row_bytes, n0, x0, y0);
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
