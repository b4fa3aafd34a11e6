/* q_unary of docs/adr/0002: an activation function is a table. */
#include "mcf_elementwise.h"

void mcf_unary(const mcf_unary_t *p, const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t rows)
{
    for (int32_t i = 0; i < rows; i++) {
        if (p->x_type == MCF_S8 && p->y_type == MCF_S8) {
            const int8_t *table = (const int8_t *)p->table + 128;
            for (int32_t c = 0; c < p->channels; c++)
                ((int8_t *)y)[c] = table[((const int8_t *)x)[c]];
        } else {
            for (int32_t c = 0; c < p->channels; c++) {
                const int32_t v = mcf_load(x, c, p->x_type);
                const int32_t index = p->x_type == MCF_S8 ? v + 128 : (v + 32768) >> 4;
                mcf_store(y, c, p->y_type, mcf_load(p->table, index, p->y_type));
            }
        }
        x = (const uint8_t *)x + x_stride;
        y = (uint8_t *)y + y_stride;
    }
}
