/* The register block of every matrix product on Cortex-M4 and M7: 2 rows x 4 channels, 8 sums.
 *
 *                 channel 0   1    2    3         r0  weights, expanded: [K pair][4 channels] of int16 pairs
 *     row 0 (r2)         r4   r5   r6   r7        r1  rows, expanded: [K pair][2 rows] of int16 pairs
 *     row 1 (r3)         r8   r9   r10  r11       r12, lr  weights of two channels
 *
 * A pair is two K positions, (k, k+2) or (k+1, k+3), as SXTB16 takes them from four bytes. A step of 4 positions is 16
 * SMLAD and 6 LDRD for 32 multiplications. The loop over K is unrolled and entered where K asks for it. What does not
 * fit in registers lies in the stack frame: mcf_dot_t above the saved registers. */
#include "mcf_dot.h"

#if MCF_DSP

#define PAIR "[sp, #40]"
#define PAIR_END "[sp, #44]"
#define POST "[sp, #48]"
#define W_END "[sp, #52]"
#define ENTRY "[sp, #56]"
#define FINISH "[sp, #60]"
#define SHIFT "[sp, #64]"
#define Y "[sp, #68]"
#define RES "[sp, #76]"
#define TABLE "[sp, #84]"
#define PAIR_ENTRY "[sp, #88]"
#define W_SKIP "[sp, #92]"
_Static_assert(offsetof(mcf_dot_t, w_skip) == 92 - 36 && offsetof(mcf_dot_t, table) == 84 - 36, "frame of mcf_dot");

/* Assembler at file scope: places in one function that a C function could not name. Each stays below its section. */
#define SECTION(name) ".syntax unified\n.thumb\n.section .text.mcf_hot." #name ",\"ax\",%progbits\n.balign 4\n"
#define LABEL(name) ".global " #name "\n.thumb_func\n.type " #name ", %function\n" #name ":\n"
#define END ".previous\n"

/* sum += weight * row for both rows of a channel */
#define MAC(row0, row1, w) "smlad " row0 ", " w ", r2, " row0 "\n smlad " row1 ", " w ", r3, " row1 "\n"

#ifndef MCF_LDR

#define PAIR_STEP                                \
    "ldrd r2, r3, [r1], #8\n"                    \
    "ldrd r12, lr, [r0], #8\n"                   \
    MAC("r4", "r8", "r12") MAC("r5", "r9", "lr") \
    "ldrd r12, lr, [r0], #8\n"                   \
    MAC("r6", "r10", "r12") MAC("r7", "r11", "lr")
#define LOOP ".rept 16\n" PAIR_STEP PAIR_STEP ".endr\n"
#define LOOP_START
#define LOOP_END

#else

/* Single loads issue beside an SMLAD: each is placed behind the last use of its register and two cycles before the
 * next. Offsets instead of write-back, so the pointers start below by what the entry skips. `i` counts pairs. */
#define PAIR_STEP                                                                        \
    "smlad r4, r12, r2, r4\n ldr.w lr, [r0, #(16*i+4)]\n"                                \
    "smlad r8, r12, r3, r8\n ldr.w r12, [r0, #(16*i+8)]\n"                               \
    "smlad r5, lr, r2, r5\n  smlad r9, lr, r3, r9\n ldr.w lr, [r0, #(16*i+12)]\n"        \
    "smlad r6, r12, r2, r6\n smlad r10, r12, r3, r10\n ldr.w r12, [r0, #(16*i+16)]\n"    \
    "smlad r7, lr, r2, r7\n  ldr.w r2, [r1, #(8*i+8)]\n"                                 \
    "smlad r11, lr, r3, r11\n ldr.w r3, [r1, #(8*i+12)]\n"                               \
    ".set i, i+1\n"
#define LOOP ".set i, 0\n.rept 32\n" PAIR_STEP ".endr\n"
#define LOOP_START             \
    "ldrd r2, r3, [r1]\n"      \
    "ldr r1, " PAIR_ENTRY "\n" \
    "ldr lr, " W_SKIP "\n"     \
    "ldr r12, [r0]\n"          \
    "sub r0, lr\n"
