/* SPDX-License-Identifier: Apache-2.0 */
/* Cycles of an inference, per layer, without what input and the counting itself cost. */
#ifndef MCF_PROFILE_H
#define MCF_PROFILE_H

#include <stdint.h>

typedef struct {
    uint32_t *layers; /* NULL: only the totals */
    uint32_t count, open, mark, io_open;
    uint64_t total, io;
} mcf_profile_t;

extern mcf_profile_t mcf_profile;

void mcf_profile_begin(uint32_t *layers, uint32_t count);
void mcf_profile_end(void);
void mcf_profile_io(uint32_t cycles); /* spent in a callback since the last hook */

#endif
