/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off: assembly is laid out by hand */
/* What becomes of the 8 sums of a group of 4 channels (r4-r7: row 0, r8-r11: row 1), one place in mcf_dot per kind of
 * layer: scale and offset, residual, shift, table or saturation, store; then on to the next group.
 * Free: r2, r3, r12, lr. r0 is the weight pointer; r1 walks through the layer's constants. */
#include "mcf_dot_frame.h"

#if MCF_DSP

#define EACH(do, ...)                                                                                                  \
    do                                                                                                                 \
    ("r4", __VA_ARGS__) do("r5", __VA_ARGS__) do("r6", __VA_ARGS__) do("r7", __VA_ARGS__) do("r8", __VA_ARGS__) do(    \
        "r9", __VA_ARGS__) do("r10", __VA_ARGS__) do("r11", __VA_ARGS__)
#define SHIFT_BY(r, op) op " " r ", " r ", r12\n"
#define SSAT(r, bits, by) "ssat " r ", #" bits ", " r by "\n"
#define USAT(r, bits, by) "usat " r ", #" bits ", " r by "\n"
#define LIMIT(r, low, high)                                                                                            \
    "cmp " r ", " low "\n it lt\n movlt " r ", " low "\n cmp " r ", " high "\n it gt\n movgt " r ", " high "\n"

/* t = hi(sum * mult) + offset; POST and the offset lie side by side */
#define SCALE_TWO(a0, a1, b0, b1)                                                                                      \
    "ldm r1!, {r2, r3}\n"                                                                                              \
    "smmla " a0 ", " a0 ", r2, r12\n smmla " a1 ", " a1 ", r2, r12\n"                                                  \
    "smmla " b0 ", " b0 ", r3, r12\n smmla " b1 ", " b1 ", r3, r12\n"
#define SCALE "ldrd r1, r12, " POST "\n" SCALE_TWO("r4", "r8", "r5", "r9") SCALE_TWO("r6", "r10", "r7", "r11")
#define DOWN "ldr r12, " SHIFT "\n" EACH(SHIFT_BY, "asr")

/* t += res * rmult; the weight pointer waits in the frame */
#define RES_ONE(row0, row1, load, size, rmult)                                                                         \
    load " r0, [r2], #" size "\n mla " row0 ", r0, " rmult ", " row0 "\n" load " r0, [r3], #" size "\n mla " row1      \
         ", r0, " rmult ", " row1 "\n"
#define RES_ADD(load, size)                                                                                            \
    "str r0, " SAVED "\n"                                                                                              \
    "ldrd r2, r3, " RES "\n"                                                                                           \
    "ldrd r12, lr, [r1], #8\n" RES_ONE("r4", "r8", load, size, "r12")                                                  \
        RES_ONE("r5", "r9", load, size, "lr") "ldrd r12, lr, [r1], #8\n" RES_ONE("r6", "r10", load, size, "r12")       \
            RES_ONE("r7", "r11", load, size, "lr") "strd r2, r3, " RES "\n"                                            \
                                                   "ldr r0, " SAVED "\n"
#define RES8 RES_ADD("ldrsb", "1")
#define RES16 RES_ADD("ldrsh", "2")

/* Rows in turn: a pointer written back is not ready for the next cycle. */
#define STORE_BOTH(store, size, row0, row1) store row0 ", [r2], #" size "\n" store row1 ", [r3], #" size "\n"
#define STORE(store, size)                                                                                             \
    "ldrd r2, r3, " Y "\n" STORE_BOTH(store, size, "r4", "r8") STORE_BOTH(store, size, "r5", "r9")                     \
        STORE_BOTH(store, size, "r6", "r10") STORE_BOTH(store, size, "r7", "r11") "strd r2, r3, " Y "\n"
#define STORE8 STORE("strb ", "1")
#define STORE16 STORE("strh ", "2")

#define NEXT_GROUP                                                                                                     \
    "ldr r12, " W_END "\n"                                                                                             \
    "cmp r0, r12\n"                                                                                                    \
    "bne.w mcf_dot_group\n"                                                                                            \
    "b.w mcf_dot_next_pair\n"

#define FINISH_AS(name, code) __asm(SECTION(dot) LABEL(name) code NEXT_GROUP END);

/* before any other: sums of layers with acc_shift */
__asm(SECTION(dot) LABEL(mcf_dot_up) "ldr r12, " ACC_SHIFT "\n" EACH(SHIFT_BY, "lsl") "ldr.w pc, " AFTER_UP "\n" END);

/* int8 results */
FINISH_AS(mcf_dot_s8, SCALE DOWN EACH(SSAT, "8", "") STORE8)
FINISH_AS(mcf_dot_s8_shift3, SCALE EACH(SSAT, "8", ", asr #3") STORE8)
FINISH_AS(mcf_dot_s8_res16, SCALE RES16 DOWN EACH(SSAT, "8", "") STORE8)
FINISH_AS(mcf_dot_s8_res8, SCALE RES8 DOWN EACH(SSAT, "8", "") STORE8)
FINISH_AS(mcf_dot_s8_res8_shift8, SCALE RES8 EACH(SSAT, "8", ", asr #8") STORE8)
FINISH_AS(mcf_dot_s8_res8_shift9, SCALE RES8 EACH(SSAT, "8", ", asr #9") STORE8)
FINISH_AS(mcf_dot_s8_res8_shift10, SCALE RES8 EACH(SSAT, "8", ", asr #10") STORE8)
FINISH_AS(mcf_dot_s8_res8_shift11, SCALE RES8 EACH(SSAT, "8", ", asr #11") STORE8)