#define LOOP_END "add r0, #512\n add r1, #256\n"

#endif

/* Two of 4 positions straight from packed weights. */
#define PACKED_STEP(rotate, next)                                                        \
    "ldrd r2, r3, [r1], #8\n"                                                            \
    "ldrd r12, lr, [r0, #8]\n"                                                           \
    "sxtb16 r12, r12" rotate "\n sxtb16 lr, lr" rotate "\n"                              \
    MAC("r6", "r10", "r12") MAC("r7", "r11", "lr")                                       \
    "ldrd r12, lr, " next "\n"                                                           \
    "sxtb16 r12, r12" rotate "\n sxtb16 lr, lr" rotate "\n"                              \
    MAC("r4", "r8", "r12") MAC("r5", "r9", "lr")
#define PACKED_LOOP ".rept 4\n" PACKED_STEP("", "[r0]") PACKED_STEP(", ror #8", "[r0], #16") ".endr\n"

__asm(SECTION(dot)
      LABEL(mcf_dot)
      "push {r0-r3}\n"
      "push {r4-r11, lr}\n"
      "mcf_dot_group:\n"
      "ldr r1, " POST "\n"
      "ldmdb r1, {r4-r7}\n"
      "ldmdb r1, {r8-r11}\n"
      "ldr r1, " PAIR "\n" LOOP_START
      "ldr.w pc, " ENTRY "\n"
      ".balign 4\n"
      LABEL(mcf_dot_loop) LOOP LOOP_END
      "ldr lr, " PAIR_END "\n"
      "cmp r1, lr\n"
      "bne.w mcf_dot_loop\n"
      "ldr.w pc, " FINISH "\n"
      LABEL(mcf_dot_packed_loop) PACKED_LOOP
      "ldr r12, " PAIR_END "\n"
      "cmp r1, r12\n"
      "bne.w mcf_dot_packed_loop\n"
      "ldr.w pc, " FINISH "\n"
      "mcf_dot_exit:\n"
      "pop {r4-r11, lr}\n"
      "add sp, #16\n"
      "bx lr\n" END);

/* ------------------------------------------------------------------ finishes */

#define EACH(do, ...)                                                                                           \
    do("r4", __VA_ARGS__) do("r5", __VA_ARGS__) do("r6", __VA_ARGS__) do("r7", __VA_ARGS__)                     \
    do("r8", __VA_ARGS__) do("r9", __VA_ARGS__) do("r10", __VA_ARGS__) do("r11", __VA_ARGS__)
#define ASR(r, by) "asr " r ", " r ", " by "\n"
#define SSAT(r, bits) "ssat " r ", #" bits ", " r "\n"
#define SSAT_1(r, bits) "ssat " r ", #" bits ", " r ", asr #1\n"
#define USAT(r, bits) "usat " r ", #" bits ", " r "\n"
#define USAT_1(r, bits) "usat " r ", #" bits ", " r ", asr #1\n"
#define LOOK_UP(r, load) load " " r ", [r1, " r "]\n"

/* t = hi(sum * mult) + offset; `words` (2, or 3 with rmult) per channel, then the biases of the next group */
#define SCALE_CHANNEL(row0, row1, step) \
    "ldrd r2, r3, [r1], #(" step ")\n smmla " row0 ", " row0 ", r2, r3\n smmla " row1 ", " row1 ", r2, r3\n"
#define SCALE(words)                                                                      \
    "ldr r1, " POST "\n"                                                                  \
    SCALE_CHANNEL("r4", "r8", "4*" words) SCALE_CHANNEL("r5", "r9", "4*" words)           \
    SCALE_CHANNEL("r6", "r10", "4*" words) SCALE_CHANNEL("r7", "r11", "4*" words "+16")   \
    "str r1, " POST "\n"

/* t += res * rmult; r1 is behind the next group's biases */
#define RES_CHANNEL(row0, row1, load, size, rmult)  \
    "ldr r12, [r1, #-" rmult "]\n"                  \
    load " r0, [r2], #" size "\n"                   \
    load " lr, [r3], #" size "\n"                   \
    "mla " row0 ", r0, r12, " row0 "\n"             \
    "mla " row1 ", lr, r12, " row1 "\n"
