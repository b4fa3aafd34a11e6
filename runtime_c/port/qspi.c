/* SPDX-License-Identifier: Apache-2.0 */
/* A quad SPI NOR flash at 0x90000000, read as memory (RM0385 chapter 14). */
#include "mcf_board.h"
#include "mcf_port.h"

#if MCF_HAS_QSPI

#define QUADSPI_CR 0xA0001000u
#define QUADSPI_DCR 0xA0001004u
#define QUADSPI_SR 0xA0001008u
#define QUADSPI_FCR 0xA000100Cu
#define QUADSPI_DLR 0xA0001010u
#define QUADSPI_CCR 0xA0001014u
#define QUADSPI_DR 0xA0001020u
#define RCC_AHB3ENR 0x40023838u

enum { BUSY = 1 << 5, TCF = 1 << 1 };
enum { RESET_ENABLE = 0x66, RESET = 0x99, READ_ID = 0x9F };

/* CCR: instruction on one line, data on one line, address and data on four; how the peripheral acts. */
#define ONE_LINE_INSTRUCTION (1u << 8)
#define ONE_LINE_DATA (1u << 24)
#define FOUR_LINE_ADDRESS_DATA (3u << 24 | 3u << 10)
#define ADDRESS_SIZE ((MCF_QSPI_SIZE_LOG2 > 24 ? 3u : 2u) << 12) /* 32 or 24 bits */
#define INDIRECT_READ (1u << 26)
#define MEMORY_MAPPED (3u << 26)

static int idle(void) {
    return mcf_wait(QUADSPI_SR, BUSY, 0);
}

static int command(uint32_t instruction) {
    MCF_REG(QUADSPI_CCR) = ONE_LINE_INSTRUCTION | instruction;
    int done = mcf_wait(QUADSPI_SR, TCF, TCF);
    MCF_REG(QUADSPI_FCR) = TCF;
    return done && idle();
}

static uint32_t read_id(void) {
    MCF_REG(QUADSPI_DLR) = 4 - 1; /* a whole word: the FIFO is read by words */
    MCF_REG(QUADSPI_CCR) = INDIRECT_READ | ONE_LINE_DATA | ONE_LINE_INSTRUCTION | READ_ID;
    if (!mcf_wait(QUADSPI_SR, TCF, TCF)) return 0;
    uint32_t id = MCF_REG(QUADSPI_DR) & 0xFFFFFFu;
    MCF_REG(QUADSPI_FCR) = TCF;
    return id;
}

const char *mcf_qspi_init(void) {
    static const uint8_t pins[][3] = MCF_QSPI_PINS;
    for (uint32_t i = 0; i < sizeof pins / sizeof *pins; i++) mcf_pin_function(pins[i][0], pins[i][1], pins[i][2]);
    MCF_REG(RCC_AHB3ENR) |= 1u << 1;
    (void)MCF_REG(RCC_AHB3ENR);
    if (!idle()) return "qspi: the controller is busy";
    MCF_REG(QUADSPI_CR) = (MCF_QSPI_PRESCALER - 1) << 24 | 1u << 4 | 1u; /* sample half a cycle later */
    MCF_REG(QUADSPI_DCR) = (MCF_QSPI_SIZE_LOG2 - 1) << 16 | 4u << 8;     /* select high for 5 cycles */
    if (!command(RESET_ENABLE) || !command(RESET)) return "qspi: no answer to a reset command";
    for (uint32_t wait = 0; wait < 100000; wait++) __asm volatile("nop"); /* the flash's reset: tens of us */
    uint32_t id = read_id();
    if (id == 0 || id == 0xFFFFFFu) return "qspi: no flash answers";
    if (!idle()) return "qspi: the controller stays busy";
    MCF_REG(QUADSPI_CCR) = MEMORY_MAPPED | FOUR_LINE_ADDRESS_DATA | ADDRESS_SIZE | ONE_LINE_INSTRUCTION |
                           MCF_QSPI_DUMMY_CYCLES << 18 | MCF_QSPI_READ_COMMAND;
    mcf_mpu_open_late();
    return 0;
}

#else

const char *mcf_qspi_init(void) {
    return 0;
}

#endif
