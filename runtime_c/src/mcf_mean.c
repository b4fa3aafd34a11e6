/* SPDX-License-Identifier: Apache-2.0 */
/* q_mean of docs/adr/0002: sums over rows per channel, then one requantisation. */
#include "mcf_elementwise.h"

#if MCF_DSP
enum { FLUSH = 256 }; /* rows of int8 whose sums fit int16 */

/* Four channels of up to FLUSH rows, summed in two pairs of int16. */
static void four_sums(const uint8_t *x, int32_t x_stride, int32_t rows, int32_t *sums) {
    uint32_t even = 0, odd = 0, w;
    for (int32_t i = 0; i < rows; i++, x += x_stride) {
        __builtin_memcpy(&w, x, 4);
        even = __sxtab16(even, w);
        odd = __sxtab16(odd, (w >> 8) | (w << 24));
    }
    sums[0] += (int16_t)even;
    sums[1] += (int16_t)odd;
    sums[2] += (int32_t)even >> 16;
    sums[3] += (int32_t)odd >> 16;
}
#endif

void mcf_mean_partial(const mcf_mean_t *p, const void *x, int32_t x_stride, int32_t row0, int32_t rows, void *sums) {
    int32_t *const acc = sums;
    int32_t first = 0;
    (void)row0;
#if MCF_DSP
    first = p->x_type == MCF_S8 ? p->channels & ~3 : 0;
    for (int32_t i = 0; i < rows; i += FLUSH)
        for (int32_t c = 0; c < first; c += 4)
            four_sums((const uint8_t *)x + (ptrdiff_t)i * x_stride + c, x_stride, rows - i < FLUSH ? rows - i : FLUSH,
                      acc + c);
#endif
    for (int32_t i = 0; i < rows; i++) {
        if (p->x_type == MCF_S16)
            for (int32_t c = 0; c < p->channels; c++) acc[c] += mcf_load(x, c, MCF_S16);
        else
            for (int32_t c = first; c < p->channels; c++) acc[c] += ((const int8_t *)x)[c];
        x = (const uint8_t *)x + x_stride;
    }
}

void mcf_mean_finish(const mcf_mean_t *p, const void *sums, void *y) {
    const int32_t *post = p->post, *of = sums;
    for (int32_t c = 0; c < p->channels; c++, post += 3) {
        const int32_t acc = (int32_t)((uint32_t)(post[0] + of[c]) << p->acc_shift);
        const int32_t t = mcf_hi(acc, post[1]) + post[2];
        mcf_store(y, c, p->y_type, mcf_saturate(t >> p->shift, p->y_type));
    }
}

void mcf_mean(const mcf_mean_t *p, const void *x, int32_t x_stride, void *y, void *scratch) {
    mcf_zero(scratch, 4 * p->channels);
    mcf_mean_partial(p, x, x_stride, 0, p->rows, scratch);
    mcf_mean_finish(p, scratch, y);
}
