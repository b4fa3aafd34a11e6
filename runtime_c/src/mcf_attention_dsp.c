/* SPDX-License-Identifier: Apache-2.0 */
/* q_attention of docs/adr/0002 on Cortex-M4 and M7: blocks of query rows in pairs, scores and exponentials in int16.
 * Four keys (four channels of V) at a time are expanded to 16 bits and meet every pair of the block; where all heads
 * share K and V, the pairs of several heads.
 * Scratch: scores of the pairs, normalisers, then q pairs and keys, or channels of V (with `keep`: all three). */
#include "mcf_attention_dsp.h"

#if MCF_DSP

#define PART __attribute__((noinline)) /* each wants the registers for itself */

/* Query rows row0.. of heads head.. that run together. */
typedef struct {
    const uint8_t *q, *k, *v;
    uint8_t *y;
    int32_t q_stride, k_stride, v_stride, y_stride, head, heads, row0;
    int fresh; /* K and V are not in 16 bits yet */
} rows_t;

static uint32_t *scores_of(const mcf_block_t *b, int32_t h, int32_t pair) {
    return b->scores + (h * b->pairs + pair) * b->tk4;
}

PART static void expand_queries(const mcf_attention_t *p, const rows_t *r, const mcf_block_t *b) {
    uint32_t *out = b->q;
    for (int32_t h = 0; h < r->heads; h++) {
        const uint8_t *row = r->q + h * p->q_head;
        for (int32_t i = 0; i < b->pairs; i++, row += 2 * r->q_stride, out += b->d4)
            mcf_expand_pair(row, b->odd && i == b->pairs - 1 ? row : row + r->q_stride, p->d, p->q_type, out);
    }
}

PART static void score(const mcf_attention_t *p, const rows_t *r, const mcf_block_t *b) {
    const uint32_t zero = (uint16_t)-p->k_zp * 0x10001u;
    const int32_t q_head = b->pairs * b->d4, head = b->pairs * b->tk4, words = 2 * b->d4, step = p->keep ? words : 0;
    const int32_t *m = p->head + 3 * r->head;
    const uint8_t *k = r->k;
    uint32_t *panel = b->k;
    mcf_scores_t args = {mcf_dots(words >> 2), *m, NULL, 4 * b->tk4, NULL, p->narrow ? -1 : p->pre_shift};
    for (int32_t left = p->tk, j = 0; left > 0; left -= 4, j += 4, panel += step, k += 4 * r->k_stride) {
        if (r->fresh) mcf_expand_four(k, r->k_stride, left - 1, p->d, p->k_type, zero, panel);
        args.dots.end = panel + words;
        args.scores = b->scores + j;
        args.end = args.scores + head;
        mcf_scores(b->q, panel, &args);
        for (int32_t h = 1; h < r->heads; h++) {
            args.m = m[3 * h];
            args.scores += head;
            args.end += head;
            mcf_scores(b->q + h * q_head, panel, &args);
            args.m = *m;
        }
    }
}

/* Straight from int8 keys: nothing is shared, so pair by pair. */
PART static void score_directly(const mcf_attention_t *p, const rows_t *r, const mcf_block_t *b) {
    const int32_t full = p->tk >> 1;
    const uint32_t *q = b->q;
    for (int32_t i = 0; i < r->heads * b->pairs; i++, q += b->d4) {
        mcf_direct_t args = {.first = mcf_direct_first(p->d >> 2), .bytes = p->d, .scores = scores_of(b, 0, i)};
        args.m = p->head[3 * (r->head + i / b->pairs)];
        for (int32_t w = 0; w < b->d4 && p->k_zp; w += 2)
            for (int32_t row = 0; row < 2; row++) args.start[row] -= p->k_zp * __smuad((int16x2_t)q[w + row], 0x10001);
        if (full) {
            args.pitch = r->k_stride;
            args.next = 2 * r->k_stride - p->d;
            args.count = full;
            mcf_direct(q, r->k, &args);
        }
        if (p->tk & 1) { /* the last key, twice */
            args.pitch = 0;
            args.scores += 2 * full;
            args.count = 1;
            mcf_direct(q, r->k + (ptrdiff_t)2 * full * r->k_stride, &args);
        }
    }
}