#define ADD_RES(load, size)                                                                       \
    "str r0, [sp, #36]\n"                                                                         \
    "ldrd r2, r3, " RES "\n"                                                                      \
    RES_CHANNEL("r4", "r8", load, size, "56") RES_CHANNEL("r5", "r9", load, size, "44")           \
    RES_CHANNEL("r6", "r10", load, size, "32") RES_CHANNEL("r7", "r11", load, size, "20")         \
    "strd r2, r3, " RES "\n"                                                                      \
    "ldr r0, [sp, #36]\n"

#define STORE_ROW(store, size, y, a, b, c, d)                                                     \
    store a ", [" y "], #" size "\n" store b ", [" y "], #" size "\n"                             \
    store c ", [" y "], #" size "\n" store d ", [" y "], #" size "\n"
#define STORE(store, size)                                                                        \
    "ldrd r2, r3, " Y "\n"                                                                        \
    STORE_ROW(store, size, "r2", "r4", "r5", "r6", "r7") STORE_ROW(store, size, "r3", "r8", "r9", "r10", "r11") \
    "strd r2, r3, " Y "\n"

#define NEXT_GROUP                \
    "ldr r12, " W_END "\n"        \
    "cmp r0, r12\n"               \
    "bne.w mcf_dot_group\n"       \
    "b.w mcf_dot_exit\n"

#define SHIFTED "ldr r1, " SHIFT "\n" EACH(ASR, "r1")
#define FINISH_AS(name, code) __asm(SECTION(dot) LABEL(name) code NEXT_GROUP END);

FINISH_AS(mcf_dot_s8, SCALE("2") SHIFTED EACH(SSAT, "8") STORE("strb ", "1"))
FINISH_AS(mcf_dot_s8_1, SCALE("2") EACH(SSAT_1, "8") STORE("strb ", "1"))
FINISH_AS(mcf_dot_s8_res8, SCALE("3") ADD_RES("ldrsb", "1") SHIFTED EACH(SSAT, "8") STORE("strb ", "1"))
FINISH_AS(mcf_dot_s8_res16, SCALE("3") ADD_RES("ldrsh", "2") SHIFTED EACH(SSAT, "8") STORE("strb ", "1"))

#define TABLE_S8 "ldr r1, " TABLE "\n" EACH(LOOK_UP, "ldrb") STORE("strb ", "1")
#define FINISH_TABLE(name, bits) FINISH_AS(name, SCALE("2") SHIFTED EACH(USAT, bits) TABLE_S8)
#define FINISH_TABLE_1(name, bits) FINISH_AS(name, SCALE("2") EACH(USAT_1, bits) TABLE_S8)
FINISH_TABLE(mcf_dot_s8_table8, "8")
FINISH_TABLE(mcf_dot_s8_table9, "9")
FINISH_TABLE(mcf_dot_s8_table10, "10")
FINISH_TABLE(mcf_dot_s8_table11, "11")
FINISH_TABLE(mcf_dot_s8_table12, "12")
FINISH_TABLE_1(mcf_dot_s8_table10_1, "10")
FINISH_TABLE_1(mcf_dot_s8_table12_1, "12")

/* The sums themselves. Both rows are read before either is written: an odd last row is its own partner. */
#define STORE_SUMS "stm r2!, {r4-r7}\n stm r3!, {r8-r11}\n strd r2, r3, " Y "\n"
#define ADD_TWO(y, at, a, b) "ldrd r12, lr, [" y ", #" at "]\n add " a ", r12\n add " b ", lr\n"
FINISH_AS(mcf_dot_sums, "ldr r1, " POST "\n ldr r12, " SHIFT "\n add r1, r12\n str r1, " POST "\n"
                        "ldrd r2, r3, " Y "\n" STORE_SUMS)
