/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off: assembly is laid out by hand */
/* Depthwise convolution inside mcf_dot: the "group" is 4 channels, the "pair of rows" two output pixels side by side.
 *
 *                   channel 0   1    2    3       r0  kernel: [tap] of two int16 pairs (c0, c2), (c1, c3) in r12, lr
 *     first pixel          r4   r5   r6   r7      r1  strip of x: [line][column] likewise in r2, r3
 *     second pixel         r8   r9   r10  r11
 *
 * A tap is 3 LDRD and 8 SMLAxy for 8 multiplications. The second pixel lies 8*stride bytes further. */
#include "mcf_dot_frame.h"

#if MCF_DSP

#define MAC4(c0, c1, c2, c3)                                                                                           \
    "smlabb " c0 ", r12, r2, " c0 "\n smlabb " c1 ", lr, r3, " c1 "\n"                                                 \
    "smlatt " c2 ", r12, r2, " c2 "\n smlatt " c3 ", lr, r3, " c3 "\n"
#define TAP(second)                                                                                                    \
    "ldrd r12, lr, [r0], #8\n"                                                                                         \
    "ldrd r2, r3, [r1], #8\n" MAC4("r4", "r5", "r6", "r7") "ldrd r2, r3, [r1, #" second                                \
                                                           "]\n" MAC4("r8", "r9", "r10", "r11")
#define NEXT_LINE "ldr r12, " ROW_STEP "\n add r1, r12\n"

/* A kernel row of up to 8 taps, entered where its length asks for it. */
#define ROWS(name, second)                                                                                             \
    __asm(SECTION(dw) LABEL(name) ".rept 8\n" TAP(second) ".endr\n" NEXT_LINE "ldr r12, " W_END "\n"                   \
                                                          "cmp r0, r12\n"                                              \
                                                          "it ne\n"                                                    \
                                                          "ldrne pc, " ROW_ENTRY "\n"                                  \
                                                          "ldr.w pc, " FINISH "\n" END);
ROWS(mcf_dw_row_1, "0")
ROWS(mcf_dw_row_2, "8")

#define KERNEL_3X3(name, row)                                                                                          \
    __asm(SECTION(dw) LABEL(name) row NEXT_LINE row NEXT_LINE row "ldr.w pc, " FINISH "\n" END);
#define FIRST MAC4("r4", "r5", "r6", "r7")
#define SECOND MAC4("r8", "r9", "r10", "r11")
#define KERNEL "ldrd r12, lr, [r0], #8\n"
#define COLUMN "ldrd r2, r3, [r1], #8\n"

/* Stride 1: what the second pixel has of a column, the first one has at the next tap: 7 LDRD a row instead of 9. */
KERNEL_3X3(mcf_dw_3x3_1,
           KERNEL COLUMN FIRST COLUMN SECOND KERNEL FIRST COLUMN SECOND KERNEL FIRST "ldrd r2, r3, [r1]\n" SECOND)
KERNEL_3X3(mcf_dw_3x3_2, TAP("8") TAP("8") TAP("8"))

/* One pixel at r0 to r4 and r5 (or the next two registers). */
#define PIXEL8(ext, a, b) "ldr " b ", [r0]\n add r0, r3\n " ext " " a ", " b "\n " ext " " b ", " b ", ror #8\n"
#define PIXEL16(a, b)                                                                                                  \
    "ldr r12, [r0]\n ldr " b ", [r0, #4]\n add r0, r3\n"                                                               \
    "pkhbt " a ", r12, " b ", lsl #16\n pkhtb " b ", " b ", r12, asr #16\n"
#define EXPAND(name, one, four)                                                                                        \
    __asm(SECTION(dw_expand) LABEL(name) "push {r4-r11}\n"                                                             \
                                         "subs r2, #4\n"                                                               \
                                         "blt 2f\n"                                                                    \
                                         "1:\n" four "stm r1!, {r4-r11}\n"                                             \
                                         "subs r2, #4\n"                                                               \
                                         "bge 1b\n"                                                                    \
                                         "2:\n"                                                                        \
                                         "adds r2, #4\n"                                                               \
                                         "beq 4f\n"                                                                    \
                                         "3:\n" one "stm r1!, {r4-r5}\n"                                               \
                                         "subs r2, #1\n"                                                               \
                                         "bne 3b\n"                                                                    \
                                         "4:\n"                                                                        \
                                         "pop {r4-r11}\n"                                                              \
                                         "bx lr\n" END);
#define BYTES(ext) PIXEL8(ext, "r4", "r5") PIXEL8(ext, "r6", "r7") PIXEL8(ext, "r8", "r9") PIXEL8(ext, "r10", "r11")
EXPAND(mcf_dw_expand_s8, PIXEL8("sxtb16", "r4", "r5"), BYTES("sxtb16"))
EXPAND(mcf_dw_expand_u8, PIXEL8("uxtb16", "r4", "r5"), BYTES("uxtb16"))
EXPAND(mcf_dw_expand_s16, PIXEL16("r4", "r5"),
       PIXEL16("r4", "r5") PIXEL16("r6", "r7") PIXEL16("r8", "r9") PIXEL16("r10", "r11"))

#endif
