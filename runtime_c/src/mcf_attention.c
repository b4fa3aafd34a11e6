/* SPDX-License-Identifier: Apache-2.0 */
/* q_attention of docs/adr/0002 in plain C: one query row at a time. The Cortex-M code is in mcf_attention_dsp.c. */
#include "mcf_attention.h"

#if !MCF_DSP

enum { CHUNK = 32 }; /* channels of the output summed at a time */

static int32_t dot(const mcf_attention_t *p, const void *q, const void *k) {
    int32_t acc = 0;
    if (p->q_type == MCF_S8 && p->k_type == MCF_S8 && p->k_zp == 0) { /* the common case, for compilers to vectorise */
        const int8_t *a = q, *b = k;
        for (int32_t c = 0; c < p->d; c++) acc += a[c] * b[c];
        return acc;
    }
    for (int32_t c = 0; c < p->d; c++) acc += mcf_load(q, c, p->q_type) * (mcf_load(k, c, p->k_type) - p->k_zp);
    return acc;
}

/* Scores of one query row in steps of the exp table; returns their maximum. */
static int32_t scores(const mcf_attention_t *p, int32_t m, const void *q, const uint8_t *k, int32_t k_stride,
                      mcf_bias_t bias, int16_t *t) {
    int32_t max = -32768, left = bias.run;
    for (int32_t j = 0; j < p->tk; j++) {
        const int32_t acc = (int32_t)((uint32_t)dot(p, q, k + (ptrdiff_t)j * k_stride) << p->pre_shift);
        int32_t step = mcf_clamp(mcf_hi(acc, m), -32768, 32767);
        if (bias.bias) {
            step = mcf_clamp(step + *bias.bias++ + (bias.mask ? bias.mask[j] : 0), -32768, 32767);
            if (--left == 0) {
                bias.bias += bias.skip;
                left = bias.run;
            }
        }
        t[j] = (int16_t)step;
        max = step > max ? step : max;
    }
    return max;
}

/* Scores to probabilities in place; returns their sum. */
static uint32_t exponentials(const mcf_attention_t *p, int32_t max, int16_t *t) {
    uint32_t sum = 0;
    for (int32_t j = 0; j < p->tk; j++) {
        const int32_t index = mcf_clamp(max - t[j], 0, 2047);
        t[j] = (int16_t)(mcf_exp[index] >> p->p_shift);
        sum = sum + (uint32_t)t[j];
    }
    return sum;
}

static void weigh(const mcf_attention_t *p, mcf_norm_t norm, const int16_t *t, const uint8_t *v, int32_t v_stride,
                  void *y) {
    for (int32_t first = 0; first < p->dv; first += CHUNK) {
        const int32_t count = p->dv - first < CHUNK ? p->dv - first : CHUNK;
        int32_t o[CHUNK] = {0};
        for (int32_t j = 0; j < p->tk; j++) {
            const uint8_t *row = v + (ptrdiff_t)j * v_stride;
            if (p->v_type == MCF_S8)
                for (int32_t c = 0; c < count; c++) o[c] += t[j] * (((const int8_t *)row)[first + c] - p->v_zp);
            else
                for (int32_t c = 0; c < count; c++) o[c] += t[j] * (mcf_load(row, first + c, MCF_S16) - p->v_zp);
        }
        for (int32_t c = 0; c < count; c++) {
            const int32_t value = (mcf_hi(o[c], norm.factor) + norm.half) >> norm.shift;
            mcf_store(y, first + c, p->y_type, mcf_saturate(value, p->y_type));
        }
    }
}

void mcf_attention(const mcf_attention_t *p, int32_t head0, int32_t heads, const void *q, int32_t q_stride,
                   const void *k, int32_t k_stride, const void *v, int32_t v_stride, void *y, int32_t y_stride,
                   int32_t row0, int32_t rows, void *scratch) {
    for (int32_t h = 0; h < heads; h++) {
        const int32_t *head = p->head + 3 * (head0 + h);
        for (int32_t i = 0; i < rows; i++) {
            mcf_bias_t bias = {NULL, NULL, 0, 0};
            if (p->bias) bias = mcf_bias_of(p, head0 + h, row0 + i);
            const int32_t max = scores(p, head[0], (const uint8_t *)q + (ptrdiff_t)i * q_stride + h * p->q_head,
                                       (const uint8_t *)k + h * p->k_head, k_stride, bias, scratch);
            const uint32_t sum = exponentials(p, max, scratch);
            weigh(p, mcf_normaliser(sum, head[1], head[2]), scratch, (const uint8_t *)v + h * p->v_head, v_stride,
                  (uint8_t *)y + (ptrdiff_t)i * y_stride + h * p->y_head);
        }
    }
}

#endif