FINISH_AS(mcf_dot_add_sums, "ldrd r2, r3, " Y "\n" ADD_TWO("r2", "0", "r4", "r5") ADD_TWO("r2", "8", "r6", "r7")
                            ADD_TWO("r3", "0", "r8", "r9") ADD_TWO("r3", "8", "r10", "r11") STORE_SUMS)

/* ------------------------------------------------------------------ expansion to 16 bits */

#define BLOCK_OF_16                                                      \
    "ldm r0!, {r8-r11}\n"                                                \
    "sxtb16 r4, r8\n sxtb16 r5, r9\n sxtb16 r6, r10\n sxtb16 r7, r11\n"  \
    "sxtb16 r8, r8, ror #8\n sxtb16 r9, r9, ror #8\n"                    \
    "sxtb16 r10, r10, ror #8\n sxtb16 r11, r11, ror #8\n"                \
    "stm r1!, {r4-r11}\n"

__asm(SECTION(expand)
        LABEL(mcf_dot_expand)
        "push {r4-r11}\n"
        "tst r2, #1\n"
        "bne 2f\n"
        "1:\n" BLOCK_OF_16
        "2:\n" BLOCK_OF_16
        "subs r2, #2\n"
        "bgt 1b\n"
        "pop {r4-r11}\n"
        "bx lr\n" END);

/* Rows r0, r1 to r2: a word of 4 bytes of each gives 4 words; count (r3) words of each, two at a time. */
#define WIDEN(x, y, ext, to0, to1, to2, to3)                                            \
    ext " " to0 ", " x "\n" ext " " to1 ", " y "\n"                                     \
    ext " " to2 ", " x ", ror #8\n" ext " " to3 ", " y ", ror #8\n"
#define PAIR_OF_BYTES(name, ext, load_two)                                              \
    __asm(SECTION(pair) LABEL(name) \
            "push {r4-r11}\n"                                                           \
            "tst r3, #1\n"                                                              \
            "beq 1f\n"                                                                  \
            "ldr r6, [r0], #4\n ldr r7, [r1], #4\n"                                     \
            WIDEN("r6", "r7", ext, "r4", "r5", "r6", "r7") "stm r2!, {r4-r7}\n"         \
            "subs r3, #1\n"                                                             \
            "beq 2f\n"                                                                  \
            "1:\n" load_two                                                             \
            WIDEN("r6", "r7", ext, "r4", "r5", "r6", "r7")                              \
            WIDEN("r10", "r11", ext, "r8", "r9", "r10", "r11")                          \
            "stm r2!, {r4-r11}\n"                                                       \
            "subs r3, #2\n"                                                             \
            "bgt 1b\n"                                                                  \
            "2:\n"                                                                      \
            "pop {r4-r11}\n"                                                            \
            "bx lr\n" END);
#define ALIGNED "ldrd r6, r10, [r0], #8\n ldrd r7, r11, [r1], #8\n"
#define UNALIGNED "ldr r10, [r0, #4]\n ldr r6, [r0], #8\n ldr r11, [r1, #4]\n ldr r7, [r1], #8\n"
PAIR_OF_BYTES(mcf_dot_pair_s8, "sxtb16", UNALIGNED)
PAIR_OF_BYTES(mcf_dot_pair_u8, "uxtb16", UNALIGNED)
PAIR_OF_BYTES(mcf_dot_pair_s8_aligned, "sxtb16", ALIGNED)
PAIR_OF_BYTES(mcf_dot_pair_u8_aligned, "uxtb16", ALIGNED)

__asm(SECTION(pair)
        LABEL(mcf_dot_pair_s16)
        "push {r4-r11}\n"
        "1:\n"
        "ldr r9, [r0, #4]\n ldr r8, [r0], #8\n ldr r11, [r1, #4]\n ldr r10, [r1], #8\n"
        "pkhbt r4, r8, r9, lsl #16\n pkhbt r5, r10, r11, lsl #16\n"
        "pkhtb r6, r9, r8, asr #16\n pkhtb r7, r11, r10, asr #16\n"
        "stm r2!, {r4-r7}\n"
        "subs r3, #1\n"
        "bgt 1b\n"
        "pop {r4-r11}\n"
        "bx lr\n" END);

#endif
