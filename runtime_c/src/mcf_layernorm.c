/* q_layernorm of docs/adr/0002: two passes over a row, statistics and normalisation. */
#include "mcf_layernorm.h"

typedef struct {
    int32_t m, o; /* u = (m * v >> 16) + o */
} affine_t;

/* floor(sqrt(x)), 2^30 <= x < 2^32: Newton from a linear estimate within 1/8; from above it can only end one too high. */
static uint32_t isqrt(uint32_t x)
{
    uint32_t root = (x >> 17) + 0x7000;
    for (int i = 0; i < 3; i++)
        root = (root + x / root) >> 1;
    return root > x / root ? root - 1 : root;
}

/* Multiplier and offset of a group from its sum s1 and sum of squares s2. */
static affine_t affine(const mcf_layernorm_t *p, int32_t s1, int64_t s2)
{
    const int32_t size = p->channels / p->groups;
    const uint64_t d = (uint64_t)(s2 * size - (int64_t)s1 * s1 + p->eps_q);
    const uint32_t high = (uint32_t)(d >> 32);
    const int32_t bits = high ? 64 - __builtin_clz(high) : 32 - __builtin_clz((uint32_t)d);
    const int32_t e = (bits - 31) & ~1;
    const uint32_t r = 0x80000000u / isqrt((uint32_t)(e >= 0 ? d >> e : d << -e));
    const uint32_t product = (uint32_t)p->gain * r;
    const int32_t shift = p->gain_exp + (e >> 1);
    int32_t m = 0;
    if (shift < 0)
        m = shift < -31 || product > (0x7fffffffu >> -shift) ? 0x7fffffff : (int32_t)(product << -shift);
    else if (shift < 32)
        m = (int32_t)(product >> shift);
    const int32_t mean = (int32_t)(((int64_t)s1 * p->inv) >> p->inv_shift);
    return (affine_t){m, p->base - mcf_hi(m, mean)};
}

/* Channel c of row x less its zero point, times its scale: fits int16. */
static int32_t scaled(const mcf_layernorm_t *p, const void *x, int32_t c)
{
    static const uint8_t order[4] = {0, 2, 1, 3};
    const int32_t step = 4 * (p->has_z + p->has_a);
    const int16_t *pre = p->pre + (c >> 2) * step + order[c & 3];
    int32_t v = mcf_load(x, c, p->x_type);
    if (p->has_z)
        v += *pre;
    return v * (p->has_a ? pre[step - 4] : p->a);
}

static void group(const mcf_layernorm_t *p, const void *x, void *y, int32_t first, int32_t end)
{
    int32_t s1 = 0;
    int64_t s2 = 0;
    for (int32_t c = first; c < end; c++) {
        const int32_t v = p->pre ? scaled(p, x, c) : mcf_load(x, c, p->x_type) * p->a;
        s1 += v;
        s2 += (int64_t)v * v;
    }
    const affine_t f = affine(p, s1, s2);
    const int32_t limit = p->y_type == MCF_S16 ? 32767 : 127;
    for (int32_t c = first; c < end; c++) {
        const int32_t v = p->pre ? scaled(p, x, c) : mcf_load(x, c, p->x_type) * p->a;
        int32_t u = (int32_t)(((int64_t)f.m * v) >> 16) + f.o;
        if (p->g)
            u = (int32_t)(((int64_t)u * p->g[c]) >> 16) + p->b[c];
        mcf_store(y, c, p->y_type, mcf_clamp(u >> p->shift, -limit - 1, limit));
    }
}

void mcf_layernorm(const mcf_layernorm_t *p, const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t rows,
                   void *scratch)
{
    const int32_t size = p->channels / p->groups;
    (void)scratch;
    for (int32_t i = 0; i < rows; i++) {
        for (int32_t c = 0; c < p->channels; c += size)
            group(p, x, y, c, c + size);
        x = (const uint8_t *)x + x_stride;
        y = (uint8_t *)y + y_stride;
    }
}
