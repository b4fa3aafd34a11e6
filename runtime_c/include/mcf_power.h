/* SPDX-License-Identifier: Apache-2.0 */
/* Reciprocals, square roots and their reciprocals of single numbers (docs/adr/0002, q_power). */
#ifndef MCF_POWER_H
#define MCF_POWER_H

#include "mcf_base.h"

/* y = +-(mantissa * gain * 2^(exponent - gain_exp)) + zp, mantissa * 2^exponent being (x - x_zp)^(halves/2) */
typedef struct {
    int32_t channels, gain; /* 15 bits */
    int16_t gain_exp, x_zp, zp;
    int8_t halves; /* -2, -1 or 1 */
    uint8_t x_type, y_type;
} mcf_power_t;

/* y may be x. */
void mcf_power(const mcf_power_t *p, const void *x, int32_t x_stride, void *y, int32_t y_stride, int32_t rows);

#endif
