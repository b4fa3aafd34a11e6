/* SPDX-License-Identifier: Apache-2.0 */
/* HSE -> PLL1 -> 400 MHz, AHB at half of it: STM32H742/743/750/753 (RM0433). */
#include "mcf_board.h"
#include "mcf_port.h"

#define RCC_CR 0x58024400u
#define RCC_CFGR 0x58024410u
#define RCC_D1CFGR 0x58024418u
#define RCC_D2CFGR 0x5802441Cu
#define RCC_D3CFGR 0x58024420u
#define RCC_PLLCKSELR 0x58024428u
#define RCC_PLLCFGR 0x5802442Cu
#define RCC_PLL1DIVR 0x58024430u
#define PWR_CSR1 0x58024804u
#define PWR_CR3 0x5802480Cu
#define PWR_D3CR 0x58024818u
#define FLASH_ACR 0x52002000u

const char *mcf_clock_init(void) {
    MCF_REG(PWR_CR3) = (MCF_REG(PWR_CR3) & ~7u) | 2u; /* supply: the internal LDO; written once after power-on */
    if (!mcf_wait(PWR_CSR1, 1u << 13, 1u << 13)) return "clock: the supply is not ready";
    MCF_REG(PWR_D3CR) |= 3u << 14; /* VOS1 */
    if (!mcf_wait(PWR_D3CR, 1u << 13, 1u << 13)) return "clock: the core voltage is not ready";
    MCF_REG(RCC_CR) |= MCF_HSE_BYPASS << 18;
    MCF_REG(RCC_CR) |= 1u << 16;
    if (!mcf_wait(RCC_CR, 1u << 17, 1u << 17)) return "clock: HSE is not ready";
    MCF_REG(RCC_PLLCKSELR) = MCF_PLL_M << 4 | 2u;
    MCF_REG(RCC_PLLCFGR) = 1u << 16 | 1u << 2; /* P output on, input 2 to 4 MHz, wide VCO */
    MCF_REG(RCC_PLL1DIVR) = (MCF_PLL_Q - 1) << 24 | (MCF_PLL_Q - 1) << 16 | (MCF_PLL_P - 1) << 9 | (MCF_PLL_N - 1);
    MCF_REG(RCC_CR) |= 1u << 24;
    if (!mcf_wait(RCC_CR, 1u << 25, 1u << 25)) return "clock: PLL does not lock";
    MCF_REG(FLASH_ACR) = MCF_FLASH_ACR;
    if (!mcf_wait(FLASH_ACR, 0xFu, MCF_FLASH_ACR & 0xFu)) return "clock: flash wait states are refused";
    MCF_REG(RCC_D1CFGR) = MCF_APB1_CODE << 4 | 8u; /* AHB = core / 2 */
    MCF_REG(RCC_D2CFGR) = MCF_APB2_CODE << 8 | MCF_APB1_CODE << 4;
    MCF_REG(RCC_D3CFGR) = MCF_APB1_CODE << 4;
    MCF_REG(RCC_CFGR) |= 3u;
    if (mcf_wait(RCC_CFGR, 7u << 3, 3u << 3)) return 0;
    MCF_REG(RCC_CFGR) = 0;
    MCF_REG(RCC_D1CFGR) = 0; /* the UART must know its clock */
    MCF_REG(RCC_D2CFGR) = 0;
    return "clock: the core does not switch to the PLL";
}