/* int8 results from a table of 2^bits entries: all end in the same look-up */
#define LOOK_UP(r, load) load " " r ", [r12, " r "]\n"
FINISH_AS(mcf_dot_look_up, "ldr r12, " TABLE "\n" EACH(LOOK_UP, "ldrb") STORE8)
#define FINISH_TABLE(name, bits, down, by)                                                                             \
    __asm(SECTION(dot) LABEL(name) SCALE down EACH(USAT, bits, by) "b.w mcf_dot_look_up\n" END);
FINISH_TABLE(mcf_dot_s8_table10, "10", DOWN, "")
FINISH_TABLE(mcf_dot_s8_table11, "11", DOWN, "")
FINISH_TABLE(mcf_dot_s8_table12, "12", DOWN, "")
FINISH_TABLE(mcf_dot_s8_table10_shift3, "10", "", ", asr #3")
FINISH_TABLE(mcf_dot_s8_table11_shift3, "11", "", ", asr #3")
FINISH_TABLE(mcf_dot_s8_table12_shift3, "12", "", ", asr #3")

/* int16 results */
FINISH_AS(mcf_dot_s16, SCALE DOWN EACH(SSAT, "16", "") STORE16)
FINISH_AS(mcf_dot_s16_clamp, SCALE DOWN "ldrd r2, r3, " CLAMP "\n" EACH(LIMIT, "r2", "r3") STORE16)
FINISH_AS(mcf_dot_s16_res16, SCALE RES16 DOWN EACH(SSAT, "16", "") STORE16)

/* int16 results between two entries of a table, a channel of both rows at a time: an index is 12 bits of interval and 8
 * of f, and an unaligned word holds both entries, weighted by 256 - f and f. */
#define WEIGHTS(w, index) "uxtb " w ", " index "\n mla " w ", " w ", r9, r10\n"
#define ENTRIES(r) "lsrs " r ", " r ", #8\n ldr.w " r ", [r12, " r ", lsl #1]\n"
#define BETWEEN(r, w) "smlad " r ", " r ", " w ", r11\n asrs " r ", " r ", #8\n"
FINISH_AS(mcf_dot_s16_table20,
          SCALE DOWN "ldr r12, " TABLE "\n"
                     "ldrd r2, r3, " Y "\n"
                     "push {r4-r11}\n"
                     "movw r9, #0xffff\n mov.w r10, #256\n mov.w r11, #128\n mov.w lr, #4\n"
                     "1:\n"
                     "ldr r5, [sp, #16]\n pop {r4}\n" USAT("r4", "20", "") USAT("r5", "20", "") WEIGHTS("r6", "r4")
                         WEIGHTS("r7", "r5") ENTRIES("r4") ENTRIES("r5") BETWEEN("r4", "r6")
                             BETWEEN("r5", "r7") "strh r4, [r2], #2\n strh r5, [r3], #2\n"
                                                 "subs.w lr, lr, #1\n"
                                                 "bne 1b\n"
                                                 "add sp, #16\n"
                                                 "strd r2, r3, " Y "\n")

/* The sums as int32, or hi(sum * mult) of one K chunk of several. Both rows are read before either is written: an odd last row is its own partner. Sums that go on
 * start from zero biases, always the same. */
#define STORE_SUMS "stm r2!, {r4-r7}\n stm r3!, {r8-r11}\n strd r2, r3, " Y "\n"
#define ADD_TWO(y, at, a, b) "ldrd r12, lr, [" y ", #" at "]\n add " a ", r12\n add " b ", lr\n"
FINISH_AS(mcf_dot_sums, "ldr r1, " POST "\n ldr r12, " SHIFT "\n add r1, r12\n ldrd r2, r3, " Y "\n" STORE_SUMS)
FINISH_AS(mcf_dot_add_sums,
          "ldr r1, " POST "\n sub r1, #16\n ldrd r2, r3, " Y "\n" ADD_TWO("r2", "0", "r4", "r5")
              ADD_TWO("r2", "8", "r6", "r7") ADD_TWO("r3", "0", "r8", "r9") ADD_TWO("r3", "8", "r10", "r11") STORE_SUMS)

#define SCALED_BOTH(row0, row1, mult) "smmul " row0 ", " row0 ", " mult "\n smmul " row1 ", " row1 ", " mult "\n"
#define SCALED                                                                                                         \
    "ldr r1, " POST "\n ldr r12, " SHIFT "\n add r1, r12\n"                                                            \
    "ldm r1!, {r2, r3, r12, lr}\n" SCALED_BOTH("r4", "r8", "r2") SCALED_BOTH("r5", "r9", "r3")                         \
        SCALED_BOTH("r6", "r10", "r12") SCALED_BOTH("r7", "r11", "lr") "ldr r12, " CLAMP                               \
                                                                       "\n add r1, r12\n ldrd r2, r3, " Y "\n"
FINISH_AS(mcf_dot_scaled, SCALED STORE_SUMS)
FINISH_AS(mcf_dot_add_scaled, SCALED ADD_TWO("r2", "0", "r4", "r5") ADD_TWO("r2", "8", "r6", "r7")
                                  ADD_TWO("r3", "0", "r8", "r9") ADD_TWO("r3", "8", "r10", "r11") STORE_SUMS)

#endif
