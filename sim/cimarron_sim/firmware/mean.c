/* Means of real numbers: float32 sums, one value after the other, and a ladder that divides. */
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

static uint32_t window_sum(const volatile uint8_t *x, const uint32_t *shape, const uint32_t *reals) {
    uint32_t channels = shape[WINDOW_CHANNELS], row = shape[WINDOW_WIDTH] * channels, sum = 0;
    for (uint32_t h = 0; h < shape[WINDOW_KERNEL_H]; h++) {
        for (uint32_t w = 0; w < shape[WINDOW_KERNEL_W]; w++) {
            sum = float_add(sum, reals[x[h * row + w * channels]]);
        }
    }
    return sum;
}

void mean(const uint32_t *operands) {
    const uint32_t *shape = operands + 2, *tables = shape + WINDOW_WORDS;
    const volatile uint8_t *image = tensor_bytes(operands[0]);
    volatile uint8_t *y = tensor_bytes(operands[1]);
    uint32_t channels = shape[WINDOW_CHANNELS], row = shape[WINDOW_WIDTH] * channels;
    for (uint32_t i = 0; i < shape[WINDOW_IMAGES]; i++) {
        for (uint32_t h = 0; h < shape[WINDOW_OUT_HEIGHT]; h++) {
            for (uint32_t w = 0; w < shape[WINDOW_OUT_WIDTH]; w++) {
                uint32_t corner = h * shape[WINDOW_STRIDE_H] * row + w * shape[WINDOW_STRIDE_W] * channels;
                for (uint32_t c = 0; c < channels; c++) {
                    *y++ = climb(table(tables[1]), ordered(window_sum(image + corner + c, shape, table(tables[0]))));
                }
            }
        }
        image += shape[WINDOW_HEIGHT] * row;
    }
}
