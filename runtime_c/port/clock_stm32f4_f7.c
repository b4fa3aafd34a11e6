/* SPDX-License-Identifier: Apache-2.0 */
/* HSE -> PLL -> full speed: STM32F4 (RM0090) and STM32F7 (RM0385) share these registers. */
#include "mcf_board.h"
#include "mcf_port.h"

#define RCC_CR 0x40023800u
#define RCC_PLLCFGR 0x40023804u
#define RCC_CFGR 0x40023808u
#define RCC_APB1ENR 0x40023840u
#define PWR_CR 0x40007000u
#define PWR_CSR 0x40007004u
#define FLASH_ACR 0x40023C00u

static const char *overdrive_on(void) {
    MCF_REG(PWR_CR) |= 1u << 16; /* ODEN */
    if (!mcf_wait(PWR_CSR, 1u << 16, 1u << 16)) return "clock: over-drive is not ready";
    MCF_REG(PWR_CR) |= 1u << 17; /* ODSWEN */
    if (!mcf_wait(PWR_CSR, 1u << 17, 1u << 17)) return "clock: over-drive does not switch";
    return 0;
}

const char *mcf_clock_init(void) {
    MCF_REG(RCC_APB1ENR) |= 1u << 28; /* PWR */
    (void)MCF_REG(RCC_APB1ENR);
    MCF_REG(PWR_CR) |= 3u << 14; /* voltage scale 1 */
    MCF_REG(RCC_CR) |= MCF_HSE_BYPASS << 18;
    MCF_REG(RCC_CR) |= 1u << 16;
    if (!mcf_wait(RCC_CR, 1u << 17, 1u << 17)) return "clock: HSE is not ready";
    MCF_REG(RCC_PLLCFGR) = MCF_PLL_Q << 24 | 1u << 22 | (MCF_PLL_P / 2 - 1) << 16 | MCF_PLL_N << 6 | MCF_PLL_M;
    MCF_REG(RCC_CR) |= 1u << 24;
    if (!mcf_wait(RCC_CR, 1u << 25, 1u << 25)) return "clock: PLL does not lock";
    const char *error = MCF_OVERDRIVE ? overdrive_on() : 0;
    if (error) return error;
    MCF_REG(FLASH_ACR) = MCF_FLASH_ACR;
    if (!mcf_wait(FLASH_ACR, 0xFu, MCF_FLASH_ACR & 0xFu)) return "clock: flash wait states are refused";
    MCF_REG(RCC_CFGR) = MCF_APB2_CODE << 13 | MCF_APB1_CODE << 10;
    MCF_REG(RCC_CFGR) |= 2u;
    if (mcf_wait(RCC_CFGR, 3u << 2, 2u << 2)) return 0;
    MCF_REG(RCC_CFGR) = 0; /* the UART must know its clock */
    return "clock: the core does not switch to the PLL";
}
