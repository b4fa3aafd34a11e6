/* q_add, q_requant and q_mul of docs/adr/0002. */
#include "mcf_elementwise.h"

static inline int32_t saturate(int32_t v, int type)
{
    return type == MCF_S16 ? mcf_clamp(v, -32768, 32767) : mcf_clamp(v, -128, 127);
}

void mcf_add(const mcf_add_t *p, const void *a, int32_t a_stride, const void *b, int32_t b_stride, void *y,
             int32_t y_stride, int32_t rows)
{
    for (int32_t i = 0; i < rows; i++) {
        const int32_t *post = p->post;
        for (int32_t c = 0; c < p->channels; c++, post += 3) {
            const int32_t t = post[0] + mcf_load(a, c, p->a_type) * post[1] + mcf_load(b, c, p->b_type) * post[2];
            mcf_store(y, c, p->y_type, saturate(t >> p->shift, p->y_type));
        }
        a = (const uint8_t *)a + a_stride;
        b = (const uint8_t *)b + b_stride;
        y = (uint8_t *)y + y_stride;
    }
}

void mcf_requant(const mcf_add_t *p, const void *a, int32_t a_stride, void *y, int32_t y_stride, int32_t rows)
{
    for (int32_t i = 0; i < rows; i++) {
        const int32_t *post = p->post;
        for (int32_t c = 0; c < p->channels; c++, post += 2) {
            const int32_t t = post[0] + mcf_load(a, c, p->a_type) * post[1];
            mcf_store(y, c, p->y_type, saturate(t >> p->shift, p->y_type));
        }
        a = (const uint8_t *)a + a_stride;
        y = (uint8_t *)y + y_stride;
    }
}

void mcf_mul(const mcf_mul_t *p, const void *a, int32_t a_stride, const void *b, int32_t b_stride, void *y,
             int32_t y_stride, int32_t rows)
{
    for (int32_t i = 0; i < rows; i++) {
        const int32_t *post = p->post;
        for (int32_t c = 0; c < p->channels; c++, post += 2) {
            const int32_t acc = (mcf_load(a, c, p->a_type) - p->a_zp) * (mcf_load(b, c, p->b_type) - p->b_zp);
            const int32_t t = mcf_hi((int32_t)((uint32_t)acc << p->acc_shift), post[0]) + post[1];
            mcf_store(y, c, p->y_type, saturate(t >> p->shift, p->y_type));
        }
        a = (const uint8_t *)a + a_stride;
        b = (const uint8_t *)b + b_stride;
        y = (uint8_t *)y + y_stride;
    }
}
