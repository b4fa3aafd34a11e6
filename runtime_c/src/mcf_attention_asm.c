/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off: assembly is laid out by hand */
/* The loops of attention for Cortex-M4 and M7. One register block serves q K^T and P V: two rows A times four rows B,
 * both as pairs of int16, one step being a pair of channels (of tokens in P V):
 *
 *     A: words [a0 a1] per step at r0            b0   b1   b2   b3
 *     B: words [b0 b1 b2 b3] per step at r1  a0  r4   r5   r6   r7     a0, a1 in r2, r3;
 *                                            a1  r8   r9   r10  r11    b0, b1, then b2, b3 in r12, lr
 *
 * 16 MACs in 8 SMLAD and 3 LDRD: 0.6875 instructions per MAC. -DMCF_LDR loads word by word instead (0.875), which the
 * Cortex-M7 pairs with SMLAD. All pointers and counts beside r0, r1 wait on the stack: sp points to a copy of the
 * arguments, which start with mcf_dots_t (end, done, first, skip, bytes). */
#include "mcf_asm.h"
#include "mcf_attention_dsp.h"

#if MCF_DSP

#define UNROLL 32

#define FIRST(acc, a, b) "smuad " #acc ", " #a ", " #b "\n"
#define NEXT(acc, a, b) "smlad " #acc ", " #a ", " #b ", " #acc "\n"

#ifndef MCF_LDR

#define STEP_BYTES 44
#define STEP(MUL)                                                                                                      \
    "ldrd r2, r3, [r0], #8\n"                                                                                          \
    "ldrd r12, lr, [r1], #8\n" MUL(r4, r2, r12) MUL(r5, r2, lr) MUL(r8, r3, r12)                                       \
        MUL(r9, r3, lr) "ldrd r12, lr, [r1], #8\n" MUL(r6, r2, r12) MUL(r7, r2, lr) MUL(r10, r3, r12) MUL(r11, r3, lr)
#define FIRST_STEP STEP(FIRST) "ldr pc, [sp, #8]\n"
#define STEPS ".rept " TEXT(UNROLL) "\n" STEP(NEXT) ".endr\n"

#else /* single loads, each beside an SMLAD; offsets instead of write-back, so the pointers start below the entry */

#define STEP_BYTES 56
#define STEP(MUL)                                                                                                      \
    "ldr.w r2, [r0, #8*i]\n"                                                                                           \
    "ldr.w r12, [r1, #16*i]\n"                                                                                         \
    "ldr.w lr, [r1, #16*i+4]\n" MUL(r4, r2, r12) "ldr.w r3, [r0, #8*i+4]\n" MUL(r5, r2, lr)                            \
        MUL(r8, r3, r12) "ldr.w r12, [r1, #16*i+8]\n" MUL(r9, r3, lr) "ldr.w lr, [r1, #16*i+12]\n" MUL(r6, r2, r12)    \
            MUL(r10, r3, r12) MUL(r7, r2, lr) MUL(r11, r3, lr) ".set i, i+1\n"
#define FIRST_STEP                                                                                                     \
    ".set i, 0\n" STEP(FIRST) "ldr r2, [sp, #12]\n" /* skip */                                                         \
                              "sub r1, r1, r2\n"                                                                       \
                              "sub r0, r0, r2, asr #1\n"                                                               \
                              "ldr pc, [sp, #8]\n"
#define STEPS                                                                                                          \
    ".set i, 0\n"                                                                                                      \
    ".rept " TEXT(UNROLL) "\n" STEP(NEXT) ".endr\n"                                                                    \
                                          "add.w r0, r0, #8*" TEXT(UNROLL) "\n"                                        \
                                                                           "add.w r1, r1, #16*" TEXT(UNROLL) "\n"

#endif

#define ROW0(op) op(r4) op(r5) op(r6) op(r7)
#define ROW1(op) op(r8) op(r9) op(r10) op(r11)
#define SHIFT(r) "lsl " #r ", " #r ", r3\n"
#define SCALE(r) "smmul " #r ", " #r ", r3\n"
#define SAT16(r) "ssat " #r ", #16, " #r "\n"
#define SAT8(r) "ssat " #r ", #8, " #r "\n"
#define NORMALISE(r) "smmla " #r ", " #r ", r2, r3\n asr " #r ", " #r ", r12\n"

/* The steps after the first, entered in the middle so that the first pass takes the odd ones. sp: mcf_dots_t. */
NAKED(attention_steps) static void steps(void) {
    __asm__ volatile("0:\n" STEPS "ldr r2, [sp]\n"
                     "cmp r1, r2\n"
                     "bne 0b\n"
                     "ldr pc, [sp, #4]\n");
}

