/* Softmax in real numbers, as shares of a sum of powers, each share rounded to float32. */
#include "steps.h"
#include "tensor.h"

struct power {
    uint64_t mantissa;
    uint64_t halvings;
};

/* Of a power; the first is 1. */
#define MANTISSA_BITS 48u

/* What the powers of a row add up to: its leading zeros, and 2**63 over the 32 bits behind them. */
struct whole {
    uint64_t sum;
    uint32_t zeros, inverse;
};

/* The power, less the halvings that all of a row have. */
static inline uint64_t term(const struct power *power, uint32_t common) {
    uint32_t places = (uint32_t)power->halvings - common;
    return places < 64 ? power->mantissa >> places : 0;
}

/* part / whole to the nearest float32, half to even; part is not above whole, which is below 2**62. */
APART static uint32_t float_ratio(uint64_t part, uint64_t whole) {
    uint32_t exponent = 127;
    /* The bound is for tables that are none. */
    for (; part < whole && exponent; exponent--) {
        part <<= 1;
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

static inline struct whole whole_of(uint64_t sum) {
    uint64_t aligned = sum;
    uint32_t zeros = 0;
    for (; !(aligned >> 63); aligned <<= 1) {
        zeros++;
    }
    uint32_t divisor = (uint32_t)(aligned >> 32), quotient = 0, rest = 1u << 31;
#pragma clang loop unroll(disable)
    for (int i = 0; i < 32; i++) {
        uint32_t carry = rest >> 31;
        rest <<= 1;
        quotient <<= 1;
        if (carry || rest >= divisor) {
            rest -= divisor;
            quotient |= 1;
        }
    }
    /* 2**32 does not fit; one less is near enough. */
    return (struct whole){sum, zeros, divisor == 1u << 31 ? ~0u : quotient};
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

/* The output of a power: the ladder's, between an estimate of its share from below and one from above, where almost
 * never is a rung. Of the estimate's 30 bits, what is cut off the power, the inverse and their product takes less than
 * three units, and what is cut off the whole adds at most one. */
static inline uint8_t output(
    const int32_t *ladder, const struct power *power, uint32_t common, const struct whole *whole) {
    uint32_t places = (uint32_t)power->halvings - common;
    if (places >= MANTISSA_BITS) {
        return climb(ladder, 0);
    }
    /* The leading 32 bits of the mantissa, without those that the halvings take. */
    uint32_t leading = (uint32_t)(power->mantissa >> (MANTISSA_BITS - 32));
    uint32_t taken = places > MANTISSA_BITS - 32 ? places - (MANTISSA_BITS - 32) : 0;
    leading = leading >> taken << taken;
    uint32_t ratio = (uint32_t)((uint64_t)leading * whole->inverse >> 33);
    uint32_t exponent = 128 + whole->zeros - (64 - MANTISSA_BITS) - places;
    uint32_t reached = rungs_up_to(ladder, float_of(ratio - 4, exponent));
    if (reached < (uint32_t)ladder[0] && ladder[2 + reached] <= float_of(ratio + 4, exponent)) {
        reached = rungs_up_to(ladder, (int32_t)float_ratio(power->mantissa >> places, whole->sum));
    }
    return (uint8_t)((uint32_t)ladder[1] + reached);
}

NEAR void share(const uint32_t *operands) {
    uint32_t count = operands[2];
    const volatile uint8_t *x = tensor_bytes(operands[0]);
    volatile uint8_t *y = tensor_bytes(operands[1]);
    const struct power *powers = table(operands[4]);
    const int32_t *ladder = table(operands[5]);
    for (uint32_t rows = operands[3]; rows; rows--, x += count, y += count) {
        uint32_t common = ~0u;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t halvings = (uint32_t)powers[x[i]].halvings;
            common = halvings < common ? halvings : common;
        }
        uint64_t sum = 0;
        for (uint32_t i = 0; i < count; i++) {
            sum += term(&powers[x[i]], common);
        }
        struct whole whole = whole_of(sum ? sum : 1);
        for (uint32_t i = 0; i < count; i++) {
            y[i] = output(ladder, &powers[x[i]], common, &whole);
        }
    }
}
