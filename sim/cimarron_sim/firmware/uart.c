#include "uart.h"

#include "system.h"

/* Longer than a character at the slowest rate the divisor is used for in practice. */
#define PATIENCE_CYCLES (1u << 20)

__attribute__((noinline)) void uart_put(uint8_t byte) {
    uint32_t start = cycles();
    while (!(*device(UART_BASE + UART_STATUS) & UART_HAS_ROOM)) {
        if (cycles() - start > PATIENCE_CYCLES) {
            return;
        }
    }
    *device(UART_BASE + UART_DATA) = byte;
}

/* Kept out of line: the firmware fits the instruction cache. */
__attribute__((noinline)) void uart_text(const char *text) {
    while (*text) {
        uart_put((uint8_t)*text++);
    }
}

__attribute__((noinline)) void uart_hex(uint32_t value) {
    for (int shift = 28; shift >= 0; shift -= 4) {
        uart_put((uint8_t)"0123456789abcdef"[value >> shift & 0xF]);
    }
}