mcf_dots_t mcf_dots(int32_t count) {
    const int32_t odd = (count - 1) % UNROLL;
    const int32_t skipped = count > 1 && odd == 0 ? 0 : UNROLL - odd;
    return (mcf_dots_t){NULL, 0, (uintptr_t)steps + (uintptr_t)(STEP_BYTES * skipped), 16 * (skipped - 1), 16 * count};
}

/* Stack: dots, m (20), scores, stride (28), end of scores, pre_shift (36). */
NAKED(attention_scores) void mcf_scores(const uint32_t *q, const uint32_t *k, const mcf_scores_t *args) {
    __asm__ volatile("push {r4-r11, lr}\n"
                     "ldm r2, {r3-r12}\n"
                     "adr.w r4, 2f\n"
                     "adr.w r2, 3f\n"
                     "cmp r12, #0\n"
                     "it eq\n"
                     "moveq r4, r2\n"
                     "adr.w r2, 4f\n"
                     "it lt\n"
                     "movlt r4, r2\n"
                     "add r4, r4, #1\n" /* Thumb */
                     "push {r3-r12}\n"
                     "1:\n" FIRST_STEP "2:\n" /* done, pre_shift > 0 */
                     "ldr r3, [sp, #36]\n" ROW0(SHIFT)
                         ROW1(SHIFT) "3:\n"                     /* done, pre_shift 0 */
                                     "ldrd r2, r3, [sp, #16]\n" /* bytes, m */
                                     "sub r1, r1, r2\n" ROW0(SCALE) ROW1(SCALE) ROW0(SAT16)
                                         ROW1(SAT16) "b 5f\n"
                                                     "4:\n" /* done, no score can saturate */
                                                     "ldrd r2, r3, [sp, #16]\n"
                                                     "sub r1, r1, r2\n" ROW0(SCALE)
                                                         ROW1(SCALE) "5:\n"
                                                                     "pkhbt r4, r4, r5, lsl #16\n"
                                                                     "pkhbt r6, r6, r7, lsl #16\n"
                                                                     "pkhbt r8, r8, r9, lsl #16\n"
                                                                     "pkhbt r10, r10, r11, lsl #16\n"
                                                                     "ldrd r2, r3, [sp, #24]\n" /* scores, stride */
                                                                     "strd r4, r8, [r2]\n"
                                                                     "strd r6, r10, [r2, #8]\n"
                                                                     "add r2, r2, r3\n"
                                                                     "str r2, [sp, #24]\n"
                                                                     "ldr r3, [sp, #32]\n"
                                                                     "cmp r2, r3\n"
                                                                     "bne 1b\n"
                                                                     "add sp, sp, #40\n"
                                                                     "pop {r4-r11, pc}\n");
}

/* Without expanded keys: two rows A by two keys in int8, four channels in 15 instructions for 16 MACs. A four words
 * [a0 a1 of 0 2] [a0 a1 of 1 3] at r0, keys at r1 and r2, which end at r3; sums of key 0 in r4, r5, of key 1 in r6, r7. */
#define KEY(p, row0, row1)                                                                                             \
    "ldr r12, [" #p "], #4\n"                                                                                          \
    "sxtb16 lr, r12\n"                                                                                                 \
    "sxtb16 r12, r12, ror #8\n" NEXT(row0, r8, lr) NEXT(row1, r9, lr) NEXT(row0, r10, r12) NEXT(row1, r11, r12)
#define DIRECT_UNROLL 8
#define DIRECT_BYTES 60

NAKED(attention_direct_steps) static void direct_steps(void) {
    __asm__ volatile("0:\n"
                     ".rept " TEXT(DIRECT_UNROLL) "\n"
                                                  "ldm r0!, {r8-r11}\n" KEY(r1, r4, r5)
                                                      KEY(r2, r6, r7) ".endr\n"
                                                                      "cmp r1, r3\n"
                                                                      "bne 0b\n"
                                                                      "ldr pc, [sp]\n");
}

uintptr_t mcf_direct_first(int32_t words) {
    const int32_t odd = words % DIRECT_UNROLL;
    return (uintptr_t)direct_steps + (uintptr_t)(odd ? DIRECT_BYTES * (DIRECT_UNROLL - odd) : 0);
}

