/* y = table[a, b], four bytes at a time. */
#include "steps.h"
#include "tensor.h"

void combine(const uint32_t *operands) {
    const volatile uint32_t *a = tensor_words(operands[0]);
    const volatile uint32_t *b = tensor_words(operands[1]);
    volatile uint32_t *y = tensor_words(operands[2]);
    const uint8_t *t = table(operands[4]);
    for (uint32_t i = 0; i < (operands[3] + 3) / 4; i++) {
        uint32_t u = a[i], v = b[i];
        uint32_t b0 = t[(u << 8 & 0xFF00) | (v & 0xFF)];
        uint32_t b1 = t[(u & 0xFF00) | (v >> 8 & 0xFF)];
        uint32_t b2 = t[(u >> 8 & 0xFF00) | (v >> 16 & 0xFF)];
        uint32_t b3 = t[(u >> 16 & 0xFF00) | v >> 24];
        y[i] = b0 | b1 << 8 | b2 << 16 | b3 << 24;
    }
}
