/* SPDX-License-Identifier: Apache-2.0 */
#include "mcf_profile.h"

#include "mcf_port.h"

mcf_profile_t mcf_profile;

void mcf_profile_begin(uint32_t *layers, uint32_t count) {
    mcf_profile = (mcf_profile_t){.layers = layers, .count = count, .open = count};
    for (uint32_t i = 0; layers && i < count; i++) layers[i] = 0;
    mcf_profile.mark = mcf_cycles();
}

/* Also MCF_LAYER's hook. Differences of the wrapping counter are right as long as no layer takes
 * 2^32 cycles (20 s at 216 MHz) without a hook between. */
void mcf_profile_layer(unsigned layer) {
    mcf_profile_t *p = &mcf_profile;
    uint32_t spent = mcf_cycles() - p->mark - p->io_open;
    if (p->layers && p->open < p->count) p->layers[p->open] += spent;
    p->total += spent;
    p->open = layer;
    p->io_open = 0;
    p->mark = mcf_cycles(); /* again: this hook's own time belongs to nobody */
}

void mcf_profile_end(void) {
    mcf_profile_layer(mcf_profile.count);
}

void mcf_profile_io(uint32_t cycles) {
    mcf_profile.io += cycles;
    mcf_profile.io_open += cycles;
}