/* Stack: done, first, bytes (8), k_next, k_pitch (16), m, starts (24), scores (32), count (36). */
NAKED(attention_direct) void mcf_direct(const uint32_t *q, const uint8_t *k, const mcf_direct_t *args) {
    __asm__ volatile("push {r4-r11, lr}\n"
                     "ldm r2, {r3-r12}\n"
                     "adr.w r3, 2f\n"
                     "add r3, r3, #1\n" /* Thumb */
                     "push {r3-r12}\n"
                     "add r2, r1, r7\n"
                     "1:\n"
                     "ldrd r4, r5, [sp, #24]\n"
                     "ldr r3, [sp, #8]\n"
                     "mov r6, r4\n"
                     "mov r7, r5\n"
                     "add r3, r1, r3\n"
                     "ldr pc, [sp, #4]\n"
                     "2:\n"
                     "ldrd r8, r9, [sp, #8]\n" /* bytes, k_next */
                     "ldr r3, [sp, #20]\n"     /* m */
                     "sub r0, r0, r8, lsl #2\n"
                     "add r1, r1, r9\n"
                     "add r2, r2, r9\n" SCALE(r4) SCALE(r5) SCALE(r6)
                         SCALE(r7) "ldrd r8, r9, [sp, #32]\n" /* scores, count */
                     SAT16(r4) SAT16(r5) SAT16(r6) SAT16(r7) "pkhbt r4, r4, r6, lsl #16\n"
                                                             "pkhbt r5, r5, r7, lsl #16\n"
                                                             "strd r4, r5, [r8], #8\n"
                                                             "subs r9, r9, #1\n"
                                                             "strd r8, r9, [sp, #32]\n"
                                                             "bne 1b\n"
                                                             "add sp, sp, #40\n"
                                                             "pop {r4-r11, pc}\n");
}

/* Stack: dots, gap (20), norm, y (28), y_stride, pairs (36). */
#define WEIGH(SATURATE_AND_STORE)                                                                                      \
    __asm__ volatile("push {r4-r11, lr}\n"                                                                             \
                     "ldm r2, {r3-r12}\n"                                                                              \
                     "adr.w r4, 2f\n"                                                                                  \
                     "add r4, r4, #1\n"                                                                                \
                     "push {r3-r12}\n"                                                                                 \
                     "1:\n" FIRST_STEP "2:\n"                                                                          \
                     "ldrd r2, r3, [sp, #16]\n" /* bytes, gap */                                                       \
                     "sub r1, r1, r2\n"                                                                                \
                     "add r0, r0, r3\n"                                                                                \
                     "ldr lr, [sp, #24]\n"                                                                             \
                     "ldm lr!, {r2, r3, r12}\n" ROW0(NORMALISE) "ldm lr!, {r2, r3, r12}\n" ROW1(                       \
                         NORMALISE) "str lr, [sp, #24]\n"                                                              \
                                    "ldrd r2, r3, [sp, #28]\n" /* y, y_stride */                                       \
                     SATURATE_AND_STORE "add r2, r2, r3, lsl #1\n"                                                     \
                                    "str r2, [sp, #28]\n"                                                              \
                                    "ldr r3, [sp, #36]\n"                                                              \
                                    "subs r3, r3, #1\n"                                                                \
                                    "str r3, [sp, #36]\n"                                                              \
                                    "bne 1b\n"                                                                         \
                                    "add sp, sp, #40\n"                                                                \
                                    "pop {r4-r11, pc}\n")

/* Four bytes of a row into one word. */
#define BYTES(a, b, c, d)                                                                                              \
    "pkhbt " #a ", " #a ", " #c ", lsl #16\n"                                                                          \
    "pkhbt " #b ", " #b ", " #d ", lsl #16\n"                                                                          \
    "uxtb16 " #a ", " #a "\n"                                                                                          \
    "uxtb16 " #b ", " #b "\n"                                                                                          \
    "orr " #a ", " #a ", " #b ", lsl #8\n"
#define HALVES(a, b, c, d)                                                                                             \
    "pkhbt " #a ", " #a ", " #b ", lsl #16\n"                                                                          \
    "pkhbt " #b ", " #c ", " #d ", lsl #16\n"

NAKED(attention_weigh8) void mcf_weigh8(const uint32_t *p, const uint32_t *v, const mcf_weigh_t *args) {
    WEIGH(ROW0(SAT8) ROW1(SAT8) BYTES(r4, r5, r6, r7) BYTES(r8, r9, r10, r11) "str r4, [r2]\n"
                                                                              "str r8, [r2, r3]\n");
}

NAKED(attention_weigh16) void mcf_weigh16(const uint32_t *p, const uint32_t *v, const mcf_weigh_t *args) {
    WEIGH(ROW0(SAT16) ROW1(SAT16) HALVES(r4, r5, r6, r7) HALVES(r8, r9, r10, r11) "str r4, [r2]\n"
                                                                                  "str r5, [r2, #4]\n"
                                                                                  "add r12, r2, r3\n"
                                                                                  "str r8, [r12]\n"
                                                                                  "str r9, [r12, #4]\n");
}

#endif
