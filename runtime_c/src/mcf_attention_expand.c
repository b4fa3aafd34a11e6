/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off: assembly is laid out by hand */
/* int8 and int16 rows to the words of the register block of attention (mcf_attention_asm.c): pairs of int16, less a zero
 * point whose negative is in both halves of `zero`. Four channels 0 1 2 3 of a row become the pairs 0 2 and 1 3. */
#include "mcf_asm.h"
#include "mcf_attention_dsp.h"

#if MCF_DSP

static inline uint32_t load32(const void *p) {
    uint32_t w;
    __builtin_memcpy(&w, p, 4);
    return w;
}

#define LOW(out, w) "sxtab16 " #out ", r5, " #w "\n"
#define HIGH(out, w) "sxtab16 " #out ", r5, " #w ", ror #8\n"

/* 17 instructions for 16 numbers. */
NAKED(attention_keys) static void expand_keys(const uint8_t *const *rows, uint32_t *out, uint32_t zero, int32_t words) {
    __asm__ volatile("push {r4-r11, lr}\n"
                     "ldr r12, [r0]\n"
                     "add r12, r12, r3, lsl #2\n" /* end of row 0 */
                     "push {r12}\n"
                     "mov r4, r1\n"
                     "mov r5, r2\n"
                     "ldm r0, {r0-r3}\n"
                     "1:\n"
                     "ldr r6, [r0], #4\n"
                     "ldr r7, [r1], #4\n"
                     "ldr r8, [r2], #4\n"
                     "ldr r9, [r3], #4\n" LOW(r10, r6) LOW(r11, r7) LOW(r12, r8)
                         LOW(lr, r9) "stm r4!, {r10, r11, r12, lr}\n" HIGH(r6, r6) HIGH(r7, r7) HIGH(r8, r8)
                             HIGH(r9, r9) "stm r4!, {r6-r9}\n"
                                          "ldr r10, [sp]\n"
                                          "cmp r0, r10\n"
                                          "bne 1b\n"
                                          "add sp, sp, #4\n"
                                          "pop {r4-r11, pc}\n");
}

NAKED(attention_queries)
static void expand_queries(const uint8_t *row0, const uint8_t *row1, uint32_t *out, const uint8_t *end) {
    __asm__ volatile("push {r4-r9}\n"
                     "1:\n"
                     "ldr r4, [r0], #4\n"
                     "ldr r5, [r1], #4\n"
                     "sxtb16 r6, r4\n"
                     "sxtb16 r7, r5\n"
                     "sxtb16 r8, r4, ror #8\n"
                     "sxtb16 r9, r5, ror #8\n"
                     "stm r2!, {r6-r9}\n"
                     "cmp r0, r3\n"
                     "bne 1b\n"
                     "pop {r4-r9}\n"
                     "bx lr\n");
}

/* Bytes 0 to 3 of tokens a and b: [b1 b0 a1 a0] and [b3 b2 a3 a2], then sign extension. 21 instructions for 16. */
NAKED(attention_tokens)
static void expand_tokens(const uint8_t *v, int32_t stride, uint32_t *out, uint32_t zero, int32_t quads) {
#define TOKENS(a, b)                                                                                                   \
    "ldr r7, [r0" a "]\n"                                                                                              \
    "ldr r8, [r0, " b "]\n"                                                                                            \
    "pkhbt lr, r7, r8, lsl #16\n"                                                                                      \
    "pkhtb r8, r8, r7, asr #16\n" LOW(r9, lr) HIGH(r10, lr) LOW(r11, r8) HIGH(r12, r8) "stm r2!, {r9-r12}\n"
    __asm__ volatile("push {r4-r11, lr}\n"
                     "mov r5, r3\n"
                     "ldr r6, [sp, #36]\n"
                     "lsl r3, r1, #1\n"
                     "add r4, r3, r1\n"
                     "1:\n" TOKENS("", "r1") TOKENS(", r3", "r4") "add r0, r0, r1, lsl #2\n"
                                                                  "subs r6, r6, #1\n"
                                                                  "bne 1b\n"
                                                                  "pop {r4-r11, pc}\n");
}

static inline uint32_t low_halves(uint32_t a, uint32_t b) {
    return (a & 0xffff) | (b << 16);
}
static inline uint32_t high_halves(uint32_t a, uint32_t b) {
    return (a >> 16) | (b & 0xffff0000u);
}
static inline uint32_t bytes02(uint32_t w, uint32_t zero) {
    return __sxtab16(zero, w);
}
static inline uint32_t bytes13(uint32_t w, uint32_t zero) {
    return __sxtab16(zero, (w >> 8) | (w << 24));
}

/* Channels 0, 2 and 1, 3 of four, less a zero point whose negative is in both halves of `zero`. */
static inline void next4(const uint8_t *p, int type, uint32_t zero, uint32_t *even, uint32_t *odd) {
    const uint32_t w = load32(p);
    if (type == MCF_S8) {
        *even = bytes02(w, zero);
        *odd = bytes13(w, zero);
    } else {
        const uint32_t w1 = load32(p + 4);
        *even = __sadd16(low_halves(w, w1), zero);
        *odd = __sadd16(high_halves(w, w1), zero);
    }
}

