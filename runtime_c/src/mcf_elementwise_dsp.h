/* SPDX-License-Identifier: Apache-2.0 */
/* The Cortex-M loops of int8 sums and products (mcf_elementwise_dsp.c): `groups` times four channels of one row, rows at
 * any alignment, y may be an operand. */
#ifndef MCF_ELEMENTWISE_DSP_H
#define MCF_ELEMENTWISE_DSP_H

#include "mcf_elementwise.h"

#if MCF_DSP
void mcf_add_s8(const int32_t *post, const void *a, const void *b, void *y, int32_t groups);
/* `zeros`: -a_zp below, -b_zp above. */
void mcf_mul_s8(const int32_t *post, const void *a, const void *b, void *y, int32_t groups, uint32_t zeros);
/* `factors`: (b - b_zp) * mult / 2 and offset of every channel. `zeros`: -a_zp twice. */
void mcf_gate_s8(const int32_t *factors, const void *a, void *y, int32_t groups, uint32_t zeros);
#endif

#endif
