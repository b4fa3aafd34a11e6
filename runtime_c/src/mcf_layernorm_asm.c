/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off: assembly is laid out by hand */
/* The loops of LayerNorm for Cortex-M4 and M7: a word of four int8 channels at a time.
 * Bytes 0 1 2 3 are worked on as the half-word pairs 0 2 and 1 3. */
#include "mcf_asm.h"
#include "mcf_layernorm_dsp.h"

#if MCF_DSP

/* ONE for n % 4 words, then FOUR for the others; `t` is free. */
#define WORDS(n, t, ONE, FOUR)                                                                                         \
    "ands " #t ", " #n ", #3\n"                                                                                        \
    "beq 2f\n"                                                                                                         \
    "1:\n" ONE "subs " #t ", " #t ", #1\n"                                                                             \
    "bne 1b\n"                                                                                                         \
    "2:\n"                                                                                                             \
    "lsrs " #n ", " #n ", #2\n"                                                                                        \
    "beq 4f\n"                                                                                                         \
    "3:\n" FOUR "subs " #n ", " #n ", #1\n"                                                                            \
    "bne 3b\n"                                                                                                         \
    "4:\n"

/* 6 instructions for 4 channels w; r4: ones, r5: sum, r6: sum of squares. */
#define SQUARES(w)                                                                                                     \
    "sxtb16 r11, " #w "\n"                                                                                             \
    "sxtb16 r12, " #w ", ror #8\n"                                                                                     \
    "smlad r5, r11, r4, r5\n"                                                                                          \
    "smlad r6, r11, r11, r6\n"                                                                                         \
    "smlad r5, r12, r4, r5\n"                                                                                          \
    "smlad r6, r12, r12, r6\n"
#define MOMENTS(LOAD4)                                                                                                 \
    __asm__ volatile(                                                                                                  \
        "push {r4-r11, lr}\n"                                                                                          \
        "mov r4, #0x00010001\n"                                                                                        \
        "mov r5, #0\n"                                                                                                 \
        "mov r6, #0\n" WORDS(r1, r3, "ldr r7, [r0], #4\n" SQUARES(r7),                                                 \
                             LOAD4 SQUARES(r7) SQUARES(r8) SQUARES(r9) SQUARES(r10)) "strd r5, r6, [r2]\n"             \
                                                                                     "pop {r4-r11, pc}\n")

NAKED(moments) void mcf_moments(const void *x, int32_t words, int32_t sums[2]) {
    MOMENTS("ldm r0!, {r7-r10}\n");
}

NAKED(moments_unaligned) void mcf_moments_unaligned(const void *x, int32_t words, int32_t sums[2]) {
    MOMENTS("ldr r7, [r0], #4\n ldr r8, [r0], #4\n ldr r9, [r0], #4\n ldr r10, [r0], #4\n");
}

/* 15 instructions for 4 channels: v = (x - z) * a to *v and into the sums r5 and r6:r7. */
#define SCALED                                                                                                         \
    "ldr lr, [r0], #4\n"                                                                                               \
    "ldm r1!, {r9-r12}\n"                                                                                              \
    "sxtab16 r9, r9, lr\n"                                                                                             \
    "sxtab16 r10, r10, lr, ror #8\n"                                                                                   \
    "smulbb lr, r9, r11\n"                                                                                             \
    "smultt r9, r9, r11\n"                                                                                             \
    "pkhbt r9, lr, r9, lsl #16\n"                                                                                      \
    "smulbb lr, r10, r12\n"                                                                                            \
    "smultt r10, r10, r12\n"                                                                                           \
    "pkhbt r10, lr, r10, lsl #16\n"                                                                                    \
    "smlad r5, r9, r4, r5\n"                                                                                           \
    "smlad r5, r10, r4, r5\n"                                                                                          \
    "smlald r6, r7, r9, r9\n"                                                                                          \
    "smlald r6, r7, r10, r10\n"                                                                                        \
    "strd r9, r10, [r2], #8\n"

NAKED(scaled_moments)
void mcf_scaled_moments(const void *x, const int16_t *pre, int16_t *v, int32_t words, mcf_moments_t *moments) {
    __asm__ volatile("push {r4-r11, lr}\n"
                     "mov r4, #0x00010001\n"
                     "mov r5, #0\n"
                     "mov r6, #0\n"
                     "mov r7, #0\n" WORDS(r3, r8, SCALED, SCALED SCALED SCALED SCALED) "ldr r0, [sp, #36]\n"
                                                                                       "str r5, [r0]\n"
                                                                                       "strd r6, r7, [r0, #8]\n"
                                                                                       "pop {r4-r11, pc}\n");
}

