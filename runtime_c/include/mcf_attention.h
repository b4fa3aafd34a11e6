/* SPDX-License-Identifier: Apache-2.0 */
/* softmax(q K^T) V by blocks of query rows, without a matrix of all scores (docs/adr/0002, q_attention). */
#ifndef MCF_ATTENTION_H
#define MCF_ATTENTION_H

#include "mcf_base.h"

typedef struct {
    const int32_t *head;    /* per head: m, o_mant, o_exp */
    const int16_t *bias;    /* [1 or heads][tq][tk] in score steps, or by distance (`wide`), or NULL */
    const int16_t *masks;   /* [][tk], added to the bias of some queries of windows, or NULL */
    const uint8_t *mask_of; /* [windows][tq]: which, from 1 on; 0: none */
    int32_t tq, tk, d, dv;
    int32_t bias_head; /* elements from one head's bias to the next, 0: all share one */
    int32_t wide;      /* 0, or of windows of tq / wide lines: bias is [1 or heads][2 * lines - 1][2 * wide - 1] */
    int32_t window;    /* rows in `row0` from one window to the next; mcf_bias_t says what they stand for */
    int32_t q_head, k_head, v_head, y_head; /* bytes from one head to the next in a row; k, v: 0 when shared */
    int32_t merge;                          /* heads that run together; more than one only where they share k and v */
    int32_t block;                          /* query rows whose scores wait in scratch at a time, even */
    int16_t k_zp, v_zp;
    uint8_t q_type, k_type, v_type, y_type, pre_shift, p_shift;
    uint8_t narrow; /* pre_shift is 0 and no score can leave int16 */
    uint8_t direct; /* int8 keys are not expanded: d % 4 == 0, pre_shift 0 */
    uint8_t keep;   /* K and V are expanded to 16 bits once, not once per block */
} mcf_attention_t;

/* The bias of one query, key by key: runs of `run` numbers, `skip` from the end of one to the next. */
typedef struct {
    const int16_t *bias, *mask; /* or NULL */
    int32_t run, skip;
} mcf_bias_t;

static inline mcf_bias_t mcf_bias_of(const mcf_attention_t *p, int32_t head, int32_t row) {
    const int16_t *bias = p->bias + (ptrdiff_t)head * p->bias_head;
    if (!p->wide) return (mcf_bias_t){bias + (ptrdiff_t)row * p->tk, NULL, p->tk, 0};
    const int32_t w = p->wide, window = p->masks ? row / p->window : 0, i = row - window * p->window;
    const int32_t mask = p->masks ? p->mask_of[window * p->tq + i] : 0;
    bias += (p->tq / w - 1 - i / w) * (2 * w - 1) + w - 1 - i % w;
    return (mcf_bias_t){bias, mask ? p->masks + (ptrdiff_t)(mask - 1) * p->tk : NULL, w, w - 1};
}

/* Query rows row0 .. row0+rows-1 of heads head0 .. head0+heads-1: q, k, v and y point at head0's first channel of their
 * first row. y may lie on q where their heads coincide. Scratch: see mcuformer/kernels/attention.py. */
void mcf_attention(const mcf_attention_t *p, int32_t head0, int32_t heads, const void *q, int32_t q_stride,
                   const void *k, int32_t k_stride, const void *v, int32_t v_stride, void *y, int32_t y_stride,
                   int32_t row0, int32_t rows, void *scratch);

/* Attention of rows that lie on a grid, some of whose heads see near keys alone (mcuformer/ir/neighbours.py). */
typedef struct {
    mcf_attention_t all; /* no bias, no shared keys */
    const uint8_t *near; /* per head: lines and columns that a query sees on every side; 0: all keys */
    int32_t columns, lines;
    int32_t leading; /* rows before the grid, which see all keys and are seen by all queries */
} mcf_attention_near_t;

/* The same; k and v hold the leading rows, then `held` lines of the grid, line y being the (y mod held)th. Where
 * `held` is less than `lines`, there is neither a leading row nor a head that sees all. */
void mcf_attention_near(const mcf_attention_near_t *p, int32_t head0, int32_t heads, const void *q, int32_t q_stride,
                        const void *k, int32_t k_stride, const void *v, int32_t v_stride, void *y, int32_t y_stride,
                        int32_t row0, int32_t rows, int32_t held, void *scratch);

/* round(32767 exp(-(i + 1/2) 11/2048)); the last entry is 0 */
extern const uint16_t mcf_exp[2048];

/* R and s such that o / sum * o_mant * 2^(15 - o_exp) = (hi(o * R) + half) >> s. */
typedef struct {
    int32_t factor, half, shift;
} mcf_norm_t;

static inline mcf_norm_t mcf_normaliser(uint32_t sum, int32_t o_mant, int32_t o_exp) {
    const int32_t n = __builtin_clz(sum);
    const uint32_t r = UINT32_MAX / ((sum << n) >> 16);
    const int32_t s = o_exp - n;
    return (mcf_norm_t){(int32_t)((r * (uint32_t)o_mant) >> 1), (int32_t)1 << (s - 1), s};
}

#endif
