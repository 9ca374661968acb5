/* Softmax as float32 quotients: numerators and terms by the difference from a row's largest value. */
#include "steps.h"
#include "tensor.h"

/* Bits of fraction of a term. */
#define FRACTION_BITS 28u

/* What the terms of a row add up to, as float32: exponent, 24 bits of mantissa, and 2**55 over these. And the largest
 * exponent of a numerator whose quotient reaches no rung. */
struct whole {
    uint32_t exponent, mantissa, inverse, hopeless;
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

static inline struct whole whole_of(uint64_t sum, const int32_t *ladder) {
    uint32_t exponent = 127 + 63 - FRACTION_BITS;
    for (; !(sum >> 63); sum <<= 1) {
        exponent--;
    }
    /* To the nearest of 24 bits, half to even. */
    uint32_t mantissa = (uint32_t)(sum >> 40), half = (uint32_t)(sum >> 39) & 1;
    mantissa += half & (uint32_t)((sum << 25) != 0 || mantissa & 1);
    if (mantissa >> 24) {
        mantissa >>= 1;
        exponent++;
    }
    uint32_t divisor = mantissa << 8, inverse = 0, rest = 1u << 31;
#pragma clang loop unroll(disable)
    for (int i = 0; i < 32; i++) {
        uint32_t carry = rest >> 31;
        rest <<= 1;
        inverse <<= 1;
        if (carry || rest >= divisor) {
            rest -= divisor;
            inverse |= 1;
        }
    }
    /* A quotient is below 2**(1 + its numerator's exponent - the sum's), the first rung at least 2**(its own - 127): what
     * lies a power of two below that does so rounded, too. 2**32 does not fit; one less is near enough. */
    uint32_t first = (uint32_t)ladder[2] >> 23;
    return (struct whole){exponent, mantissa, divisor == 1u << 31 ? ~0u : inverse, exponent + first - 129};
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

/* The output of a numerator: the ladder's, between an estimate of its quotient from below and one from above, where
 * almost never is a rung. What is cut off the inverse and the product takes less than three units of the estimate's 30
 * bits. */
static inline uint8_t output(const int32_t *ladder, uint32_t numerator, const struct whole *whole) {
    uint32_t exponent = numerator >> 23;
    if (exponent <= whole->hopeless) {
        return (uint8_t)ladder[1];
    }
    uint32_t mantissa = (numerator & 0x7FFFFF) | 0x800000;
    uint32_t ratio = (uint32_t)((uint64_t)(mantissa << 8) * whole->inverse >> 33);
    exponent -= whole->exponent;
    uint32_t reached = rungs_up_to(ladder, float_of(ratio - 4, exponent + 128));
    if (reached < (uint32_t)ladder[0] && ladder[2 + reached] <= float_of(ratio + 4, exponent + 128)) {
        reached = rungs_up_to(ladder, (int32_t)(float_ratio(mantissa, whole->mantissa) + (exponent << 23)));
    }
    return (uint8_t)((uint32_t)ladder[1] + reached);
}

NEAR void share(const uint32_t *operands) {
    uint32_t count = operands[2], flip = operands[4];
    const volatile uint8_t *x = tensor_bytes(operands[0]);
    volatile uint8_t *y = tensor_bytes(operands[1]);
    const uint64_t *terms = table(operands[5]);
    const uint32_t *numerators = table(operands[6]);
    const int32_t *ladder = table(operands[7]);
    for (uint32_t rows = operands[3]; rows; rows--, x += count, y += count) {
        uint32_t largest = 0;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t value = x[i] ^ flip;
            largest = value > largest ? value : largest;
        }
        uint64_t sum = 0;
        for (uint32_t i = 0; i < count; i++) {
            sum += terms[largest - (x[i] ^ flip)];
        }
        struct whole whole = whole_of(sum ? sum : 1, ladder);
        for (uint32_t i = 0; i < count; i++) {
            y[i] = ladder[0] ? output(ladder, numerators[largest - (x[i] ^ flip)], &whole) : (uint8_t)ladder[1];
        }
    }
}
