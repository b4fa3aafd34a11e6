/* The UART service on a script instead of a chip: records of pause (ms), count, bytes from stdin.
 * Without a byte every poll is a millisecond; the program ends when the script is long over. */
#include <stdio.h>
#include <stdlib.h>

#include "mcf_board.h"
#include "mcf_port.h"
#include "mcf_profile.h"

enum { END_MS = 60000 };

extern const mcf_model_t small_model;
static uint32_t now, pause_ms, left, after_end_ms;

uint32_t mcf_cycles(void) { return now; }

static uint32_t number(void) {
    uint8_t bytes[4];
    if (fread(bytes, 1, sizeof bytes, stdin) != sizeof bytes) return 0;
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

int mcf_uart_get(void) {
    while (!left && !pause_ms && !feof(stdin)) pause_ms = number(), left = number();
    if (pause_ms || !left) {
        if (pause_ms) pause_ms--;
        else if (++after_end_ms > END_MS) exit(0);
        now += MCF_CPU_HZ / 1000u;
        return -1;
    }
    left--;
    now += MCF_CPU_HZ / 100000u;
    return getchar();
}

void mcf_uart_put(uint8_t byte) { putchar(byte); }

_Noreturn void mcf_stop(uint32_t status) {
    printf("@exit %u\n", (unsigned)status);
    exit(0);
}

int main(void) {
    static mcf_firmware_t firmware;
    firmware.model = &small_model;
    firmware.arena = malloc(small_model.arena_bytes); /* to the byte: a byte too many is a report */
    firmware.layer_cycles = malloc(4u * small_model.layers);
    if (!firmware.arena || !firmware.layer_cycles) return 1;
    for (unsigned i = 0; i < small_model.layers; i++) firmware.layer_cycles[i] = 0;
    mcf_serve(&firmware);
}
