/* q_mean of docs/adr/0002: sums over rows per channel, then one requantisation. */
#include "mcf_elementwise.h"

void mcf_mean_partial(const mcf_mean_t *p, const void *x, int32_t x_stride, int32_t row0, int32_t rows, int32_t *sums)
{
    (void)row0;
    for (int32_t i = 0; i < rows; i++) {
        for (int32_t c = 0; c < p->channels; c++)
            sums[c] += mcf_load(x, c, p->x_type);
        x = (const uint8_t *)x + x_stride;
    }
}

void mcf_mean_finish(const mcf_mean_t *p, const int32_t *sums, void *y)
{
    const int32_t limit = p->y_type == MCF_S16 ? 32767 : 127;
    const int32_t *post = p->post;
    for (int32_t c = 0; c < p->channels; c++, post += 3) {
        const int32_t acc = (int32_t)((uint32_t)(post[0] + sums[c]) << p->acc_shift);
        const int32_t t = mcf_hi(acc, post[1]) + post[2];
        mcf_store(y, c, p->y_type, mcf_clamp(t >> p->shift, -limit - 1, limit));
    }
}

void mcf_mean(const mcf_mean_t *p, const void *x, int32_t x_stride, void *y, void *scratch)
{
    mcf_zero(scratch, 4 * p->channels);
    mcf_mean_partial(p, x, x_stride, 0, p->rows, scratch);
    mcf_mean_finish(p, scratch, y);
}
