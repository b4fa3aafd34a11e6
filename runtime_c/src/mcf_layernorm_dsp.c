/* SPDX-License-Identifier: Apache-2.0 */
/* q_layernorm of docs/adr/0002 on Cortex-M4 and M7: int8 rows four channels at a time (mcf_layernorm_asm.c), the others
 * by way of v in int16. */
#include "mcf_layernorm_dsp.h"

#if MCF_DSP

/* int8 to int8 with scales in `pre`, or all 256 and the result in the upper half of u. */
static int is_fast(const mcf_layernorm_t *p, int32_t size) {
    return p->x_type == MCF_S8 && p->y_type == MCF_S8 && !p->g && (size & 3) == 0 &&
           (p->pre || (p->a == 256 && p->shift == 16));
}

static void plain_row(const mcf_layernorm_t *p, const uint8_t *x, uint8_t *y, int32_t size) {
    const int aligned = (((uintptr_t)x | (uintptr_t)y) & 3) == 0;
    for (int32_t c = 0; c < p->channels; c += size) {
        int32_t sums[2];
        (aligned ? mcf_moments : mcf_moments_unaligned)(x + c, size >> 2, sums);
        const mcf_affine_t f = mcf_layernorm_affine(p, size, sums[0] * 256, (int64_t)sums[1] * 65536);
        (aligned ? mcf_normalise : mcf_normalise_unaligned)(x + c, y + c, size >> 2, &f);
    }
}

static void scaled_row(const mcf_layernorm_t *p, const uint8_t *x, uint8_t *y, int32_t size, int16_t *v) {
    for (int32_t c = 0; c < p->channels; c += size) {
        mcf_moments_t s;
        mcf_scaled_moments(x + c, p->pre + 2 * c, v, size >> 2, &s);
        const mcf_affine_t f = mcf_layernorm_affine(p, size, s.s1, s.s2);
        if (p->shift == 16)
            mcf_normalise_scaled(v, y + c, size >> 2, &f);
        else
            mcf_normalise_shifted(v, y + c, size >> 2, &f, p->shift);
    }
}

static inline uint32_t load32(const void *p) {
    uint32_t w;
    __builtin_memcpy(&w, p, 4);
    return w;
}

static inline void store32(void *p, uint32_t w) {
    __builtin_memcpy(p, &w, 4);
}

/* Two int32 that fit int16, in one word. */
static inline uint32_t pair(int32_t low, int32_t high) {
    return ((uint32_t)low & 0xffff) | ((uint32_t)high << 16);
}

static inline int32_t bottoms(uint32_t a, uint32_t b) {
    return (int16_t)a * (int16_t)b;
}
static inline int32_t tops(uint32_t a, uint32_t b) {
    return ((int32_t)a >> 16) * ((int32_t)b >> 16);
}

/* v of four channels; z and a hold 0, 2 and 1, 3. */
static inline void four_values(const uint8_t *x, const int type, const uint32_t z[2], const uint32_t a[2], int16_t *v) {
    uint32_t even, odd;
    if (type == MCF_S8) {
        const uint32_t w = load32(x);
        even = __sxtab16(z[0], w);
        odd = __sxtab16(z[1], (w >> 8) | (w << 24));
    } else {
        const uint32_t w0 = load32(x), w1 = load32(x + 4);
        even = __sadd16(z[0], (w0 & 0xffff) | (w1 << 16));
        odd = __sadd16(z[1], (w0 >> 16) | (w1 & 0xffff0000u));
    }
    store32(v, pair(bottoms(even, a[0]), bottoms(odd, a[1])));
    store32(v + 2, pair(tops(even, a[0]), tops(odd, a[1])));
}

