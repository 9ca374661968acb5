/* The reciprocal of gemmlowp, whose numbers have 31 bits and a sign. */
#ifndef CIMARRON_RECIPROCAL_H
#define CIMARRON_RECIPROCAL_H

#include <stdint.h>

/* 48/17 and -32/17 with 29 bits of fraction: the line nearest to the reciprocal. */
#define NEWTON_OFFSET 1515870810u
#define NEWTON_SLOPE (-1010580540)

/* a * b / 2**31 to the nearest, halves up, of 2 * b: then the halves are in the upper word. */
static inline uint32_t scaled(uint32_t a, uint32_t twice_b) {
    uint64_t product = (uint64_t)a * twice_b;
    return (uint32_t)(product >> 32) + ((uint32_t)product >> 31);
}

static inline int32_t signed_scaled(int32_t a, uint32_t twice_b) {
    int64_t product = (int64_t)a * twice_b;
    return (int32_t)(product >> 32) + (int32_t)((uint32_t)product >> 31);
}

/* One over a number from 1/2 to 1, both with 31 bits of fraction, less 2**-31 where it would be 2.
 * gemmlowp saturates each step; x stays between 1 and 2 here, so that only the last one can. */
static inline uint32_t reciprocal(uint32_t half) {
    uint32_t x = NEWTON_OFFSET + (uint32_t)signed_scaled(NEWTON_SLOPE, 2 * half);
    for (int i = 0; i < 3; i++) {
        int32_t rest = (1 << 29) - (int32_t)scaled(half, 2 * x);
        x += (uint32_t)signed_scaled(rest, 2 * x) << 2;
    }
    return x < 1u << 30 ? 2 * x : INT32_MAX;
}

#endif
