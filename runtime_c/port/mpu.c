/* SPDX-License-Identifier: Apache-2.0 */
/* Memory protection: what the board does not have faults, and no speculative read goes there. */
#include "mcf_board.h"
#include "mcf_port.h"

#define MPU_CTRL 0xE000ED94u
#define MPU_RBAR 0xE000ED9Cu
#define MPU_RASR 0xE000EDA0u
#define SHCSR 0xE000ED24u

static void mpu_write(uint32_t first, uint32_t count) {
    static const uint32_t regions[][2] = MCF_MPU_REGIONS;
    MCF_REG(MPU_CTRL) = 0;
    for (uint32_t i = first; i < first + count; i++) {
        MCF_REG(MPU_RBAR) = regions[i][0];
        MCF_REG(MPU_RASR) = regions[i][1];
    }
    MCF_REG(SHCSR) |= 1u << 16; /* MemManage faults of its own */
    MCF_REG(MPU_CTRL) = 1;      /* no background map: what no region allows faults */
    __asm volatile("dsb\n\tisb" ::: "memory");
}

void mcf_mpu_init(void) {
    mpu_write(0, MCF_MPU_EARLY);
}

void mcf_mpu_open_late(void) {
    mpu_write(MCF_MPU_EARLY, MCF_MPU_LATE);
}
