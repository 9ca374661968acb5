/* Runs of bytes from one place to another. */
#include "steps.h"
#include "tensor.h"

void copy(const uint32_t *operands) {
    const volatile uint8_t *x = tensor_bytes(operands[0]) + operands[2];
    volatile uint8_t *y = tensor_bytes(operands[1]) + operands[3];
    for (uint32_t run = 0; run < operands[5]; run++) {
        for (uint32_t i = 0; i < operands[4]; i++) {
            y[i] = x[i];
        }
        x += operands[6];
        y += operands[7];
    }
}
