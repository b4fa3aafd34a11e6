/* q_softmax of docs/adr/0002: the exponentials of a row wait in scratch for their sum. */
#include "mcf_attention.h"
#include "mcf_elementwise.h"

static int32_t maximum(const mcf_softmax_t *p, const void *x)
{
    int32_t max = mcf_load(x, 0, p->x_type);
    for (int32_t c = 1; c < p->channels; c++) {
        const int32_t v = mcf_load(x, c, p->x_type);
        max = v > max ? v : max;
    }
    return max;
}

static uint32_t exponential(const mcf_softmax_t *p, int32_t delta)
{
    if (p->table)
        return p->table[delta];
    const int32_t scaled = delta > (0x7fffffff >> p->pre_shift) ? 0x7fffffff : delta << p->pre_shift;
    return mcf_exp[mcf_clamp(mcf_hi(scaled, p->m), 0, 2047)];
}

void mcf_softmax(const mcf_softmax_t *p, const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t rows,
                 void *scratch)
{
    const int32_t limit = p->y_type == MCF_S16 ? 32767 : 127;
    uint16_t *e = scratch;
    for (int32_t i = 0; i < rows; i++) {
        const int32_t max = maximum(p, x);
        uint32_t sum = 0;
        for (int32_t c = 0; c < p->channels; c++) {
            const uint32_t value = exponential(p, max - mcf_load(x, c, p->x_type));
            e[c] = (uint16_t)value;
            sum += value;
        }
        const mcf_norm_t norm = mcf_normaliser(sum, p->o_mant, p->o_exp);
        for (int32_t c = 0; c < p->channels; c++) {
            const int32_t value = ((mcf_hi(e[c] << 16, norm.factor) + norm.half) >> norm.shift) + p->zp;
            mcf_store(y, c, p->y_type, mcf_clamp(value, -limit - 1, limit));
        }
        x = (const uint8_t *)x + x_stride;
        y = (uint8_t *)y + y_stride;
    }
}
