/* A host on the serial port; docs/host.md describes the protocol. */
#ifndef CIMARRON_HOST_H
#define CIMARRON_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "section.h"
#include "system.h"
#include "uart.h"

/* There may be something to do although no byte has arrived: a command to answer, a rate that may expire. */
extern bool host_attention;

/* Takes what the UART's DATA register read, does what is due, and never waits for long. */
APART void host_serve(uint32_t data);

/* A command from the host is left in the mailbox, and answered when it has gone from there. */
static inline void host_poll(void) {
    uint32_t data = *device(UART_BASE + UART_DATA);
    if ((data & UART_RECEIVED) || host_attention) {
        host_serve(data);
    }
}

#endif
