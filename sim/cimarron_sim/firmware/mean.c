/* Means of real numbers where their bounds differ: float32 sums, in the order that the program says, and a ladder. */
#include "steps.h"
#include "tensor.h"

/* Sum of two normal float32 numbers or zeros, rounded to nearest even; results are neither subnormal nor infinite. */
static uint32_t float_add(uint32_t a, uint32_t b) {
    if (a << 1 < b << 1) {
        uint32_t swap = a;
        a = b;
        b = swap;
    }
    if (b << 1 == 0) {
        return a;
    }
    /* Three bits below the last one, the lowest of which stands for everything that was shifted out. */
    uint32_t exponent = a >> 23 & 0xFF, places = exponent - (b >> 23 & 0xFF);
    uint32_t large = ((a & 0x7FFFFF) | 0x800000) << 3, small = ((b & 0x7FFFFF) | 0x800000) << 3;
    small = places > 26 ? 1 : small >> places | ((small & ((1u << places) - 1)) != 0);
    uint32_t sum = (a ^ b) >> 31 ? large - small : large + small;
    if (sum == 0) {
        return 0;
    }
    if (sum >> 27) {
        sum = sum >> 1 | (sum & 1);
        exponent++;
    }
    while (!(sum >> 26)) {
        sum <<= 1;
        exponent--;
    }
    uint32_t mantissa = sum >> 3;
    mantissa += (sum >> 2 & 1) & (uint32_t)((sum & 3) != 0 || mantissa & 1);
    return (a & 0x80000000u) | ((exponent << 23) + (mantissa - 0x800000));
}

/* The sum of what lies under a window, added as an order says. */
static uint32_t window_sum(const volatile uint8_t *corner, const int32_t *order, uint32_t words,
                           const uint32_t *reals) {
    uint32_t stack[SUM_DEPTH], *top = stack;
    for (const int32_t *end = order + words; order < end; order++) {
        if (*order < 0) {
            top--;
            top[-1] = float_add(top[-1], *top);
        } else {
            *top++ = reals[corner[*order]];
        }
    }
    return *stack;
}

/* Output number `index`. */
static uint8_t mean_of(const uint32_t *operands, uint32_t index) {
    const uint32_t *shape = operands + 4, *tables = shape + WINDOW_WORDS;
    uint32_t channels = shape[WINDOW_CHANNELS], row = shape[WINDOW_WIDTH] * channels;
    uint32_t words = 2 * shape[WINDOW_KERNEL_H] * shape[WINDOW_KERNEL_W] - 1;
    const int32_t *order = (const int32_t *)table(tables[2]) + index % shape[WINDOW_ORDERS] * words;
    uint32_t pixel = index / channels, line = pixel / shape[WINDOW_OUT_WIDTH];
    uint32_t image = line / shape[WINDOW_OUT_HEIGHT];
    uint32_t h = line % shape[WINDOW_OUT_HEIGHT] * shape[WINDOW_STRIDE_H] + image * shape[WINDOW_HEIGHT];
    uint32_t w = pixel % shape[WINDOW_OUT_WIDTH] * shape[WINDOW_STRIDE_W];
    const volatile uint8_t *corner = tensor_bytes(operands[0]) + h * row + w * channels + index % channels;
    return climb(table(tables[1]), ordered(window_sum(corner, order, words, table(tables[0]))));
}

void mean(const uint32_t *operands) {
    const uint32_t *shape = operands + 4;
    volatile uint32_t *low = tensor_words(operands[1]), *high = tensor_words(operands[2]);
    volatile uint32_t *y = tensor_words(operands[3]);
    uint32_t count = shape[WINDOW_IMAGES] * shape[WINDOW_OUT_HEIGHT] * shape[WINDOW_OUT_WIDTH] * shape[WINDOW_CHANNELS];
    for (uint32_t index = 0; index < count; index += 4) {
        uint32_t word = *low++, differ = word ^ *high++;
        for (uint32_t byte = 0; differ; byte++, differ >>= 8) {
            if (differ & 0xFF && index + byte < count) {
                word &= ~(0xFFu << 8 * byte);
                word |= (uint32_t)mean_of(operands, index + byte) << 8 * byte;
            }
        }
        *y++ = word;
    }
}
