/* What steps of the CPU work with: tensors in the activation buffer, tables in the image. */
#ifndef CIMARRON_TENSOR_H
#define CIMARRON_TENSOR_H

#include <stdint.h>

#include "program.h"
#include "system.h"

static inline volatile uint32_t *tensor_words(uint32_t address) { return device(ENGINE_BASE + ACT_WINDOW + address); }

static inline volatile uint8_t *tensor_bytes(uint32_t address) { return (volatile uint8_t *)tensor_words(address); }

static inline const void *table(uint32_t offset) { return (const uint8_t *)PROGRAM + offset; }

/* How many of a ladder's rungs the input has reached. */
static inline uint32_t rungs_up_to(const int32_t *ladder, int32_t input) {
    const int32_t *rungs = ladder + 2;
    uint32_t low = 0, high = (uint32_t)ladder[0];
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (rungs[middle] <= input) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* A function that never falls: its lowest value, and one more for each rung. */
static inline uint8_t climb(const int32_t *ladder, int32_t input) {
    return (uint8_t)((uint32_t)ladder[1] + rungs_up_to(ladder, input));
}

/* The integer of a float that is ordered as floats are. */
static inline int32_t ordered(uint32_t real) {
    return (int32_t)(real >> 31 ? real ^ 0x7FFFFFFFu : real);
}

#endif
