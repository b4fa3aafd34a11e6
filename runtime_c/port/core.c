/* SPDX-License-Identifier: Apache-2.0 */
/* The core's own peripherals: caches and the cycle counter. */
#include "mcf_board.h"
#include "mcf_port.h"

#define CCR 0xE000ED14u
#define CCSIDR 0xE000ED80u
#define CSSELR 0xE000ED84u
#define ICIALLU 0xE000EF50u
#define DCISW 0xE000EF60u
#define DEMCR 0xE000EDFCu
#define DWT_CTRL 0xE0001000u
#define DWT_CYCCNT 0xE0001004u
#define DWT_LAR 0xE0001FB0u

static void barrier(void) {
    __asm volatile("dsb\n\tisb" ::: "memory");
}

void mcf_caches_enable(void) {
#if MCF_HAS_CACHES
    barrier();
    MCF_REG(ICIALLU) = 0;
    barrier();
    MCF_REG(CCR) |= 1u << 17;
    MCF_REG(CSSELR) = 0;
    barrier();
    uint32_t sets = MCF_REG(CCSIDR) >> 13 & 0x7FFFu, ways = MCF_REG(CCSIDR) >> 3 & 0x3FFu;
    for (uint32_t set = 0; set <= sets; set++) /* four ways: their number is in bits 31..30 */
        for (uint32_t way = 0; way <= ways; way++) MCF_REG(DCISW) = way << 30 | set << 5;
    barrier();
    MCF_REG(CCR) |= 1u << 16;
    barrier();
#endif
}

const char *mcf_cycles_init(void) {
    MCF_REG(DEMCR) |= 1u << 24;
    MCF_REG(DWT_LAR) = 0xC5ACCE55u; /* the M7 counts only once this lock is open */
    MCF_REG(DWT_CYCCNT) = 0;
    MCF_REG(DWT_CTRL) |= 1u;
    uint32_t before = mcf_cycles();
    for (uint32_t polls = 0; polls < 1000; polls++)
        if (mcf_cycles() != before) return 0;
    return "dwt: the cycle counter does not run";
}

uint32_t mcf_cycles(void) {
    return MCF_REG(DWT_CYCCNT);
}
