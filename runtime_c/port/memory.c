/* SPDX-License-Identifier: Apache-2.0 */
/* The two library functions that compilers call on their own, and memmove.
 * Cortex-M7 and M4 read and write unaligned words. */
#include <stddef.h>
#include <stdint.h>

typedef uint32_t __attribute__((aligned(1), may_alias)) word_t;

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    uint8_t *d = to;
    const uint8_t *s = from;
    for (; size >= 16; size -= 16, d += 16, s += 16) {
        uint32_t a = ((const word_t *)s)[0], b = ((const word_t *)s)[1];
        uint32_t e = ((const word_t *)s)[2], f = ((const word_t *)s)[3];
        ((word_t *)d)[0] = a, ((word_t *)d)[1] = b;
        ((word_t *)d)[2] = e, ((word_t *)d)[3] = f;
    }
    for (; size >= 4; size -= 4, d += 4, s += 4) *(word_t *)d = *(const word_t *)s;
    for (; size; size--) *d++ = *s++;
    return to;
}

void *memmove(void *to, const void *from, size_t size) {
    uint8_t *d = to;
    const uint8_t *s = from;
    if ((uintptr_t)d - (uintptr_t)s >= size) { /* also true when d lies below s */
        for (; size; size--) *d++ = *s++;
        return to;
    }
    while (size--) d[size] = s[size];
    return to;
}

void *memset(void *to, int value, size_t size) {
    uint8_t *d = to;
    uint32_t word = (uint8_t)value * 0x01010101u;
    for (; size >= 4; size -= 4, d += 4) *(word_t *)d = word;
    for (; size; size--) *d++ = (uint8_t)value;
    return to;
}

/* Clang calls these names of the ARM run-time ABI. */
#define ALIASES(name, parameters, call)                                                                                \
    void __aeabi_##name parameters;                                                                                    \
    void __aeabi_##name parameters {                                                                                   \
        call;                                                                                                          \
    }
ALIASES(memcpy, (void *to, const void *from, size_t size), memcpy(to, from, size))
ALIASES(memcpy4, (void *to, const void *from, size_t size), memcpy(to, from, size))
ALIASES(memcpy8, (void *to, const void *from, size_t size), memcpy(to, from, size))
ALIASES(memmove, (void *to, const void *from, size_t size), memmove(to, from, size))
ALIASES(memmove4, (void *to, const void *from, size_t size), memmove(to, from, size))
ALIASES(memmove8, (void *to, const void *from, size_t size), memmove(to, from, size))
ALIASES(memset, (void *to, size_t size, int value), memset(to, value, size))
ALIASES(memset4, (void *to, size_t size, int value), memset(to, value, size))
ALIASES(memset8, (void *to, size_t size, int value), memset(to, value, size))
ALIASES(memclr, (void *to, size_t size), memset(to, 0, size))
ALIASES(memclr4, (void *to, size_t size), memset(to, 0, size))
ALIASES(memclr8, (void *to, size_t size), memset(to, 0, size))
