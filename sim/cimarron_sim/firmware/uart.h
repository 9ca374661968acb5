#ifndef CIMARRON_UART_H
#define CIMARRON_UART_H

#include <stdint.h>

/* Bit of DATA, bits of STATUS. */
#define UART_RECEIVED 0x100u
#define UART_HAS_ROOM 1u
#define UART_NOTHING_TO_SEND 8u

/* Bytes are dropped rather than waited for when the transmitter does not move. */
void uart_put(uint8_t byte);
void uart_text(const char *text);
void uart_hex(uint32_t value);

#endif