PART static void softmax(const mcf_attention_t *p, const rows_t *r, const mcf_block_t *b) {
    mcf_norm_t *norm = b->norm;
    for (int32_t h = 0; h < r->heads; h++) {
        for (int32_t i = 0; i < b->pairs; i++, norm += 2) {
            const int twin = b->odd && i == b->pairs - 1;
            mcf_attention_softmax(p, r->head + h, r->row0 + 2 * i, twin, scores_of(b, h, i), norm);
        }
    }
}

PART static void weigh(const mcf_attention_t *p, const rows_t *r, const mcf_block_t *b) {
    const int32_t steps = (p->tk + 1) >> 1, step = p->keep ? 2 * b->tk4 : 0, type = p->y_type;
    const int32_t v_size = 4 * mcf_size(p->v_type), y_size = mcf_size(type), head = b->pairs * b->tk4;
    const uint32_t zero = (uint16_t)-p->v_zp * 0x10001u;
    const uint8_t *v = r->v;
    uint8_t *y = r->y;
    uint32_t *panel = b->v;
    mcf_weigh_t args = {mcf_dots(steps), 4 * b->tk4 - 8 * steps, NULL, NULL, r->y_stride, 0};
    for (int32_t left = p->dv; left > 0; left -= 4, v += v_size, y += 4 * y_size, panel += step) {
        if (r->fresh) mcf_expand_channels(v, r->v_stride, p->tk, left < 4 ? left : 4, p->v_type, zero, panel);
        args.dots.end = panel + 4 * steps;
        for (int32_t h = 0; h < r->heads; h++) {
            args.norm = b->norm + 2 * h * b->pairs;
            args.y = y + h * p->y_head;
            if (left >= 4)
                mcf_weigh_four(b, &args, b->scores + h * head, type, panel);
            else
                mcf_weigh_rest(b, &args, b->scores + h * head, type, panel, left * y_size);
        }
    }
}

/* The scratch holds `rows` query rows of `merge` heads; `count` of them are there. */
static mcf_block_t layout(const mcf_attention_t *p, int32_t rows, int32_t count, void *scratch) {
    const int32_t pairs = ((rows + 1) >> 1) * p->merge;
    mcf_block_t b = {(count + 1) >> 1, count & 1, (p->tk + 3) & ~3, (p->d + 3) & ~3, scratch, NULL, NULL, NULL, NULL};
    b.norm = (mcf_norm_t *)(b.scores + pairs * b.tk4);
    b.q = (uint32_t *)(b.norm + 2 * pairs);
    b.k = b.q + pairs * b.d4;
    b.v = p->keep ? b.k + b.tk4 / 2 * b.d4 : b.q;
    return b;
}

void mcf_attention(const mcf_attention_t *p, int32_t head0, int32_t heads, const void *q, int32_t q_stride,
                   const void *k, int32_t k_stride, const void *v, int32_t v_stride, void *y, int32_t y_stride,
                   int32_t row0, int32_t rows, void *scratch) {
    const int32_t step = p->block < rows ? p->block : rows;
    for (int32_t h = 0; h < heads; h += p->merge) {
        for (int32_t i = 0; i < rows; i += step) {
            const mcf_block_t b = layout(p, step, rows - i < step ? rows - i : step, scratch);
            const rows_t r = {
                (const uint8_t *)q + (ptrdiff_t)i * q_stride + h * p->q_head,
                (const uint8_t *)k + h * p->k_head,
                (const uint8_t *)v + h * p->v_head,
                (uint8_t *)y + (ptrdiff_t)i * y_stride + h * p->y_head,
                q_stride,
                k_stride,
                v_stride,
                y_stride,
                head0 + h,
                heads - h < p->merge ? heads - h : p->merge,
                row0 + i,
                i == 0 || !p->keep,
            };
            expand_queries(p, &r, &b);
            if (p->direct)
                score_directly(p, &r, &b);
            else
                score(p, &r, &b);
            softmax(p, &r, &b);
            weigh(p, &r, &b);
        }
    }
}

#endif