/* The last d % 4 channels of a row, then zeros. */
static void last4(const uint8_t *p, int32_t count, int type, uint32_t zero, uint32_t *even, uint32_t *odd) {
    uint8_t rest[8] = {0};
    __builtin_memcpy(rest, p, (size_t)(count * mcf_size(type)));
    next4(rest, type, zero, even, odd);
}

/* Channels c to d of `rows` (2 or 4) rows; out is where channel c goes. */
static inline __attribute__((always_inline)) void expand_typed(const uint8_t *const *rows, const int count, int32_t c,
                                                               int32_t d, const int type, uint32_t zero,
                                                               uint32_t *out) {
    for (; c + 4 <= d; c += 4, out += 2 * count)
        for (int i = 0; i < count; i++) next4(rows[i] + c * mcf_size(type), type, zero, out + i, out + count + i);
    for (int i = 0; i < count && c < d; i++)
        last4(rows[i] + c * mcf_size(type), d - c, type, zero, out + i, out + count + i);
}

static void expand_rest(const uint8_t *const *rows, int count, int32_t c, int32_t d, int type, uint32_t zero,
                        uint32_t *out) {
    if (type == MCF_S8)
        expand_typed(rows, count, c, d, MCF_S8, zero, out);
    else if (count == 2)
        expand_typed(rows, 2, c, d, MCF_S16, zero, out);
    else
        expand_typed(rows, 4, c, d, MCF_S16, zero, out);
}

/* A pair of query rows (the first one twice without a second) to steps of two words. */
void mcf_expand_pair(const uint8_t *row, const uint8_t *second, int32_t d, int type, uint32_t *out) {
    const uint8_t *const rows[2] = {row, second};
    const int32_t c = type == MCF_S8 ? d & ~3 : 0;
    if (c) expand_queries(row, second, out, row + c);
    if (c < d) expand_rest(rows, 2, c, d, type, 0, out + c);
}

/* Four keys to steps of four words; keys after `last` repeat it. */
void mcf_expand_four(const uint8_t *row, int32_t stride, int32_t last, int32_t d, int type, uint32_t zero,
                     uint32_t *out) {
    const uint8_t *const b = last > 0 ? row + stride : row, *const c = last > 1 ? b + stride : b;
    const uint8_t *const rows[4] = {row, b, c, last > 2 ? c + stride : c};
    const int32_t whole = type == MCF_S8 ? d & ~3 : 0;
    if (whole) expand_keys(rows, out, zero, whole >> 2);
    if (whole < d) expand_rest(rows, 4, whole, d, type, zero, out + 2 * whole);
}

/* Four channels of two tokens to a step: every word holds one channel of both. */
static inline void tokens(const uint8_t *a, const uint8_t *b, int type, uint32_t zero, uint32_t *out) {
    const uint32_t a0 = load32(a), b0 = load32(b);
    if (type == MCF_S8) {
        const uint32_t low = low_halves(a0, b0), high = high_halves(a0, b0);
        out[0] = bytes02(low, zero);
        out[1] = bytes13(low, zero);
        out[2] = bytes02(high, zero);
        out[3] = bytes13(high, zero);
    } else {
        const uint32_t a1 = load32(a + 4), b1 = load32(b + 4);
        out[0] = __sadd16(low_halves(a0, b0), zero);
        out[1] = __sadd16(high_halves(a0, b0), zero);
        out[2] = __sadd16(low_halves(a1, b1), zero);
        out[3] = __sadd16(high_halves(a1, b1), zero);
    }
}

/* `channels` (up to 4) channels of all tokens; an odd last token stands twice, its twin meets a zero probability. */
void mcf_expand_channels(const uint8_t *v, int32_t stride, int32_t count, int32_t channels, int type, uint32_t zero,
                         uint32_t *out) {
    if (channels == 4) {
        const int32_t quads = type == MCF_S8 ? count >> 2 : 0;
        if (quads) expand_tokens(v, stride, out, zero, quads);
        v += (ptrdiff_t)4 * quads * stride;
        out += 8 * quads;
        count -= 4 * quads;
        if (type == MCF_S16)
            for (; count > 1; count -= 2, v += 2 * stride, out += 4) tokens(v, v + stride, MCF_S16, zero, out);
        for (; count > 0; count -= 2, v += 2 * stride, out += 4) tokens(v, count > 1 ? v + stride : v, type, zero, out);
        return;
    }
    const size_t size = (size_t)(channels * mcf_size(type));
    for (int32_t j = 0; j < count; j += 2, v += 2 * stride, out += 4) {
        uint8_t a[8] = {0}, b[8] = {0};
        __builtin_memcpy(a, v, size);
        __builtin_memcpy(b, j + 1 < count ? v + stride : v, size);
        tokens(a, b, type, zero, out);
    }
}

#endif
