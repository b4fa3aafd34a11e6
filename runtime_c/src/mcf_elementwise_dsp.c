/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off: assembly is laid out by hand */
/* Sums and products of int8 rows, four channels a step, two steps a round. Halves of the words of a and b side by side
 * (PKHBT, PKHTB) are what SXTB16 makes pairs (a, b) of one channel from: a sum is then one SMLAD, a product one SMULBT. */
#include "mcf_asm.h"
#include "mcf_elementwise_dsp.h"

#if MCF_DSP

#define WARM(name) __attribute__((section(".text." #name), naked, noinline, used)) /* runs from flash */

#define STORE4(y, a, b, c, d)                                                                                          \
    "strb " a ", [" y "], #4\n strb " b ", [" y ", #-3]\n strb " c ", [" y ", #-2]\n strb " d ", [" y ", #-1]\n"
#define SSAT4(a, b, c, d, shift)                                                                                       \
    "ssat " a ", #8, " a ", asr #" shift "\n ssat " b ", #8, " b ", asr #" shift "\n"                                  \
    "ssat " c ", #8, " c ", asr #" shift "\n ssat " d ", #8, " d ", asr #" shift "\n"

/* `count` groups, the odd one first. */
#define ROUNDS(count, STEP)                                                                                            \
    "lsrs " count ", " count ", #1\n"                                                                                  \
    "bcc 2f\n"                                                                                                         \
    "add " count ", " count ", #1\n"                                                                                   \
    "b 3f\n"                                                                                                           \
    "2:\n" STEP "3:\n" STEP "subs " count ", " count ", #1\n"                                                          \
    "bne 2b\n"

#define PAIRS                                                                                                          \
    "ldr r4, [r1], #4\n"                                                                                               \
    "ldr r5, [r2], #4\n"                                                                                               \
    "pkhbt r6, r4, r5, lsl #16\n"                                                                                      \
    "pkhtb r7, r5, r4, asr #16\n"

/* 22 instructions for 4 channels */
#define ADD4                                                                                                           \
    PAIRS                                                                                                              \
    "ldm r0!, {r4, r5, r8, r9}\n" /* (ma, mb), offset of two channels */                                               \
    "sxtb16 r10, r6\n"                                                                                                 \
    "sxtb16 r11, r6, ror #8\n"                                                                                         \
    "smlad r10, r10, r4, r5\n"                                                                                         \
    "smlad r11, r11, r8, r9\n"                                                                                         \
    "ldm r0!, {r4, r5, r8, r9}\n"                                                                                      \
    "sxtb16 r6, r7\n"                                                                                                  \
    "sxtb16 r7, r7, ror #8\n"                                                                                          \
    "smlad r6, r6, r4, r5\n"                                                                                           \
    "smlad r7, r7, r8, r9\n" SSAT4("r10", "r11", "r6", "r7", TEXT(MCF_ADD_SHIFT))                                      \
        STORE4("r3", "r10", "r11", "r6", "r7")

WARM(add_s8) void mcf_add_s8(const int32_t *post, const void *a, const void *b, void *y, int32_t groups) {
    __asm__ volatile("push {r4-r11}\n"
                     "ldr r12, [sp, #32]\n" ROUNDS("r12", ADD4) "pop {r4-r11}\n"
                                                                "bx lr\n");
}

/* 30 instructions for 4 channels */
#define PRODUCT(acc, mult, offset)                                                                                     \
    "smulbt " acc ", " acc ", " acc "\n"                                                                               \
    "lsl " acc ", " acc ", #" TEXT(MCF_MUL_UP) "\n"                                                                    \
                                               "smmla " acc ", " acc ", " mult ", " offset "\n"
#define MUL4                                                                                                           \
    PAIRS                                                                                                              \
    "ldm r0!, {r4, r5, r8, r9}\n" /* mult, offset of two channels */                                                   \
    "sxtab16 r10, lr, r6\n"                                                                                            \
    "sxtab16 r11, lr, r6, ror #8\n" PRODUCT("r10", "r4", "r5")                                                         \
        PRODUCT("r11", "r8", "r9") "ldm r0!, {r4, r5, r8, r9}\n"                                                       \
                                   "sxtab16 r6, lr, r7\n"                                                              \
                                   "sxtab16 r7, lr, r7, ror #8\n" PRODUCT("r6", "r4", "r5") PRODUCT("r7", "r8", "r9")  \
                                       SSAT4("r10", "r11", "r6", "r7", TEXT(MCF_MUL_SHIFT))                            \
                                           STORE4("r3", "r10", "r11", "r6", "r7")

WARM(mul_s8)
void mcf_mul_s8(const int32_t *post, const void *a, const void *b, void *y, int32_t groups, uint32_t zeros) {
    __asm__ volatile("push {r4-r11, lr}\n"
                     "ldrd r12, lr, [sp, #36]\n" ROUNDS("r12", MUL4) "pop {r4-r11, pc}\n");
}

/* 17 instructions for 4 channels: hi((acc << 15) * mult) is (a - a_zp) * factor >> 16, which is one SMLAW. */
#define GATE4                                                                                                          \
    "ldr r7, [r1], #4\n"                                                                                               \
    "ldm r0!, {r4, r5, r8, r9}\n" /* factor, offset of two channels */                                                 \
    "sxtab16 r6, r12, r7\n"                                                                                            \
    "sxtab16 r7, r12, r7, ror #8\n"                                                                                    \
    "smlawb r5, r4, r6, r5\n"                                                                                          \
    "smlawb r9, r8, r7, r9\n"                                                                                          \
    "ldm r0!, {r4, r8, r10, r11}\n"                                                                                    \
    "smlawt r8, r4, r6, r8\n"                                                                                          \
    "smlawt r11, r10, r7, r11\n" SSAT4("r5", "r9", "r8", "r11", TEXT(MCF_MUL_SHIFT))                                   \
        STORE4("r2", "r5", "r9", "r8", "r11")

WARM(gate_s8) void mcf_gate_s8(const int32_t *factors, const void *a, void *y, int32_t groups, uint32_t zeros) {
    __asm__ volatile("push {r4-r11}\n"
                     "ldr r12, [sp, #32]\n" ROUNDS("r3", GATE4) "pop {r4-r11}\n"
                                                                "bx lr\n");
}

#endif
