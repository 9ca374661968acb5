/* Softmax in the fixed-point arithmetic of TFLite: gemmlowp's, numbers of 31 bits and a sign. */
#include "reciprocal.h"
#include "row.h"
#include "steps.h"
#include "tensor.h"

/* Bits that the sum of the exponentials gives up, so that it cannot overflow. */
#define SUM_BITS 12u

/* What a row's values have in common. */
struct row {
    const uint32_t *exponentials; /* of minus the difference from the largest value */
    uint32_t twice;               /* of one over their sum */
    uint32_t half, places;        /* of the output's unit */
    uint32_t flip;                /* bits of an output that are inverted */
};

static inline uint32_t rounded(uint32_t exponential) { return (exponential + (1u << (SUM_BITS - 1))) >> SUM_BITS; }

/* Parts are below 2**31: their sum with half a unit fits 32 bits, and units of 2**32 or more leave nothing. */
static inline uint32_t output(const struct row *row, uint32_t exponential) {
    uint32_t part = row->places < 32 ? (scaled(exponential, row->twice) + row->half) >> row->places : 0;
    return (part > 255 ? 255 : part) ^ row->flip;
}

/* Where rows begin with a word of the buffer, four values are read and written at once, and what is looked up for one
 * of them is used after what is looked up for the others. */
NEAR void softmax(const uint32_t *operands) {
    const uint32_t count = operands[2], flip = operands[4], flips = flip * 0x01010101u;
    const volatile uint8_t *x = tensor_bytes(operands[0]);
    volatile uint8_t *y = tensor_bytes(operands[1]);
    for (uint32_t rows = operands[3]; rows; rows--, x += count, y += count) {
        const volatile uint32_t *x_words = (const volatile uint32_t *)x;
        volatile uint32_t *y_words = (volatile uint32_t *)y;
        const uint32_t words = words_of(x, y, count);
        const uint32_t largest = largest_of(x, words, count, flip);
        const uint32_t *of = (const uint32_t *)table(operands[6]) + largest;
        uint32_t sum = 0;
#pragma clang loop unroll(disable)
        for (uint32_t i = 0; i < words; i++) {
            uint32_t word = x_words[i] ^ flips;
            uint32_t a = of[-BYTE(word, 0)], b = of[-BYTE(word, 1)], c = of[-BYTE(word, 2)], d = of[-(word >> 24)];
            sum += rounded(a) + rounded(b) + rounded(c) + rounded(d);
        }
#pragma clang loop unroll(disable)
        for (uint32_t i = 4 * words; i < count; i++) {
            sum += rounded(of[-(x[i] ^ flip)]);
        }
        /* The largest value alone gives 2**19: the sum is never less. */
        uint32_t zeros = SUM_BITS;
#pragma clang loop unroll(disable)
        while (zeros && sum >> (32 - zeros)) {
            zeros--;
        }
        uint32_t twice = 2 * reciprocal(sum << zeros >> 1);
        uint32_t places = SUM_BITS - zeros + 23;
        struct row row = {of, twice, places < 32 ? 1u << places >> 1 : 0, places, operands[5]};
#pragma clang loop unroll(disable)
        for (uint32_t i = 0; i < words; i++) {
            uint32_t word = x_words[i] ^ flips;
            uint32_t a = of[-BYTE(word, 0)], b = of[-BYTE(word, 1)], c = of[-BYTE(word, 2)], d = of[-(word >> 24)];
            y_words[i] = output(&row, a) | output(&row, b) << 8 | output(&row, c) << 16 | output(&row, d) << 24;
        }
#pragma clang loop unroll(disable)
        for (uint32_t i = 4 * words; i < count; i++) {
            y[i] = (uint8_t)output(&row, of[-(x[i] ^ flip)]);
        }
    }
}
