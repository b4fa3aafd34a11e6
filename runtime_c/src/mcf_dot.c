/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off: assembly is laid out by hand */
/* The register block of every matrix product on Cortex-M4 and M7: 2 rows x 4 channels, 8 sums.
 *
 *                 channel 0   1    2    3         r0  weights, expanded: [K pair][4 channels] of int16 pairs
 *     row 0 (r2)         r4   r5   r6   r7        r1  rows, expanded: [K pair][2 rows] of int16 pairs
 *     row 1 (r3)         r8   r9   r10  r11       r12, lr  weights of two channels
 *
 * A pair is two K positions, (k, k+2) or (k+1, k+3), as SXTB16 takes them from four bytes. A step of 4 positions is 16
 * SMLAD and 6 LDRD for 32 multiplications. The loop over K is unrolled and entered where K asks for it; a group of 4
 * channels ends in one of the finishes (mcf_dot_finish.c), which go on with the next group. What does not fit in
 * registers lies in the stack frame: a copy of mcf_dot_t. Assembler at file scope, because C cannot name the places in
 * the middle of the function. */
#include "mcf_asm.h"
#include "mcf_dot_frame.h"

#if MCF_DSP

#define UNROLL TEXT(MCF_DOT_UNROLL)

/* sum += weight * row for both rows of a channel */
#define MAC(row0, row1, w) "smlad " row0 ", " w ", r2, " row0 "\n smlad " row1 ", " w ", r3, " row1 "\n"

#ifndef MCF_LDR

#define STEP                                                                                                           \
    "ldrd r2, r3, [r1], #8\n"                                                                                          \
    "ldrd r12, lr, [r0], #8\n" MAC("r4", "r8", "r12")                                                                  \
        MAC("r5", "r9", "lr") "ldrd r12, lr, [r0], #8\n" MAC("r6", "r10", "r12") MAC("r7", "r11", "lr")
#define LOOP ".rept 2*" UNROLL "\n" STEP ".endr\n"
#define LOOP_START
#define LOOP_END
#define ENTRY_NEXT

#else

/* Single loads issue beside an SMLAD: each is placed behind the last use of its register and two cycles before the
 * next. Offsets instead of write-back, so the pointers start below by what the entry skips. `i` counts steps. */
#define STEP                                                                                                           \
    "smlad r4, r12, r2, r4\n ldr.w lr, [r0, #(16*i+4)]\n"                                                              \
    "smlad r8, r12, r3, r8\n ldr.w r12, [r0, #(16*i+8)]\n"                                                             \
    "smlad r5, lr, r2, r5\n  smlad r9, lr, r3, r9\n ldr.w lr, [r0, #(16*i+12)]\n"                                      \
    "smlad r6, r12, r2, r6\n smlad r10, r12, r3, r10\n ldr.w r12, [r0, #(16*i+16)]\n"                                  \
    "smlad r7, lr, r2, r7\n  ldr.w r2, [r1, #(8*i+8)]\n"                                                               \
    "smlad r11, lr, r3, r11\n ldr.w r3, [r1, #(8*i+12)]\n"                                                             \
    ".set i, i+1\n"
#define LOOP ".set i, 0\n.rept 2*" UNROLL "\n" STEP ".endr\n"
#define LOOP_START                                                                                                     \
    "ldrd r2, r3, [r1]\n"                                                                                              \
    "ldr r1, " PAIR_ENTRY "\n"                                                                                         \
    "ldr lr, " W_SKIP "\n"                                                                                             \
    "ldr r12, [r0]\n"                                                                                                  \
    "sub r0, lr\n"
#define LOOP_END "add.w r0, r0, #16*2*" UNROLL "\n add.w r1, r1, #8*2*" UNROLL "\n"
#define ENTRY_NEXT "ldr r2, " PAIR_ENTRY "\n add r2, r3\n str r2, " PAIR_ENTRY "\n"

#endif

