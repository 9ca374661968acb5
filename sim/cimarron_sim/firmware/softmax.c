/* Softmax in the fixed-point arithmetic of TFLite: gemmlowp's, numbers of 31 bits and a sign. */
#include "steps.h"
#include "tensor.h"

/* Bits that the sum of the exponentials gives up, so that it cannot overflow. */
#define SUM_BITS 12u

/* 48/17 and -32/17 with 29 bits of fraction: the line nearest to the reciprocal. */
#define NEWTON_OFFSET 1515870810
#define NEWTON_SLOPE (-1010580540)

static int32_t high_multiply(int32_t a, int32_t b) { return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31); }

static int32_t saturating_left(int32_t value, uint32_t places) {
    int64_t wide = (int64_t)value << places;
    return wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : (int32_t)wide;
}

/* Half of one over a number from 1/2 to 1, both with 31 bits of fraction. */
static int32_t reciprocal(int32_t half) {
    int32_t x = NEWTON_OFFSET + high_multiply(half, NEWTON_SLOPE);
    for (int i = 0; i < 3; i++) {
        int32_t rest = (1 << 29) - high_multiply(half, x);
        x += saturating_left(high_multiply(x, rest), 2);
    }
    return saturating_left(x, 1);
}

static void softmax_row(const volatile uint8_t *x, volatile uint8_t *y, const uint32_t *operands) {
    uint32_t count = operands[2], flip_x = operands[4], flip_y = operands[5];
    const int32_t *exponentials = table(operands[6]);
    uint32_t largest = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t value = x[i] ^ flip_x;
        largest = value > largest ? value : largest;
    }
    uint32_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += ((uint32_t)exponentials[largest - (x[i] ^ flip_x)] + (1u << (SUM_BITS - 1))) >> SUM_BITS;
    }
    /* The largest value alone gives 2**19: the sum is never less. */
    uint32_t zeros = (uint32_t)__builtin_clz(sum | 1);
    int32_t scale = reciprocal((int32_t)(sum << zeros >> 1));
    uint32_t places = SUM_BITS - zeros + 23;
    /* Parts are below 2**31: their sum with half a unit fits 32 bits, and units of 2**32 or more leave nothing of it. */
    uint32_t half = places < 32 ? 1u << places >> 1 : 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t part = (uint32_t)high_multiply(exponentials[largest - (x[i] ^ flip_x)], scale);
        uint32_t rounded = places < 32 ? (part + half) >> places : 0;
        y[i] = (uint8_t)((rounded > 255 ? 255 : rounded) ^ flip_y);
    }
}

void softmax(const uint32_t *operands) {
    for (uint32_t row = 0; row < operands[3]; row++) {
        uint32_t start = row * operands[2];
        softmax_row(tensor_bytes(operands[0]) + start, tensor_bytes(operands[1]) + start, operands);
    }
}
