/* SPDX-License-Identifier: Apache-2.0 */
/* The Cortex-M loops of softmax (mcf_softmax_dsp.c): `words` times four int8 channels, rows at any alignment. */
#ifndef MCF_SOFTMAX_DSP_H
#define MCF_SOFTMAX_DSP_H

#include "mcf_attention.h"
#include "mcf_elementwise.h"

#if MCF_DSP
int32_t mcf_softmax_max(const void *x, int32_t words);
/* Exponentials of channels 0 2 1 3 of every four; returns their sum. */
uint32_t mcf_softmax_exp(const void *x, uint16_t *e, int32_t words, int32_t max, const uint16_t *table);
void mcf_softmax_out(const uint16_t *e, void *y, int32_t words, const mcf_norm_t *norm, int32_t zp);
#endif

#endif