/* Straight from packed weights: the even two of 4 positions, then (", ror #8") the odd ones. An int4 counts 16 times. */
#define PACKED8_STEP(odd, next)                                                                                        \
    "ldrd r2, r3, [r1], #8\n"                                                                                          \
    "ldrd r12, lr, [r0, #8]\n"                                                                                         \
    "sxtb16 r12, r12" odd "\n sxtb16 lr, lr" odd "\n" MAC("r6", "r10", "r12")                                          \
        MAC("r7", "r11", "lr") "ldrd r12, lr, " next "\n"                                                              \
                               "sxtb16 r12, r12" odd "\n sxtb16 lr, lr" odd "\n" MAC("r4", "r8", "r12")                \
                                   MAC("r5", "r9", "lr")
#define PACKED8_LOOP ".rept 4\n" PACKED8_STEP("", "[r0]") PACKED8_STEP(", ror #8", "[r0], #16") ".endr\n"

#define NIBBLE(row0, row1, from, up, odd)                                                                              \
    "ldr.w r12, " from "\n" up "and r12, r12, #0xf0f0f0f0\n sxtb16 r12, r12" odd "\n" MAC(row0, row1, "r12")
#define UP "lsl.w r12, r12, #4\n"
#define PACKED4_STEP(odd, next)                                                                                        \
    "ldrd r2, r3, [r1], #8\n" NIBBLE("r6", "r10", "[r0, #4]", UP, odd) NIBBLE("r7", "r11", "[r0, #4]", "", odd)        \
        NIBBLE("r4", "r8", "[r0]", UP, odd) NIBBLE("r5", "r9", next, "", odd)
#define PACKED4_LOOP ".rept 4\n" PACKED4_STEP("", "[r0]") PACKED4_STEP(", ror #8", "[r0], #8") ".endr\n"

#define LOOP_WHILE(label, temp)                                                                                        \
    "ldr " temp ", " PAIR_END "\n cmp r1, " temp "\n bne.w " label "\n ldr.w pc, " FINISH "\n"

/* r0: weights, r1: biases */
#define GROUP                                                                                                          \
    "ldm r1!, {r4-r7}\n"                                                                                               \
    "ldmdb r1, {r8-r11}\n"                                                                                             \
    "str r1, " POST "\n"                                                                                               \
    "ldr r1, " PAIR "\n" LOOP_START "ldr.w pc, " ENTRY "\n"

__asm(SECTION(dot) LABEL(
    mcf_dot) "push {r4-r11, lr}\n"
             "sub sp, #" FRAME_BYTES "\n"
             "mov r12, sp\n"
             "ldm r0!, {r1-r8}\n stm r12!, {r1-r8}\n"
             "ldm r0!, {r1-r8}\n stm r12!, {r1-r8}\n"
             "ldm r0!, {r1-r8}\n stm r12!, {r1-r8}\n"
             "ldm r0, {r1-r3}\n stm r12, {r1-r3}\n"
             "ldr r0, " W "\n"
             "ldr r1, " POST "\n"
             "b 1f\n" LABEL(
                 mcf_dot_next_pair) "add r12, sp, #72\n ldm r12, {r2-r6}\n" /* pairs, pair_bytes, y_step, res_step, post_back */
                                    "subs r2, #1\n"
                                    "beq 2f\n"
                                    "str r2, " PAIRS "\n"
                                    "ldrd r7, r8, " PAIR "\n add r7, r3\n add r8, r3\n strd r7, r8, " PAIR "\n"
                                    "add r12, sp, #32\n ldm r12, {r7-r10}\n" /* y, res */
                                    "add r7, r4\n add r8, r4\n add r9, r5\n add r10, r5\n stm r12, {r7-r10}\n" ENTRY_NEXT
                                    "sub r1, r6\n"
                                    "ldr r0, " W "\n"
                                    "1:\n" LABEL(mcf_dot_group) GROUP LABEL(mcf_dot_loop)
                                        LOOP LOOP_END LOOP_WHILE("mcf_dot_loop", "lr") LABEL(mcf_dot_packed8_loop)
                                            PACKED8_LOOP LOOP_WHILE("mcf_dot_packed8_loop", "r12")
                                                LABEL(mcf_dot_packed4_loop)
                                                    PACKED4_LOOP LOOP_WHILE("mcf_dot_packed4_loop",
                                                                            "r12") "2:\n"
                                                                                   "add sp, #" FRAME_BYTES "\n"
                                                                                   "pop {r4-r11, pc}\n" END);

#endif
