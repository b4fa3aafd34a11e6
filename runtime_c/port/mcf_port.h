/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of the firmware: what stands between a chip's reset and a model's invoke(). */
#ifndef MCF_PORT_H
#define MCF_PORT_H

#include <stdint.h>

#include "mcf_model.h"

#define MCF_REG(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* Polls of a ready bit before it counts as dead: at least 50 ms on every clock. */
#define MCF_READY_POLLS 200000u

static inline int mcf_wait(uint32_t address, uint32_t mask, uint32_t wanted) {
    for (uint32_t polls = 0; polls < MCF_READY_POLLS; polls++)
        if ((MCF_REG(address) & mask) == wanted) return 1;
    return 0;
}

/* Each returns NULL, or says in a few words what did not become ready. */
MCF_COLD const char *mcf_clock_init(void);
MCF_COLD const char *mcf_cycles_init(void);
MCF_COLD const char *mcf_qspi_init(void);

MCF_COLD void mcf_mpu_init(void); /* forbids what is not there; QSPI too */
void mcf_mpu_open_late(void);     /* QSPI has been mapped: allow it */
MCF_COLD void mcf_caches_enable(void);
uint32_t mcf_cycles(void); /* wraps */

MCF_COLD void mcf_pin_function(uint32_t port, uint32_t pin, uint32_t function);
MCF_COLD void mcf_uart_init(uint32_t clock_hz);
int mcf_uart_get(void); /* a byte, or -1 */
void mcf_uart_put(uint8_t byte);
MCF_COLD void mcf_uart_text(const char *text);
MCF_COLD void mcf_uart_number(uint32_t value);
_Noreturn void mcf_stop(uint32_t status); /* prints "@exit <status>" and sleeps for good */

static inline uint32_t mcf_sum(const uint32_t *numbers, unsigned count) {
    uint32_t sum = 0;
    for (unsigned i = 0; i < count; i++) sum += numbers[i];
    return sum;
}

/* Line `line` of those that leave by lines: where it stands in the bytes of all outputs, and how many it has. */
typedef struct {
    uint32_t offset, bytes;
} mcf_line_t;

static inline mcf_line_t mcf_line_of(const mcf_model_t *model, uint32_t line) {
    const uint32_t *sizes = model->tensor_bytes + model->inputs, *line_bytes = sizes + model->outputs;
    mcf_line_t found = {0, 0};
    for (unsigned i = 0; i < model->outputs; found.offset += sizes[i++]) {
        if (!line_bytes[i]) continue;
        uint32_t lines = sizes[i] / line_bytes[i];
        if (line < lines) {
            found.offset += line * line_bytes[i];
            found.bytes = line_bytes[i];
            break;
        }
        line -= lines;
    }
    return found;
}

/* One inference; `write` is left alone where no output leaves by lines. */
static inline int mcf_invoke(const mcf_model_t *model, void *arena, mcf_read_lines_t read, void *ctx,
                             mcf_write_lines_t write) {
    if (model->output_mode == MCF_OUTPUT_LINES)
        return model->invoke_lines(arena, read, ctx, write, (void *)(uintptr_t)model);
    return model->invoke(arena, read, ctx);
}

/* Everything the firmware keeps beside the arena. */
typedef struct {
    const mcf_model_t *model;
    void *arena;
    const uint8_t *image;      /* input mode flash: where input 0 lies */
    uint32_t *layer_cycles;    /* model->layers of them, or NULL */
    const uint8_t *weights_id; /* the copy of model->id that lies beside the weights in QSPI, or NULL */
} mcf_firmware_t;

MCF_COLD _Noreturn void mcf_serve(const mcf_firmware_t *firmware); /* docs/uart.md */
int main(void);

#endif
