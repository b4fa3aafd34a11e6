/* SPDX-License-Identifier: Apache-2.0 */
#include "mcf_frame.h"

#include "mcf_board.h"
#include "mcf_port.h"

enum { SYNC0 = 0xC5, SYNC1 = 0x4D, BYTE_WAIT_MS = 20, LOST = -1 };

static uint32_t crc_byte(uint32_t crc, uint8_t byte) {
    static const uint32_t table[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
        0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
    };
    crc = crc >> 4 ^ table[(crc ^ byte) & 15u];
    return crc >> 4 ^ table[(crc ^ (uint32_t)byte >> 4) & 15u];
}

static uint32_t put_bytes(uint32_t crc, const void *bytes, uint32_t count) {
    for (const uint8_t *byte = bytes; count; count--, byte++) {
        mcf_uart_put(*byte);
        crc = crc_byte(crc, *byte);
    }
    return crc;
}

void mcf_frame_send(uint8_t type, uint8_t sequence, uint32_t argument, const void *body, uint32_t body_bytes) {
    uint32_t length = body_bytes + sizeof argument;
    uint8_t head[4] = {type, sequence, (uint8_t)length, (uint8_t)(length >> 8)};
    mcf_uart_put(SYNC0);
    mcf_uart_put(SYNC1);
    uint32_t crc = put_bytes(0xFFFFFFFFu, head, sizeof head);
    crc = put_bytes(crc, &argument, sizeof argument);
    crc = ~put_bytes(crc, body, body_bytes);
    put_bytes(0, &crc, sizeof crc);
}

static int get_byte(uint32_t wait_ms) {
    uint32_t start = mcf_cycles();
    for (;;) {
        int byte = mcf_uart_get();
        if (byte >= 0) return byte;
        if (wait_ms && mcf_cycles() - start > wait_ms * (MCF_CPU_HZ / 1000u)) return LOST;
    }
}

/* Up to `count` bytes; where `to` is NULL they only count for the checksum. 0 when one did not come. */
static int get_bytes(uint32_t *crc, uint8_t *to, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        int byte = get_byte(BYTE_WAIT_MS);
        if (byte == LOST) return 0;
        if (to) to[i] = (uint8_t)byte;
        *crc = crc_byte(*crc, (uint8_t)byte);
    }
    return 1;
}

static int get_sync(uint32_t wait_ms) {
    uint32_t start = mcf_cycles();
    int before = 0;
    for (;;) {
        int byte = get_byte(wait_ms);
        if (byte == LOST) return 0;
        if (before == SYNC0 && byte == SYNC1) return 1;
        before = byte;
        if (wait_ms && mcf_cycles() - start > wait_ms * (MCF_CPU_HZ / 1000u)) return 0; /* noise without end */
    }
}

int mcf_frame_receive(mcf_frame_t *frame, const mcf_frame_t *expected, void *body, uint32_t wait_ms) {
    uint8_t head[4];
    uint32_t crc = 0xFFFFFFFFu, ignored = 0, sent;
    if (!get_sync(wait_ms) || !get_bytes(&crc, head, sizeof head)) return 0;
    uint32_t length = head[2] | (uint32_t)head[3] << 8;
    if (length < sizeof frame->argument || length > MCF_FRAME_MAX_BODY + sizeof frame->argument) return 0;
    *frame = (mcf_frame_t){.type = head[0], .sequence = head[1], .body_bytes = length - sizeof frame->argument};
    int wanted = expected && frame->type == expected->type && frame->sequence == expected->sequence &&
                 frame->body_bytes == expected->body_bytes;
    return get_bytes(&crc, (uint8_t *)&frame->argument, sizeof frame->argument) &&
           get_bytes(&crc, wanted ? body : 0, frame->body_bytes) &&
           get_bytes(&ignored, (uint8_t *)&sent, sizeof sent) && sent == ~crc;
}
