/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off: assembly is laid out by hand */
/* The loops of softmax for Cortex-M4 and M7. */
#include "mcf_asm.h"
#include "mcf_softmax_dsp.h"

#if MCF_DSP

/* ONE for n % 2, then twice ONE for the others; `t` is free. */
#define WORDS(n, t, ONE)                                                                                               \
    "ands " #t ", " #n ", #1\n"                                                                                        \
    "beq 2f\n" ONE "2:\n"                                                                                              \
    "lsrs " #n ", " #n ", #1\n"                                                                                        \
    "beq 4f\n"                                                                                                         \
    "3:\n" ONE ONE "subs " #n ", " #n ", #1\n"                                                                         \
    "bne 3b\n"                                                                                                         \
    "4:\n"

/* Four maxima side by side: SSUB8 sets the flags by which SEL chooses. 3 instructions for 4. */
NAKED(softmax_max) int32_t mcf_softmax_max(const void *x, int32_t words) {
#define MAX4(w) "ssub8 r12, " #w ", r2\n sel r2, " #w ", r2\n"
    __asm__ volatile("mov r2, #0x80808080\n" WORDS(r1, r3, "ldr r3, [r0], #4\n" MAX4(r3)) "ror r3, r2, #16\n" MAX4(
        r3) "ror r3, r2, #8\n" MAX4(r3) "sxtb r0, r2\n"
                                        "bx lr\n");
}

/* USUB8 makes four table indices. 15 instructions for 4. */
NAKED(softmax_exp)
uint32_t mcf_softmax_exp(const void *x, uint16_t *e, int32_t words, int32_t max, const uint16_t *table) {
#define EXP4                                                                                                           \
    "ldr r8, [r0], #4\n"                                                                                               \
    "usub8 r8, r3, r8\n"                                                                                               \
    "uxtb r9, r8\n"                                                                                                    \
    "ubfx r10, r8, #8, #8\n"                                                                                           \
    "ubfx r11, r8, #16, #8\n"                                                                                          \
    "lsr r8, r8, #24\n"                                                                                                \
    "ldrh r9, [r4, r9, lsl #1]\n"                                                                                      \
    "ldrh r10, [r4, r10, lsl #1]\n"                                                                                    \
    "ldrh r11, [r4, r11, lsl #1]\n"                                                                                    \
    "ldrh r8, [r4, r8, lsl #1]\n"                                                                                      \
    "pkhbt r9, r9, r11, lsl #16\n"                                                                                     \
    "pkhbt r10, r10, r8, lsl #16\n"                                                                                    \
    "smlad r6, r9, r5, r6\n"                                                                                           \
    "smlad r6, r10, r5, r6\n"                                                                                          \
    "strd r9, r10, [r1], #8\n"
    __asm__ volatile("push {r4-r11}\n"
                     "ldr r4, [sp, #32]\n"
                     "mov r5, #0x00010001\n"
                     "mov r6, #0\n"
                     "uxtb r3, r3\n"
                     "orr r3, r3, r3, lsl #8\n"
                     "orr r3, r3, r3, lsl #16\n" WORDS(r2, r7, EXP4) "mov r0, r6\n"
                                                                     "pop {r4-r11}\n"
                                                                     "bx lr\n");
}

/* (e * factor >> 16) is the upper half of (e << 16) * factor. 18 instructions for 4. */
NAKED(softmax_out) void mcf_softmax_out(const uint16_t *e, void *y, int32_t words, const mcf_norm_t *norm, int32_t zp) {
#define OUT4                                                                                                           \
    "ldrd r8, r10, [r0], #8\n"                                                                                         \
    "smlawt r9, r4, r8, r5\n"                                                                                          \
    "smlawb r8, r4, r8, r5\n"                                                                                          \
    "smlawt r11, r4, r10, r5\n"                                                                                        \
    "smlawb r10, r4, r10, r5\n"                                                                                        \
    "asr r8, r8, r6\n"                                                                                                 \
    "asr r9, r9, r6\n"                                                                                                 \
    "asr r10, r10, r6\n"                                                                                               \
    "asr r11, r11, r6\n"                                                                                               \
    "pkhbt r8, r8, r9, lsl #16\n"                                                                                      \
    "pkhbt r10, r10, r11, lsl #16\n"                                                                                   \
    "qadd16 r8, r8, r3\n"                                                                                              \
    "qadd16 r10, r10, r3\n"                                                                                            \
    "ssat16 r8, #8, r8\n"                                                                                              \
    "ssat16 r10, #8, r10\n"                                                                                            \
    "and r10, r7, r10, lsl #8\n"                                                                                       \
    "uxtab16 r8, r10, r8\n"                                                                                            \
    "str r8, [r1], #4\n"
    __asm__ volatile("push {r4-r11}\n"
                     "ldm r3, {r4-r6}\n" /* factor, half, shift */
                     "ldr r3, [sp, #32]\n"
                     "pkhbt r3, r3, r3, lsl #16\n"
                     "mov r7, #0xff00ff00\n" WORDS(r2, r12, OUT4) "pop {r4-r11}\n"
                                                                  "bx lr\n");
}

#endif
