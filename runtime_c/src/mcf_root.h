/* SPDX-License-Identifier: Apache-2.0 */
/* Square roots and multipliers of a power of two, which all normalisations share. */
#ifndef MCF_ROOT_H
#define MCF_ROOT_H

#include "mcf_base.h"

/* floor(sqrt(x)), 2^30 <= x < 2^32: Newton from a linear estimate within 3 %; from above it can only end one too high. */
static inline uint32_t mcf_isqrt(uint32_t x) {
    uint32_t root = (((x >> 16) + 0x8000) * 22489) >> 15;
    root = (root + x / root) >> 1;
    root = (root + x / root) >> 1;
    return root > x / root ? root - 1 : root;
}

/* sqrt(d) ~ root * 2^(e/2), e even, root in [2^15, 2^16); d > 0 */
static inline uint32_t mcf_root(uint64_t d, int32_t *e) {
    const uint32_t high = (uint32_t)(d >> 32), low = (uint32_t)d;
    if (!high) {
        *e = -(__builtin_clz(low) & ~1);
        return mcf_isqrt(low << -*e);
    }
    *e = (33 - __builtin_clz(high)) & ~1;
    return mcf_isqrt(*e < 32 ? (high << (32 - *e)) | (low >> *e) : high >> (*e - 32));
}

/* product * 2^-shift, rounded down, in 0..2^31-1 */
static inline int32_t mcf_shifted(uint32_t product, int32_t shift) {
    if (shift >= 0) return shift < 32 ? (int32_t)(product >> shift) : 0;
    return shift < -31 || product > (0x7fffffffu >> -shift) ? 0x7fffffff : (int32_t)(product << -shift);
}

/* t * 2^-s to nearest, t <= 2^31; what does not fit is larger than any result */
static inline int32_t mcf_rounded(uint32_t t, int32_t s) {
    if (s > 31) return 0;
    s = s < 1 ? 1 : s;
    return (int32_t)((t + (1u << (s - 1))) >> s);
}

#endif
