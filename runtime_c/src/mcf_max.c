/* SPDX-License-Identifier: Apache-2.0 */
/* q_max of docs/adr/0002. Shift and saturation keep the order, so they follow the comparison. */
#include "mcf_elementwise.h"

#define ROWS static inline __attribute__((always_inline)) void

static inline int32_t larger(int32_t a, int32_t b) {
    return a > b ? a : b;
}

/* Rows of a call; `b_step`: 0 where one number of b serves a row. */
typedef struct {
    const uint8_t *a, *b;
    uint8_t *y;
    int32_t a_stride, b_stride, y_stride, rows, b_step;
} rows_t;

#define EVERY(r)                                                                                                       \
    for (int32_t i = 0; i < (r).rows; i++, (r).a += (r).a_stride, (r).b += (r).b_stride, (r).y += (r).y_stride)

ROWS term_rows(const mcf_max_t *p, rows_t r, int ta, int tb, int ty) {
    const int32_t shift = p->shift, channels = p->channels;
    EVERY(r) {
        const int32_t *post = p->post, of_row = mcf_load(r.b, 0, tb);
        for (int32_t c = 0; c < channels; c++, post += 4) {
            const int32_t of_a = mcf_load(r.a, c, ta) * post[0] + post[1];
            const int32_t of_b = (r.b_step ? mcf_load(r.b, c, tb) : of_row) * post[2] + post[3];
            mcf_store(r.y, c, ty, mcf_saturate(larger(of_a, of_b) >> shift, ty));
        }
    }
}

#if MCF_DSP
/* Four bytes or two halves at a time: the subtraction leaves in GE which ones SEL takes from a. */
static inline __attribute__((always_inline)) uint32_t larger_of_word(uint32_t a, uint32_t b, int type) {
    uint32_t y;
    if (type == MCF_S8)
        __asm__("ssub8 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(y) : "r"(a), "r"(b) : "cc");
    else
        __asm__("ssub16 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(y) : "r"(a), "r"(b) : "cc");
    return y;
}
#endif

/* All on one grid. */
ROWS same_rows(int32_t channels, rows_t r, int type) {
    EVERY(r) {
        int32_t c = 0;
#if MCF_DSP
        const uint32_t of_row = (uint32_t)mcf_load(r.b, 0, type);
        const uint32_t spread = type == MCF_S8 ? (uint8_t)of_row * 0x01010101u : (uint16_t)of_row * 0x00010001u;
        const int32_t size = mcf_size(type), bytes = channels * size & ~3;
        for (int32_t at = 0; at < bytes; at += 4) {
            uint32_t u, v = spread;
            __builtin_memcpy(&u, r.a + at, 4);
            if (r.b_step) __builtin_memcpy(&v, r.b + at, 4);
            u = larger_of_word(u, v, type);
            __builtin_memcpy(r.y + at, &u, 4);
        }
        c = bytes / size;
#endif
        for (; c < channels; c++)
            mcf_store(r.y, c, type, larger(mcf_load(r.a, c, type), mcf_load(r.b, c * r.b_step, type)));
    }
}

ROWS of_types(const mcf_max_t *p, rows_t r) {
    const int one = p->a_type == p->b_type && p->b_type == p->y_type;
    if (!p->post && p->a_type == MCF_S8)
        same_rows(p->channels, r, MCF_S8);
    else if (!p->post)
        same_rows(p->channels, r, MCF_S16);
    else if (one && p->a_type == MCF_S8)
        term_rows(p, r, MCF_S8, MCF_S8, MCF_S8);
    else if (one && p->a_type == MCF_S16)
        term_rows(p, r, MCF_S16, MCF_S16, MCF_S16);
    else if (p->y_type == MCF_S8)
        term_rows(p, r, p->a_type, p->b_type, MCF_S8);
    else
        term_rows(p, r, p->a_type, p->b_type, MCF_S16);
}

void mcf_max(const mcf_max_t *p, const void *a, int32_t a_stride, const void *b, int32_t b_stride, void *y,
             int32_t y_stride, int32_t rows) {
    of_types(p, (rows_t){a, b, y, a_stride, b_stride, y_stride, rows, 1});
}

void mcf_max_column(const mcf_max_t *p, const void *a, int32_t a_stride, const void *b, int32_t b_stride, void *y,
                    int32_t y_stride, int32_t rows) {
    of_types(p, (rows_t){a, b, y, a_stride, b_stride, y_stride, rows, 0});
}
