/* SPDX-License-Identifier: Apache-2.0 */
/* A polled USART on two pins, and what is printed on it. */
#include "mcf_board.h"
#include "mcf_port.h"

#if MCF_USART_HAS_ISR /* F7, H7 */
#define CR1 (MCF_USART_BASE + 0x00u)
#define BRR (MCF_USART_BASE + 0x0Cu)
#define STATUS (MCF_USART_BASE + 0x1Cu)
#define CLEAR (MCF_USART_BASE + 0x20u)
#define RECEIVE (MCF_USART_BASE + 0x24u)
#define TRANSMIT (MCF_USART_BASE + 0x28u)
#define CR1_ON (1u << 3 | 1u << 2 | 1u)
#else /* F4: reading SR, then DR clears the errors */
#define CR1 (MCF_USART_BASE + 0x0Cu)
#define BRR (MCF_USART_BASE + 0x08u)
#define STATUS (MCF_USART_BASE + 0x00u)
#define RECEIVE (MCF_USART_BASE + 0x04u)
#define TRANSMIT (MCF_USART_BASE + 0x04u)
#define CR1_ON (1u << 13 | 1u << 3 | 1u << 2)
#endif

enum { OVERRUN_NOISE_FRAMING = 0xE, RXNE = 1 << 5, TC = 1 << 6, TXE = 1 << 7 };

void mcf_pin_function(uint32_t port, uint32_t pin, uint32_t function) {
    uint32_t gpio = MCF_GPIO_BASE + 0x400u * port, shift = 4 * (pin & 7u), afr = gpio + 0x20u + 4 * (pin >> 3);
    MCF_REG(MCF_GPIO_ENABLE) |= 1u << port;
    (void)MCF_REG(MCF_GPIO_ENABLE);         /* the clock needs two cycles */
    MCF_REG(gpio + 0x08u) |= 3u << 2 * pin; /* fastest edges */
    MCF_REG(afr) = (MCF_REG(afr) & ~(0xFu << shift)) | function << shift;
    MCF_REG(gpio) = (MCF_REG(gpio) & ~(3u << 2 * pin)) | 2u << 2 * pin;
}

void mcf_uart_init(uint32_t clock_hz) {
    mcf_pin_function(MCF_UART_TX_PIN);
    mcf_pin_function(MCF_UART_RX_PIN);
    MCF_REG(MCF_USART_ENABLE) |= 1u << MCF_USART_ENABLE_BIT;
    (void)MCF_REG(MCF_USART_ENABLE);
    MCF_REG(BRR) = (clock_hz + MCF_UART_BAUD / 2) / MCF_UART_BAUD;
    MCF_REG(CR1) = CR1_ON;
}

int mcf_uart_get(void) {
    uint32_t status = MCF_REG(STATUS);
    if (!(status & (RXNE | OVERRUN_NOISE_FRAMING))) return -1;
    int byte = (int)(MCF_REG(RECEIVE) & 0xFFu);
#if MCF_USART_HAS_ISR
    if (status & OVERRUN_NOISE_FRAMING) MCF_REG(CLEAR) = OVERRUN_NOISE_FRAMING;
#endif
    return status & RXNE ? byte : -1;
}

void mcf_uart_put(uint8_t byte) {
    mcf_wait(STATUS, TXE, TXE); /* nowhere to complain: a dead UART loses the byte */
    MCF_REG(TRANSMIT) = byte;
}

void mcf_uart_text(const char *text) {
    while (*text) mcf_uart_put((uint8_t)*text++);
}

void mcf_uart_number(uint32_t value) {
    mcf_uart_text("0x");
    for (int shift = 28; shift >= 0; shift -= 4) mcf_uart_put((uint8_t) "0123456789abcdef"[value >> shift & 0xFu]);
}

_Noreturn void mcf_stop(uint32_t status) {
    mcf_uart_text("@exit ");
    mcf_uart_put((uint8_t)('0' + status % 10));
    mcf_uart_text("\r\n");
    mcf_wait(STATUS, TC, TC);
    for (;;) __asm volatile("wfi");
}
