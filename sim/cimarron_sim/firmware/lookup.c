/* y = table[x], four bytes at a time. */
#include "steps.h"
#include "tensor.h"

void lookup(const uint32_t *operands) {
    const volatile uint32_t *x = tensor_words(operands[0]);
    volatile uint32_t *y = tensor_words(operands[1]);
    const uint8_t *t = table(operands[3]);
    for (uint32_t i = 0; i < (operands[2] + 3) / 4; i++) {
        uint32_t v = x[i];
        y[i] = t[v & 0xFF] | t[v >> 8 & 0xFF] << 8 | t[v >> 16 & 0xFF] << 16 | (uint32_t)t[v >> 24] << 24;
    }
}
