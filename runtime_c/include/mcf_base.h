/* SPDX-License-Identifier: Apache-2.0 */
/* Types and small helpers that every kernel shares. */
#ifndef MCF_BASE_H
#define MCF_BASE_H

#include <stddef.h>
#include <stdint.h>

/* Cortex-M4/M7: the DSP instructions. -DMCF_PORTABLE builds the same numbers in plain C. */
#if defined(__ARM_FEATURE_DSP) && !defined(MCF_PORTABLE)
#define MCF_DSP 1
#include <arm_acle.h>
#else
#define MCF_DSP 0
#endif

/* Hot loops: one section per function, so that a linker script can place them in ITCM and drop what is not called. */
#ifndef MCF_HOT
#if MCF_DSP
#define MCF_HOT(name) __attribute__((section(".text.mcf_hot." #name)))
#else
#define MCF_HOT(name)
#endif
#endif

enum { MCF_S8 = 0, MCF_U8 = 1, MCF_S16 = 2, MCF_NONE = 3 }; /* element types */

static inline int32_t mcf_size(int type) {
    return type == MCF_S16 ? 2 : 1;
}

/* floor(a * b / 2^32): SMMUL */
#if MCF_DSP
static inline int32_t mcf_hi(int32_t a, int32_t b) {
    int32_t high; /* compilers sometimes extend the factors to 64 bits first */
    __asm__("smmul %0, %1, %2" : "=r"(high) : "r"(a), "r"(b));
    return high;
}
#else
static inline int32_t mcf_hi(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b) >> 32);
}
#endif

static inline int32_t mcf_clamp(int32_t v, int32_t low, int32_t high) {
    return v < low ? low : v > high ? high : v;
}

/* v in the range of an int8 or int16 type */
static inline int32_t mcf_saturate(int32_t v, int type) {
#if MCF_DSP
    return type == MCF_S16 ? __ssat(v, 16) : __ssat(v, 8);
#else
    return type == MCF_S16 ? mcf_clamp(v, -32768, 32767) : mcf_clamp(v, -128, 127);
#endif
}

/* Element i of a row of the given type. */
static inline int32_t mcf_load(const void *row, int32_t i, int type) {
    if (type == MCF_S8) return ((const int8_t *)row)[i];
    if (type == MCF_U8) return ((const uint8_t *)row)[i];
    int16_t v;
    __builtin_memcpy(&v, (const uint8_t *)row + 2 * i, 2);
    return v;
}

/* Between the first two of an int16 table's entries from `at` on, f of 2^bits steps from the first. */
static inline int32_t mcf_between(const int16_t *at, int32_t f, int bits) {
#if MCF_DSP
    int32_t both; /* weighted by 2^bits - f and f */
    __builtin_memcpy(&both, at, 4);
    return __smlad(both, f * 0xFFFF + (1 << bits), 1 << bits >> 1) >> bits;
#else
    return at[0] + (((at[1] - at[0]) * f + (1 << bits >> 1)) >> bits);
#endif
}

static inline void mcf_store(void *row, int32_t i, int type, int32_t value) {
    if (type == MCF_S16) {
        const int16_t v = (int16_t)value;
        __builtin_memcpy((uint8_t *)row + 2 * i, &v, 2);
    } else {
        ((uint8_t *)row)[i] = (uint8_t)value;
    }
}

#endif
