/* Softmax in real numbers, as shares of a sum of powers, each share rounded to float32. */
#include "steps.h"
#include "tensor.h"

struct power {
    uint64_t mantissa;
    uint64_t halvings;
};

/* The power, less the halvings that all of a row have. */
static uint64_t term(const struct power *power, uint32_t common) {
    uint32_t places = (uint32_t)power->halvings - common;
    return places < 64 ? power->mantissa >> places : 0;
}

/* part / whole to the nearest float32, half to even; part is not above whole, which is below 2**62. */
static uint32_t float_ratio(uint64_t part, uint64_t whole) {
    if (part == 0) {
        return 0;
    }
    uint32_t exponent = 127;
    while (part < whole) {
        part <<= 1;
        exponent--;
    }
    part -= whole;
    uint32_t quotient = 1;
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

static void share_row(const volatile uint8_t *x, volatile uint8_t *y, const uint32_t *operands) {
    uint32_t count = operands[2];
    const struct power *powers = table(operands[4]);
    const int32_t *ladder = table(operands[5]);
    uint32_t common = ~0u;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t halvings = (uint32_t)powers[x[i]].halvings;
        common = halvings < common ? halvings : common;
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += term(&powers[x[i]], common);
    }
    for (uint32_t i = 0; i < count; i++) {
        y[i] = climb(ladder, ordered(float_ratio(term(&powers[x[i]], common), sum)));
    }
}

void share(const uint32_t *operands) {
    for (uint32_t row = 0; row < operands[3]; row++) {
        uint32_t start = row * operands[2];
        share_row(tensor_bytes(operands[0]) + start, tensor_bytes(operands[1]) + start, operands);
    }
}
