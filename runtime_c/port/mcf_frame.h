/* SPDX-License-Identifier: Apache-2.0 */
/* Frames on the UART (docs/uart.md): C5 4D, type, sequence, length, argument and body, CRC-32. */
#ifndef MCF_FRAME_H
#define MCF_FRAME_H

#include <stdint.h>

#include "mcf_model.h"

enum {
    MCF_PROTOCOL = 2,       /* its version */
    MCF_PROTOCOL_LINES = 3, /* of a model whose outputs leave by lines */
    MCF_FRAME_MAX_BODY = 1024,
    /* from the host */
    MCF_INFO = 0x01,
    MCF_RUN = 0x02,
    MCF_DATA = 0x03,
    MCF_OUTPUT = 0x04,
    MCF_LAYERS = 0x05,
    MCF_QUIT = 0x06,
    MCF_TENSORS = 0x07,
    MCF_TAKEN = 0x08,
    MCF_VARIANT = 0x09,
    /* from the device: the answers have bit 7 */
    MCF_DONE = 0x82,
    MCF_READ = 0x83,
    MCF_WRITE = 0x88,
    MCF_REFUSED = 0x8F
};

typedef struct {
    uint8_t type, sequence;
    uint32_t argument;
    uint32_t body_bytes;
} mcf_frame_t;

MCF_COLD void mcf_frame_send(uint8_t type, uint8_t sequence, uint32_t argument, const void *body, uint32_t body_bytes);

/* Waits for one frame: 1 when it came whole, 0 when it was damaged, cut off or did not come in `wait_ms` (0: waits for ever).
 * The body is stored in `body` only where type, sequence and size are those of `expected`; the caller
 * counts what lies there as garbage until 1 is returned. */
MCF_COLD int mcf_frame_receive(mcf_frame_t *frame, const mcf_frame_t *expected, void *body, uint32_t wait_ms);

#endif
