/* SPDX-License-Identifier: Apache-2.0 */
/* Files in, files out: how QEMU and the host run many inferences in one go.
 * inputs.bin holds all inputs of one inference, then those of the next; outputs.bin gets all outputs of each, counts.bin
 * a record of each, variant.bin says 1 + which of several programs runs (0: the one after init),
 * trace.bin (MCF_TRACING) every finished tile: layer, first row, count, row bytes as uint32, then the rows. */
#ifndef MCF_BATCH_H
#define MCF_BATCH_H

#include <stdint.h>

int mcf_file_open(const char *name, int for_writing);                      /* < 0: failed */
int32_t mcf_file_size(int file);                                           /* < 0: failed */
int mcf_file_read_at(int file, uint32_t offset, void *to, uint32_t count); /* 0: all of it */
int mcf_file_write_at(int file, uint32_t offset, const void *from, uint32_t count);
int mcf_file_append(int file, const void *from, uint32_t count);
/* Input mode flash: puts an input where the model reads it; NULL when it cannot. */
const uint8_t *mcf_image_put(const uint8_t *image, int file, uint32_t offset, uint32_t count);
uint32_t mcf_cycles(void);
void mcf_cycles_start(void);

#endif
