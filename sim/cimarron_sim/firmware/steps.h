/* Steps that the CPU computes. Each takes the words behind a step's first; all operands were checked before. */
#ifndef CIMARRON_STEPS_H
#define CIMARRON_STEPS_H

#include "section.h"

APART void combine(const uint32_t *operands);
APART void narrow(const uint32_t *operands);
NEAR void softmax(const uint32_t *operands);
BESIDE void share(const uint32_t *operands);
APART void mean(const uint32_t *operands);

#endif
