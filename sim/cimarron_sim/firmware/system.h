/* The core and the devices around it. */
#ifndef CIMARRON_SYSTEM_H
#define CIMARRON_SYSTEM_H

#include <stdint.h>

#include "isa.h"

static inline volatile uint32_t *device(uint32_t address) { return (volatile uint32_t *)address; }

/* The host reaches RAM behind the caches' back: what it shares with the firmware goes through the uncached alias. */
static inline volatile uint32_t *mailbox(uint32_t offset) {
    return device((RAM_BASE | UNCACHED) + MAILBOX_OFFSET + offset);
}

#ifdef ENGINE_IN_SOFTWARE

/* The small core counts 32 bits of cycles, and has no cache. */
static inline uint32_t cycles(void) {
    uint32_t low;
    __asm__ volatile("rdcycle %0" : "=r"(low));
    return low;
}

static inline uint64_t cycles64(void) { return cycles(); }

static inline void data_cache_invalidate(void) { __asm__ volatile("" ::: "memory"); }

#else

static inline uint32_t cycles(void) {
    uint32_t low;
    __asm__ volatile("csrr %0, mcycle" : "=r"(low));
    return low;
}

static inline uint64_t cycles64(void) {
    uint32_t high, low, again;
    do {
        __asm__ volatile("csrr %0, mcycleh" : "=r"(high));
        low = cycles();
        __asm__ volatile("csrr %0, mcycleh" : "=r"(again));
    } while (high != again);
    return (uint64_t)high << 32 | low;
}

/* Forget every line of the data cache, in about 130 cycles. The cache writes through, so nothing is lost. */
static inline void data_cache_invalidate(void) { __asm__ volatile(".word 0x500F" ::: "memory"); }

#endif

static inline void announce(uint32_t event, uint32_t argument) {
    *device(SYSTEM_BASE + SYSTEM_EVENT) = event << EVENT_SHIFT | (argument & ((1u << EVENT_SHIFT) - 1));
}

#endif
