/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off: assembly is laid out by hand */
/* Scores of a pair of query rows to probabilities, in place. A word holds two keys of a row; four words are the rows 0 1 0 1
 * with the keys 01 01 23 23. */
#include "mcf_asm.h"
#include "mcf_attention_dsp.h"

#if MCF_DSP

/* Maxima in r4, r5, then exp(max - score): QSUB16 and USAT16 index the table, whose end is 0. Two words are two keys of
 * both rows. */
NAKED(attention_exponentials)
static void exponentials(uint32_t *scores, const uint32_t *end, const uint16_t *table, uint32_t *sums) {
#define MAX(m, w) "ssub16 r12, " #w ", " #m "\n sel " #m ", " #w ", " #m "\n"
#define INDEX(w, m) "qsub16 " #w ", " #m ", " #w "\n usat16 " #w ", #11, " #w "\n"
#define LOOK_UP(w, t, sum)                                                                                             \
    "uxth " #t ", " #w "\n"                                                                                            \
    "lsr " #w ", " #w ", #16\n"                                                                                        \
    "ldrh " #t ", [r2, " #t ", lsl #1]\n"                                                                              \
    "ldrh " #w ", [r2, " #w ", lsl #1]\n"                                                                              \
    "pkhbt " #w ", " #t ", " #w ", lsl #16\n"                                                                          \
    "smlad " #sum ", " #w ", r3, " #sum "\n"
    __asm__ volatile("push {r0, r3-r11, lr}\n"
                     "ldrd r4, r5, [r0]\n"
                     "1:\n"
                     "ldm r0!, {r6-r9}\n" MAX(r4, r6) MAX(r5, r7) MAX(r4, r8)
                         MAX(r5, r9) "cmp r0, r1\n"
                                     "bne 1b\n"
                                     "ror r6, r4, #16\n"
                                     "ror r7, r5, #16\n" MAX(r4, r6)
                                         MAX(r5, r7) "ldr r0, [sp]\n"
                                                     "mov r3, #0x00010001\n"
                                                     "mov r6, #0\n"
                                                     "mov r7, #0\n"
                                                     "2:\n"
                                                     "ldm r0, {r8-r11}\n" INDEX(r8, r4) INDEX(r9, r5) INDEX(r10, r4)
                                                         INDEX(r11, r5) LOOK_UP(r8, r12, r6) LOOK_UP(r9, lr, r7)
                                                             LOOK_UP(r10, r12, r6)
                                                                 LOOK_UP(r11, lr, r7) "stm r0!, {r8-r11}\n"
                                                                                      "cmp r0, r1\n"
                                                                                      "bne 2b\n"
                                                                                      "pop {r0, r3}\n"
                                                                                      "strd r6, r7, [r3]\n"
                                                                                      "pop {r4-r11, pc}\n");
}

/* Half-word of row `row` of a pair and key j. */
static inline int32_t at(int32_t row, int32_t j) {
    return (j >> 2) * 8 + (j & 2) * 2 + row * 2 + (j & 1);
}

static void add_bias(const mcf_attention_t *p, const int16_t *bias, int twin, uint32_t *scores) {
    for (int32_t row = 0; row < 2; row++, bias += twin ? 0 : p->tk) {
        int32_t j = 0;
        for (; j + 2 <= p->tk; j += 2) {
            uint32_t *w = scores + (j >> 2) * 4 + (j & 2) + row;
            uint32_t two;
            __builtin_memcpy(&two, bias + j, 4);
            *w = __qadd16(*w, two);
        }
        if (j < p->tk) {
            const int32_t step = mcf_load(scores, at(row, j), MCF_S16) + bias[j];
            mcf_store(scores, at(row, j), MCF_S16, mcf_clamp(step, -32768, 32767));
        }
    }
}

/* Two numbers of a row's bias; where a run ends, the next one goes on. */
static inline uint32_t two_of(mcf_bias_t *bias, int32_t *left) {
    uint32_t two;
    if (*left >= 2) {
        __builtin_memcpy(&two, bias->bias, 4);
        bias->bias += 2;
        *left -= 2;
    } else {
        two = (uint16_t)*bias->bias;
        bias->bias += 1 + bias->skip;
        two |= (uint32_t)(uint16_t)*bias->bias++ << 16;
        *left = bias->run - 1;
    }
    if (*left == 0) {
        bias->bias += bias->skip;
        *left = bias->run;
    }
    return two;
}

static void add_row(const mcf_attention_t *p, mcf_bias_t bias, int32_t row, uint32_t *scores) {
    int32_t j = 0, left = bias.run;
    for (; j + 2 <= p->tk; j += 2) {
        uint32_t *w = scores + (j >> 2) * 4 + (j & 2) + row;
        uint32_t two = two_of(&bias, &left);
        if (bias.mask) {
            uint32_t mask;
            __builtin_memcpy(&mask, bias.mask + j, 4);
            two = __qadd16(two, mask);
        }
        *w = __qadd16(*w, two);
    }
    if (j < p->tk) {
        const int32_t step = mcf_load(scores, at(row, j), MCF_S16) + *bias.bias + (bias.mask ? bias.mask[j] : 0);
        mcf_store(scores, at(row, j), MCF_S16, mcf_clamp(step, -32768, 32767));
    }
}

/* Sets the `count` half-words after the last key in the last four words of a pair's scores. */
static inline void fill_rest(uint32_t *last, int32_t count, uint32_t value) {
    const uint32_t high = value & 0xffff0000u;
    if (count > 2) {
        last[0] = (last[0] & 0xffff) | high;
        last[1] = (last[1] & 0xffff) | high;
    }
    last[2] = count > 1 ? value : (last[2] & 0xffff) | high;
    last[3] = count > 1 ? value : (last[3] & 0xffff) | high;
}

void mcf_attention_softmax(const mcf_attention_t *p, int32_t at_head, int32_t row, int twin, uint32_t *scores,
                           mcf_norm_t *norm) {
    const int32_t rest = -p->tk & 3, *const head = p->head + 3 * at_head;
    uint32_t sums[2], *const end = scores + p->tk + rest;
    if (p->wide)
        for (int32_t i = 0; i < 2; i++) add_row(p, mcf_bias_of(p, at_head, twin ? row : row + i), i, scores);
    else if (p->bias)
        add_bias(p, mcf_bias_of(p, at_head, row).bias, twin, scores);
    if (rest) fill_rest(end - 4, rest, 0x80008000u);
    exponentials(scores, end, mcf_exp, sums);
    if (rest) { /* exponentials of the lowest score: 0, unless all are as low */
        sums[0] -= (uint32_t)rest * (end[-2] >> 16);
        sums[1] -= (uint32_t)rest * (end[-1] >> 16);
        fill_rest(end - 4, rest, 0);
    }
    if (p->p_shift) {
        const uint32_t mask = (0xffffu >> p->p_shift) * 0x10001u;
        sums[0] = sums[1] = 0;
        for (uint32_t *w = scores; w < end; w += 2) {
            w[0] = (w[0] >> p->p_shift) & mask;
            w[1] = (w[1] >> p->p_shift) & mask;
            sums[0] = (uint32_t)__smlad(w[0], 0x10001, (int32_t)sums[0]);
            sums[1] = (uint32_t)__smlad(w[1], 0x10001, (int32_t)sums[1]);
        }
    }
    norm[0] = mcf_normaliser(sums[0], head[1], head[2]);
    norm[1] = mcf_normaliser(sums[1], head[1], head[2]);
}

#endif
