#ifndef CIMARRON_UART_H
#define CIMARRON_UART_H

#include <stdint.h>

/* Characters are dropped rather than waited for when the transmitter does not move. */
void uart_text(const char *text);
void uart_hex(uint32_t value);

#endif
