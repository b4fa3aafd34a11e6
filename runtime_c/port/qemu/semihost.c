/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's mps2-an500: files and messages by semihosting, instructions by a timer.
 * With -icount shift=6 an instruction takes 64 ns, a tick of the 25 MHz timer 40 ns. */
#include "mcf_batch.h"
#include "mcf_port.h"

#define TIMER_CTRL 0x40000000u
#define TIMER_VALUE 0x40000004u
#define TIMER_RELOAD 0x40000008u
#define MPU_CTRL 0xE000ED94u

enum {
    SYS_OPEN = 1,
    SYS_WRITE0 = 4,
    SYS_WRITE = 5,
    SYS_READ = 6,
    SYS_SEEK = 10,
    SYS_FLEN = 12,
    SYS_EXIT_EXTENDED = 32
};
enum { MODE_READ = 1, MODE_WRITE = 5 };

static int32_t host(uint32_t operation, const void *arguments) {
    register uint32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = arguments;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}

int mcf_file_open(const char *name, int for_writing) {
    uint32_t length = 0;
    while (name[length]) length++;
    uint32_t arguments[3] = {(uint32_t)(uintptr_t)name, for_writing ? MODE_WRITE : MODE_READ, length};
    return host(SYS_OPEN, arguments);
}

int32_t mcf_file_size(int file) {
    uint32_t arguments[1] = {(uint32_t)file};
    return host(SYS_FLEN, arguments);
}

int mcf_file_read_at(int file, uint32_t offset, void *to, uint32_t count) {
    uint32_t seek[2] = {(uint32_t)file, offset};
    uint32_t arguments[3] = {(uint32_t)file, (uint32_t)(uintptr_t)to, count};
    return host(SYS_SEEK, seek) != 0 || host(SYS_READ, arguments) != 0;
}

int mcf_file_write_at(int file, uint32_t offset, const void *from, uint32_t count) {
    uint32_t seek[2] = {(uint32_t)file, offset};
    return host(SYS_SEEK, seek) != 0 || mcf_file_append(file, from, count);
}

int mcf_file_append(int file, const void *from, uint32_t count) {
    uint32_t arguments[3] = {(uint32_t)file, (uint32_t)(uintptr_t)from, count};
    return host(SYS_WRITE, arguments) != 0;
}

/* The place is read-only for the model: lift the protection while the image is put there. */
const uint8_t *mcf_image_put(const uint8_t *image, int file, uint32_t offset, uint32_t count) {
    MCF_REG(MPU_CTRL) = 0;
    __asm volatile("dsb\n\tisb" ::: "memory");
    int failed = mcf_file_read_at(file, offset, (uint8_t *)(uintptr_t)image, count);
    MCF_REG(MPU_CTRL) = 1;
    __asm volatile("dsb\n\tisb" ::: "memory");
    return failed ? 0 : image;
}

void mcf_cycles_start(void) {
    mcf_mpu_init();
    mcf_mpu_open_late();
    MCF_REG(TIMER_RELOAD) = 0xFFFFFFFFu;
    MCF_REG(TIMER_VALUE) = 0xFFFFFFFFu;
    MCF_REG(TIMER_CTRL) = 1;
}

uint32_t mcf_cycles(void) {
    return ~MCF_REG(TIMER_VALUE); /* it counts down */
}

void mcf_uart_text(const char *text) {
    host(SYS_WRITE0, text);
}

void mcf_uart_number(uint32_t value) {
    char text[11] = "0x";
    for (int i = 0; i < 8; i++) text[2 + i] = "0123456789abcdef"[value >> (28 - 4 * i) & 0xFu];
    text[10] = 0;
    mcf_uart_text(text);
}

_Noreturn void mcf_stop(uint32_t status) {
    uint32_t arguments[2] = {0x20026, status ? 1 : 0}; /* ADP_Stopped_ApplicationExit */
    if (status) {
        mcf_uart_text("@error status ");
        mcf_uart_number(status);
        mcf_uart_text("\n");
    }
    for (;;) host(SYS_EXIT_EXTENDED, arguments);
}
