/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off: assembly is laid out by hand */
/* Widening to int16 pairs for mcf_dot: of packed weights, and of two rows. */
#include "mcf_dot_frame.h"

#if MCF_DSP

/* Four channels by four positions: r8-r11 to even positions in r4-r7, odd ones in r8-r11. */
#define WIDEN_BLOCK                                                                                                    \
    "sxtb16 r4, r8\n sxtb16 r5, r9\n sxtb16 r6, r10\n sxtb16 r7, r11\n"                                                \
    "sxtb16 r8, r8, ror #8\n sxtb16 r9, r9, ror #8\n"                                                                  \
    "sxtb16 r10, r10, ror #8\n sxtb16 r11, r11, ror #8\n"                                                              \
    "stm r1!, {r4-r11}\n"
#define BLOCK8 "ldm r0!, {r8-r11}\n" WIDEN_BLOCK
#define BLOCK4                                                                                                         \
    "ldm r0!, {r9, r11}\n"                                                                                             \
    "and r8, r12, r9, lsl #4\n and r9, r12\n"                                                                          \
    "and r10, r12, r11, lsl #4\n and r11, r12\n" WIDEN_BLOCK
#define EXPAND(name, block)                                                                                            \
    __asm(SECTION(expand) LABEL(name) "push {r4-r11}\n"                                                                \
                                      "mov.w r12, #0xf0f0f0f0\n"                                                       \
                                      "ands r3, r2, #3\n"                                                              \
                                      "beq 2f\n"                                                                       \
                                      "1:\n" block "subs r3, #1\n"                                                     \
                                      "bne 1b\n"                                                                       \
                                      "2:\n"                                                                           \
                                      "lsrs r2, r2, #2\n"                                                              \
                                      "beq 4f\n"                                                                       \
                                      "3:\n" block block block block "subs r2, #1\n"                                   \
                                      "bne 3b\n"                                                                       \
                                      "4:\n"                                                                           \
                                      "pop {r4-r11}\n"                                                                 \
                                      "bx lr\n" END);
EXPAND(mcf_dot_expand8, BLOCK8)
EXPAND(mcf_dot_expand4, BLOCK4)

/* Rows r0, r1 to r2, `count` (r3) words of each: first what is over four words, then four at a time. */
#define WIDEN_WORD(x, y, ext, to0, to1, to2, to3)                                                                      \
    ext " " to0 ", " x "\n" ext " " to1 ", " y "\n" ext " " to2 ", " x ", ror #8\n" ext " " to3 ", " y ", ror #8\n"
#define TWO_WORDS(ext, load)                                                                                           \
    load WIDEN_WORD("r6", "r7", ext, "r4", "r5", "r6", "r7")                                                           \
        WIDEN_WORD("r10", "r11", ext, "r8", "r9", "r10", "r11") "stm r2!, {r4-r11}\n"
#define PAIR_OF_BYTES(name, ext, load)                                                                                 \
    __asm(SECTION(pair) LABEL(name) "push {r4-r11}\n"                                                                  \
                                    "ands r12, r3, #3\n"                                                               \
                                    "beq 2f\n"                                                                         \
                                    "1:\n"                                                                             \
                                    "ldr r6, [r0], #4\n ldr r7, [r1], #4\n" WIDEN_WORD(                                \
                                        "r6", "r7", ext, "r4", "r5", "r6",                                             \
                                        "r7") "stm r2!, {r4-r7}\n"                                                     \
                                              "subs r12, #1\n"                                                         \
                                              "bne 1b\n"                                                               \
                                              "2:\n"                                                                   \
                                              "lsrs r3, r3, #2\n"                                                      \
                                              "beq 4f\n"                                                               \
                                              "3:\n" TWO_WORDS(ext, load) TWO_WORDS(ext, load) "subs r3, #1\n"         \
                                                                                               "bne 3b\n"              \
                                                                                               "4:\n"                  \
                                                                                               "pop {r4-r11}\n"        \
                                                                                               "bx lr\n" END);
#define ALIGNED "ldrd r6, r10, [r0], #8\n ldrd r7, r11, [r1], #8\n"
#define UNALIGNED "ldr r10, [r0, #4]\n ldr r6, [r0], #8\n ldr r11, [r1, #4]\n ldr r7, [r1], #8\n"
PAIR_OF_BYTES(mcf_dot_pair_s8, "sxtb16", UNALIGNED)
PAIR_OF_BYTES(mcf_dot_pair_u8, "uxtb16", UNALIGNED)
PAIR_OF_BYTES(mcf_dot_pair_s8_aligned, "sxtb16", ALIGNED)
PAIR_OF_BYTES(mcf_dot_pair_u8_aligned, "uxtb16", ALIGNED)

__asm(SECTION(pair)
          LABEL(mcf_dot_pair_s16) "push {r4-r11}\n"
                                  "1:\n"
                                  "ldr r9, [r0, #4]\n ldr r8, [r0], #8\n ldr r11, [r1, #4]\n ldr r10, [r1], #8\n"
                                  "pkhbt r4, r8, r9, lsl #16\n pkhbt r5, r10, r11, lsl #16\n"
                                  "pkhtb r6, r9, r8, asr #16\n pkhtb r7, r11, r10, asr #16\n"
                                  "stm r2!, {r4-r7}\n"
                                  "subs r3, #1\n"
                                  "bne 1b\n"
                                  "pop {r4-r11}\n"
                                  "bx lr\n" END);

/* Two patches of three lines of 9 bytes, r3 apart: 27 bytes as 7 words, the fourth byte of the last is 0. */
#define WORD_OF_BOTH(ext) WIDEN_WORD("r6", "r7", ext, "r4", "r5", "r6", "r7") "stm r2!, {r4-r7}\n"
#define LOAD_BOTH(at) "ldr r6, [r0, #" at "]\n ldr r7, [r1, #" at "]\n"
#define NEXT_LINES "add r0, r3\n add r1, r3\n"
#define PAIR_OF_3X9(name, ext)                                                                                         \
    __asm(SECTION(rgb) LABEL(name) "push {r4-r9}\n" LOAD_BOTH("0") WORD_OF_BOTH(ext) LOAD_BOTH("4")                    \
              WORD_OF_BOTH(ext) "ldrb r8, [r0, #8]\n ldrb r9, [r1, #8]\n" NEXT_LINES LOAD_BOTH(                        \
                  "-1") "bfi r6, r8, #0, #8\n bfi r7, r9, #0, #8\n" WORD_OF_BOTH(ext) LOAD_BOTH("3")                   \
                  WORD_OF_BOTH(ext) "ldrh r8, [r0, #7]\n ldrh r9, [r1, #7]\n" NEXT_LINES LOAD_BOTH(                    \
                      "-2") "pkhtb r6, r6, r8\n pkhtb r7, r7, r9\n" WORD_OF_BOTH(ext) LOAD_BOTH("2") WORD_OF_BOTH(ext) \
                      LOAD_BOTH("5") "lsr r6, r6, #8\n lsr r7, r7, #8\n" WORD_OF_BOTH(ext) "pop {r4-r9}\n"             \
                                                                                           "bx lr\n" END);
PAIR_OF_3X9(mcf_dot_pair_3x9_s8, "sxtb16")
PAIR_OF_3X9(mcf_dot_pair_3x9_u8, "uxtb16")

#endif
