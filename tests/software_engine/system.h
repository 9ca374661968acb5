/* Stands in for the address map: memories in arrays. */
#ifndef CIMARRON_SYSTEM_H
#define CIMARRON_SYSTEM_H

#include <stdint.h>
#include <stdlib.h>

#define BANK_BYTES 65536u

extern uint32_t host_ram[BANK_BYTES / 4], host_bank[BANK_BYTES / 4], host_ram_bytes;

static inline volatile uint32_t *device(uint32_t address) {
    uint32_t in_ram = (address & ~UNCACHED) - RAM_BASE, in_bank = address - ENGINE_BASE - ACT_WINDOW;
    if (in_ram <= BANK_BYTES) {
        return (volatile uint32_t *)((uint8_t *)host_ram + in_ram);
    }
    if (in_bank <= BANK_BYTES) {
        return (volatile uint32_t *)((uint8_t *)host_bank + in_bank);
    }
    if (address == SYSTEM_BASE + SYSTEM_RAM_BYTES) {
        return &host_ram_bytes;
    }
    abort();
}

#endif