static inline __attribute__((always_inline)) void row_values(const mcf_layernorm_t *p, const uint8_t *x, const int type,
                                                             int16_t *v) {
    const int32_t whole = p->channels & ~3, rest = p->channels & 3, size = mcf_size(type);
    uint32_t pre[4] = {0, 0, (uint16_t)p->a * 0x10001u, (uint16_t)p->a * 0x10001u};
    int32_t c = 0;
    for (; c < whole; c += 4) {
        if (p->pre) __builtin_memcpy(pre, p->pre + 2 * c, 16);
        four_values(x + c * size, type, pre, pre + 2, v + c);
    }
    if (rest) {
        uint8_t last[8] = {0};
        int16_t four[4];
        if (p->pre) __builtin_memcpy(pre, p->pre + 2 * c, 16);
        __builtin_memcpy(last, x + c * size, (size_t)(rest * size));
        four_values(last, type, pre, pre + 2, four);
        __builtin_memcpy(v + c, four, (size_t)(2 * rest));
    }
}

/* v of a whole row: x itself, or made in scratch. */
static const int16_t *values(const mcf_layernorm_t *p, const void *x, int16_t *v) {
    if (p->x_type == MCF_S8)
        row_values(p, x, MCF_S8, v);
    else if (p->pre || p->a != 1)
        row_values(p, x, MCF_S16, v);
    else
        return x;
    return v;
}

static mcf_affine_t row_affine(const mcf_layernorm_t *p, const int16_t *v, int32_t size) {
    int32_t s1 = 0, c = 0;
    int64_t s2 = 0;
    for (; c + 4 <= size; c += 4) {
        const int16x2_t w0 = (int16x2_t)load32(v + c), w1 = (int16x2_t)load32(v + c + 2);
        s1 = __smlad(w0, 0x10001, s1);
        s2 = __smlald(w0, w0, s2);
        s1 = __smlad(w1, 0x10001, s1);
        s2 = __smlald(w1, w1, s2);
    }
    for (; c < size; c++) {
        s1 += v[c];
        s2 += v[c] * v[c];
    }
    return mcf_layernorm_affine(p, size, s1, s2);
}

static inline __attribute__((always_inline)) void outputs(const mcf_layernorm_t *p, mcf_affine_t f, const int16_t *v,
                                                          void *y, int32_t first, int32_t size, const int type,
                                                          const int gamma) {
    const int32_t shift = p->shift, end = first + size;
    int32_t c = first;
    for (; !gamma && c + 2 <= end; c += 2) {
        const int32_t w = (int32_t)load32(v + c);
        const int32_t low = mcf_saturate(__smlawb(f.m, w, f.o) >> shift, type);
        const int32_t high = mcf_saturate(__smlawt(f.m, w, f.o) >> shift, type);
        mcf_store(y, c, type, low);
        mcf_store(y, c + 1, type, high);
    }
    for (; c < end; c++) {
        int32_t u = __smlawb(f.m, v[c], f.o);
        if (gamma) u = __smlawb(u, p->g[c], p->b[c]);
        mcf_store(y, c, type, mcf_saturate(u >> shift, type));
    }
}

static void any_row(const mcf_layernorm_t *p, const void *x, void *y, int32_t size, int16_t *scratch) {
    const int16_t *v = values(p, x, scratch);
    for (int32_t c = 0; c < p->channels; c += size) {
        const mcf_affine_t f = row_affine(p, v + c, size);
        if (p->g) {
            if (p->y_type == MCF_S16)
                outputs(p, f, v, y, c, size, MCF_S16, 1);
            else
                outputs(p, f, v, y, c, size, MCF_S8, 1);
        } else if (p->y_type == MCF_S16) {
            outputs(p, f, v, y, c, size, MCF_S16, 0);
        } else {
            outputs(p, f, v, y, c, size, MCF_S8, 0);
        }
    }
}

void mcf_layernorm(const mcf_layernorm_t *p, const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t rows,
                   void *scratch) {
    const int32_t size = p->groups == 1 ? p->channels : p->channels / p->groups;
    const int fast = is_fast(p, size);
    for (int32_t i = 0; i < rows; i++) {
        if (!fast)
            any_row(p, x, y, size, scratch);
        else if (p->pre)
            scaled_row(p, x, y, size, scratch);
        else
            plain_row(p, x, y, size);
        x = (const uint8_t *)x + x_stride;
        y = (uint8_t *)y + y_stride;
    }
}

#endif
