/* Softmax as float32 quotients: numerators and terms by the difference from a row's largest value. */
#include <stdbool.h>

#include "reciprocal.h"
#include "row.h"
#include "steps.h"
#include "tensor.h"

/* Bits of fraction of a term. */
#define FRACTION_BITS 28u

/* What a row's values have in common. */
struct row {
    const uint32_t *numerators;                  /* by minus the difference from the largest value */
    const int32_t *ladder;
    uint32_t hopeless;                           /* numerators below it are too small for the first rung */
    uint32_t exponent, mantissa, reciprocal;     /* of what the terms add up to, as float32 */
    uint32_t first;                              /* the first rung, its fraction cut off */
};

/* part / whole to the nearest float32, half to even, of two mantissas with 24 bits. */
APART static uint32_t float_ratio(uint32_t part, uint32_t whole) {
    uint32_t exponent = 127;
    if (part < whole) {
        part <<= 1;
        exponent--;
    }
    part -= whole;
    uint32_t quotient = 1;
#pragma clang loop unroll(disable)
    for (int i = 0; i < 24; i++) {
        part <<= 1;
        quotient <<= 1;
        if (part >= whole) {
            part -= whole;
            quotient |= 1;
        }
    }
    uint32_t mantissa = quotient >> 1;
    mantissa += quotient & 1 & (uint32_t)(part != 0 || mantissa & 1);
    return (exponent << 23) + (mantissa - (1u << 23));
}

static inline void divide_by(struct row *row, uint64_t sum) {
    uint32_t exponent = 127 + 63 - FRACTION_BITS, high = (uint32_t)(sum >> 32), low = (uint32_t)sum;
    if (!high) {
        high = low;
        low = 0;
        exponent -= 32;
    }
    uint32_t zeros = 0;
    while (!(high << zeros >> 31)) {
        zeros++;
    }
    exponent -= zeros;
    high = high << zeros | low >> 1 >> (31 - zeros);
    low <<= zeros;
    /* To the nearest of 24 bits, half to even. */
    uint32_t mantissa = high >> 8;
    mantissa += (high >> 7 & 1) & (uint32_t)((high << 25 | low) != 0 || mantissa & 1);
    if (mantissa >> 24) {
        mantissa >>= 1;
        exponent++;
    }
    row->exponent = exponent;
    row->mantissa = mantissa;
    row->reciprocal = reciprocal(mantissa << 7);
    /* A quotient is below 2**(1 + its numerator's exponent - the sum's), the first rung at least 2**(its own - 127): what
     * lies a power of two below that does so rounded, too. */
    uint32_t first = (uint32_t)row->ladder[2], places = 150 - (first >> 23);
    int32_t least = (int32_t)(exponent + (first >> 23)) - 128;
    row->hopeless = least > 0 ? (uint32_t)least << 23 : 0;
    row->first = places < 24 ? ((first & 0x7FFFFF) | 0x800000) >> places : 0;
}

/* value * 2**(exponent - 158) to the nearest float32, half to even. */
static inline int32_t float_of(uint32_t value, uint32_t exponent) {
    for (; value && !(value >> 31); value <<= 1) {
        exponent--;
    }
    uint32_t mantissa = value >> 8;
    mantissa += (value >> 7 & 1) & (uint32_t)((value & 127) != 0 || mantissa & 1);
    return (int32_t)((exponent << 23) + mantissa - (1u << 23));
}

/* Whether a number is not below so many of a ladder's rungs, and below the next. */
static inline bool has_reached(uint32_t rungs, const int32_t *ladder, int32_t low, int32_t high) {
    return (rungs == 0 || ladder[1 + rungs] <= low) && (rungs == (uint32_t)ladder[0] || high < ladder[2 + rungs]);
}

/* The output of a numerator: the ladder's, between an estimate of its quotient from below and one from above. The
 * reciprocal is less than 7 units of its 30 bits from the true one, whatever the mantissa, and what is cut off the
 * product is less than another. Rungs are mostly a whole number apart: the nearest one tells how many were reached. */
BESIDE static uint32_t share_of(const struct row *row, uint32_t numerator) {
    const int32_t *ladder = row->ladder;
    uint32_t exponent = (numerator >> 23) - row->exponent;
    uint32_t mantissa = (numerator & 0x7FFFFF) | 0x800000;
    uint32_t ratio = (uint32_t)((uint64_t)(mantissa << 8) * row->reciprocal >> 32), places = 29 - exponent;
    uint32_t nearest = places < 32 ? ((ratio >> places) + 1) >> 1 : 0, rungs = (uint32_t)ladder[0];
    uint32_t reached = nearest - row->first < rungs ? nearest - row->first : rungs;
    if (!has_reached(reached, ladder, float_of(ratio - 8, exponent + 128), float_of(ratio + 8, exponent + 128))) {
        reached = rungs_up_to(ladder, (int32_t)(float_ratio(mantissa, row->mantissa) + (exponent << 23)));
    }
    return (uint8_t)((uint32_t)ladder[1] + reached);
}

static inline uint32_t output(const struct row *row, uint32_t numerator) {
    return numerator < row->hopeless ? (uint8_t)row->ladder[1] : share_of(row, numerator);
}

BESIDE void share(const uint32_t *operands) {
    const uint32_t count = operands[2], flip = operands[4], flips = flip * 0x01010101u;
    const volatile uint8_t *x = tensor_bytes(operands[0]);
    volatile uint8_t *y = tensor_bytes(operands[1]);
    for (uint32_t rows = operands[3]; rows; rows--, x += count, y += count) {
        const volatile uint32_t *x_words = (const volatile uint32_t *)x;
        volatile uint32_t *y_words = (volatile uint32_t *)y;
        const uint32_t words = words_of(x, y, count);
        const uint32_t largest = largest_of(x, words, count, flip);
        const uint64_t *terms = (const uint64_t *)table(operands[5]) + largest;
        uint64_t sum = 0;
#pragma clang loop unroll(disable)
        for (uint32_t i = 0; i < words; i++) {
            uint32_t word = x_words[i] ^ flips;
            sum += terms[-BYTE(word, 0)] + terms[-BYTE(word, 1)] + terms[-BYTE(word, 2)] + terms[-(word >> 24)];
        }
#pragma clang loop unroll(disable)
        for (uint32_t i = 4 * words; i < count; i++) {
            sum += terms[-(x[i] ^ flip)];
        }
        struct row row = {.numerators = (const uint32_t *)table(operands[6]) + largest, .ladder = table(operands[7])};
        divide_by(&row, sum ? sum : 1);
        if (!row.ladder[0]) {
            row.hopeless = ~0u;
        }
#pragma clang loop unroll(disable)
        for (uint32_t i = 0; i < words; i++) {
            uint32_t word = x_words[i] ^ flips, outputs = 0;
#pragma clang loop unroll(disable)
            for (uint32_t place = 0; place < 32; place += 8, word >>= 8) {
                outputs |= output(&row, row.numerators[-(word & 255)]) << place;
            }
            y_words[i] = outputs;
        }
#pragma clang loop unroll(disable)
        for (uint32_t i = 4 * words; i < count; i++) {
            y[i] = (uint8_t)output(&row, row.numerators[-(x[i] ^ flip)]);
        }
    }
}
