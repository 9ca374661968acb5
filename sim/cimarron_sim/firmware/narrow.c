/* Integers of 32 bits to bytes. */
#include "steps.h"
#include "tensor.h"

void narrow(const uint32_t *operands) {
    const volatile uint32_t *x = tensor_words(operands[0]);
    volatile uint8_t *y = tensor_bytes(operands[1]);
    const int32_t *ladder = table(operands[3]);
    for (uint32_t i = 0; i < operands[2]; i++) {
        y[i] = climb(ladder, (int32_t)x[i]);
    }
}