/* 10 instructions for 4 channels: pairs `even` (0 2) and `odd` (1 3) to four bytes, u = m*v + o in 16.16 rounded down
 * and saturated. m, o, mask: r4-r6. */
#define OUTPUTS(even, odd, bytes)                                                                                      \
    "smlawb r9, r4, " #even ", r5\n"                                                                                   \
    "smlawt r10, r4, " #even ", r5\n"                                                                                  \
    "smlawb r11, r4, " #odd ", r5\n"                                                                                   \
    "smlawt r12, r4, " #odd ", r5\n"                                                                                   \
    "pkhtb r9, r10, r9, asr #16\n"                                                                                     \
    "pkhtb r11, r12, r11, asr #16\n"                                                                                   \
    "ssat16 r9, #8, r9\n"                                                                                              \
    "ssat16 r11, #8, r11\n"                                                                                            \
    "and r11, r6, r11, lsl #8\n"                                                                                       \
    "uxtab16 " #bytes ", r11, r9\n"
/* x * 256 is a byte in the upper half of a half-word. */
#define PLAIN(w) "and r3, r6, " #w "\n and " #w ", r6, " #w ", lsl #8\n" OUTPUTS(w, r3, w)
#define NORMALISE(LOAD2, STORE2)                                                                                       \
    __asm__ volatile("push {r4-r11, lr}\n"                                                                             \
                     "ldrd r4, r5, [r3]\n"                                                                             \
                     "mov r6, #0xff00ff00\n" WORDS(r2, lr, "ldr r7, [r0], #4\n" PLAIN(r7) "str r7, [r1], #4\n",        \
                                                   LOAD2 PLAIN(r7) PLAIN(r8) STORE2 LOAD2 PLAIN(r7) PLAIN(r8)          \
                                                       STORE2) "pop {r4-r11, pc}\n")

NAKED(normalise) void mcf_normalise(const void *x, void *y, int32_t words, const mcf_affine_t *f) {
    NORMALISE("ldrd r7, r8, [r0], #8\n", "strd r7, r8, [r1], #8\n");
}

NAKED(normalise_unaligned) void mcf_normalise_unaligned(const void *x, void *y, int32_t words, const mcf_affine_t *f) {
    NORMALISE("ldr r7, [r0], #4\n ldr r8, [r0], #4\n", "str r7, [r1], #4\n str r8, [r1], #4\n");
}

/* 12 instructions for 4 channels. */
NAKED(normalise_scaled) void mcf_normalise_scaled(const int16_t *v, void *y, int32_t words, const mcf_affine_t *f) {
#define FROM_V "ldrd r7, r8, [r0], #8\n" OUTPUTS(r7, r8, r9) "str r9, [r1], #4\n"
    __asm__ volatile("push {r4-r11, lr}\n"
                     "ldrd r4, r5, [r3]\n"
                     "mov r6, #0xff00ff00\n" WORDS(r2, r3, FROM_V, FROM_V FROM_V FROM_V FROM_V) "pop {r4-r11, pc}\n");
}

/* 17 instructions for 4 channels: the result is not the upper half of u. */
NAKED(normalise_shifted)
void mcf_normalise_shifted(const int16_t *v, void *y, int32_t words, const mcf_affine_t *f, int32_t shift) {
#define SHIFTED(r, half, w, at)                                                                                        \
    "smlaw" #half " " #r ", r4, " #w ", r5\n"                                                                          \
    "asr " #r ", " #r ", r6\n"                                                                                         \
    "ssat " #r ", #8, " #r "\n"                                                                                        \
    "strb " #r ", [r1, #" #at "]\n"
#define FROM_V_SHIFTED                                                                                                 \
    "ldrd r7, r8, [r0], #8\n" SHIFTED(r9, b, r7, 0) SHIFTED(r10, t, r7, 2) SHIFTED(r11, b, r8, 1)                      \
        SHIFTED(r12, t, r8, 3) "add r1, r1, #4\n"
    __asm__ volatile(
        "push {r4-r11, lr}\n"
        "ldrd r4, r5, [r3]\n"
        "ldr r6, [sp, #36]\n" WORDS(r2, r3, FROM_V_SHIFTED,
                                    FROM_V_SHIFTED FROM_V_SHIFTED FROM_V_SHIFTED FROM_V_SHIFTED) "pop {r4-r11, pc}\n");
}

#endif
