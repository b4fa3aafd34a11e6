/* SPDX-License-Identifier: Apache-2.0 */
/* q_softmax of docs/adr/0002: the exponentials of a row wait in scratch for their sum. */
#include "mcf_softmax_dsp.h"

/* Channels from..: their maximum joins `max`. */
static int32_t maximum(const mcf_softmax_t *p, const void *x, int32_t from, int32_t max) {
    for (int32_t c = from; c < p->channels; c++) {
        const int32_t v = mcf_load(x, c, p->x_type);
        max = v > max ? v : max;
    }
    return max;
}

/* Between two entries of the table, the last of which is 0. */
static uint16_t between(int32_t sixteenths) {
    const uint16_t *at = mcf_exp + (sixteenths >> 4);
    return (uint16_t)(at[0] - (((at[0] - at[1]) * (sixteenths & 15) + 8) >> 4));
}

static uint32_t exponentials(const mcf_softmax_t *p, const void *x, int32_t from, int32_t max, uint16_t *e) {
    const int32_t highest = 0x7fffffff >> p->pre_shift;
    uint32_t sum = 0;
    for (int32_t c = from; c < p->channels; c++) {
        const int32_t delta = max - mcf_load(x, c, p->x_type);
        if (p->table)
            e[c] = p->table[delta];
        else
            e[c] = between(
                mcf_clamp(mcf_hi(delta > highest ? 0x7fffffff : delta << p->pre_shift, p->m), 0, 16 * 2047 - 1));
        sum = sum + e[c];
    }
    return sum;
}

/* The shift stays at 31, beyond which hi(p * R) < 2^30 rounds to 0 all the same. */
static int32_t exponent(const mcf_softmax_t *p, uint32_t sum) {
    const int32_t most = 31 + __builtin_clz(sum);
    return p->o_exp < most ? p->o_exp : most;
}

static void outputs(const mcf_softmax_t *p, const mcf_norm_t *norm, const uint16_t *e, int32_t from, void *y) {
    for (int32_t c = from; c < p->channels; c++) {
        const int32_t value = ((mcf_hi(e[c] << 16, norm->factor) + norm->half) >> norm->shift) + p->zp;
        mcf_store(y, c, p->y_type, mcf_saturate(value, p->y_type));
    }
}

void mcf_softmax(const mcf_softmax_t *p, const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t rows,
                 void *scratch) {
    const int32_t lowest = p->x_type == MCF_S16 ? -32768 : -128;
    uint16_t *e = scratch;
    int32_t words = 0; /* four channels each, in assembly */
#if MCF_DSP
    if (p->table && p->y_type == MCF_S8 && p->o_exp >= 32) /* outputs fit int16 before they saturate */
        words = p->channels >> 2;
#endif
    for (int32_t i = 0; i < rows; i++) {
        int32_t max = lowest;
        uint32_t sum = 0;
#if MCF_DSP
        if (words) max = mcf_softmax_max(x, words);
#endif
        max = maximum(p, x, 4 * words, max);
#if MCF_DSP
        if (words) sum = mcf_softmax_exp(x, e, words, max, p->table);
#endif
        sum += exponentials(p, x, 4 * words, max, e);
        const mcf_norm_t norm = mcf_normaliser(sum, p->o_mant, exponent(p, sum));
#if MCF_DSP
        if (words) mcf_softmax_out(e, y, words, &norm, p->zp);
#endif
        outputs(p, &norm, e, 4 * words, y);
        x = (const uint8_t *)x + x_stride;
        y = (uint8_t *)y + y_stride;
    }
}
