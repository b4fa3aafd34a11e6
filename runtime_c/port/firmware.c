/* SPDX-License-Identifier: Apache-2.0 */
/* Brings the chip up, part by part, then serves. A part that is not ready says so and ends here. */
#include "mcf_board.h"
#include "mcf_port.h"

extern const mcf_firmware_t mcf_the_firmware; /* main.c */

static void require(const char *error) {
    if (!error) return;
    mcf_uart_text("@error ");
    mcf_uart_text(error);
    mcf_uart_text("\r\n");
    mcf_stop(2);
}

/* Code and weights are written by different tools: do they belong together? */
static const char *weights_check(const mcf_firmware_t *firmware) {
    for (unsigned i = 0; firmware->weights_id && i < 16; i++)
        if (firmware->weights_id[i] != firmware->model->id[i]) return "qspi: holds the weights of another build";
    return 0;
}

int main(void) {
    mcf_mpu_init(); /* first: from here on no speculative read reaches the unconfigured QSPI */
#if MCF_RAM_CLOCKS
    /* Neither stack nor data lie there, and no call has touched the arena yet. */
    MCF_REG(MCF_RAM_ENABLE) |= MCF_RAM_CLOCKS;
    (void)MCF_REG(MCF_RAM_ENABLE);
#endif
    const char *error = mcf_clock_init();
    mcf_uart_init(error ? MCF_RESET_HZ : MCF_UART_CLOCK_HZ); /* without its PLL the chip still speaks */
    require(error);
    require(mcf_cycles_init());
    mcf_caches_enable();
    require(mcf_qspi_init());
    require(weights_check(&mcf_the_firmware));
    mcf_uart_text("@mcuformer ");
    mcf_uart_text(mcf_the_firmware.model->name);
    mcf_uart_text("\r\n");
    mcf_serve(&mcf_the_firmware);
}
