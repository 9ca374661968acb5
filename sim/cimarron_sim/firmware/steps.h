/* Steps that the CPU computes. Each takes the words behind a step's first; all operands were checked before. */
#ifndef CIMARRON_STEPS_H
#define CIMARRON_STEPS_H

#include <stdint.h>

void lookup(const uint32_t *operands);
void combine(const uint32_t *operands);
void narrow(const uint32_t *operands);
void softmax(const uint32_t *operands);
void share(const uint32_t *operands);
void mean(const uint32_t *operands);
void largest(const uint32_t *operands);
void fill(const uint32_t *operands);
void copy(const uint32_t *operands);

#endif
