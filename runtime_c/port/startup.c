/* SPDX-License-Identifier: Apache-2.0 */
/* From reset to main(): vectors, FPU, .data, .bss and the code that runs from ITCM. */
#include <stdint.h>

#include "mcf_port.h"

#define CPACR 0xE000ED88u
#define VTOR 0xE000ED08u
#define CFSR 0xE000ED28u
#define BFAR 0xE000ED38u
#define MMFAR 0xE000ED34u

typedef void (*vector_t)(void);
extern const vector_t mcf_vectors[16];
extern uint32_t mcf_stack_top[], mcf_data_load[], mcf_data_start[], mcf_data_end[];
extern uint32_t mcf_bss_start[], mcf_bss_end[];
extern uint32_t mcf_itcm_load[], mcf_itcm_start[], mcf_itcm_end[];

_Noreturn void Reset_Handler(void);
void Fault_Handler(void);
_Noreturn void mcf_fault(void);

static void copy_words(uint32_t *to, const uint32_t *end, const uint32_t *from) {
    while (to < end) *to++ = *from++;
}

_Noreturn void Reset_Handler(void) {
    MCF_REG(CPACR) |= 0xFu << 20; /* before any instruction that touches the FPU */
    MCF_REG(VTOR) = (uint32_t)(uintptr_t)mcf_vectors;
    __asm volatile("dsb\n\tisb" ::: "memory");
    copy_words(mcf_data_start, mcf_data_end, mcf_data_load);
    copy_words(mcf_itcm_start, mcf_itcm_end, mcf_itcm_load);
    for (uint32_t *word = mcf_bss_start; word < mcf_bss_end; word++) *word = 0;
    __asm volatile("dsb\n\tisb" ::: "memory");
    main();
    mcf_stop(0);
}

/* The stack may be what overflowed: start a new one. */
__attribute__((naked)) void Fault_Handler(void) {
    __asm volatile("ldr r0, =mcf_stack_top\n\tmov sp, r0\n\tbl mcf_fault\n\t.ltorg");
}

__attribute__((used)) _Noreturn void mcf_fault(void) {
    mcf_uart_text("\r\n@error fault: CFSR ");
    mcf_uart_number(MCF_REG(CFSR));
    mcf_uart_text(" MMFAR ");
    mcf_uart_number(MCF_REG(MMFAR));
    mcf_uart_text(" BFAR ");
    mcf_uart_number(MCF_REG(BFAR));
    mcf_uart_text("\r\n");
    mcf_stop(3);
}

/* The stack pointer, then handlers 1 to 15. Nothing is interrupt driven. */
/* clang-format off */
__attribute__((section(".vectors"), used)) const vector_t mcf_vectors[16] = {
    (vector_t)(uintptr_t)mcf_stack_top,
    (vector_t)Reset_Handler,
    Fault_Handler, Fault_Handler, Fault_Handler, Fault_Handler, Fault_Handler, Fault_Handler,
    Fault_Handler, Fault_Handler, Fault_Handler, Fault_Handler, Fault_Handler, Fault_Handler,
    Fault_Handler, Fault_Handler,
};
/* clang-format on */
