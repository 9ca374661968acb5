/* What a command ended with, as the mailbox tells it. */
#ifndef CIMARRON_OUTCOME_H
#define CIMARRON_OUTCOME_H

#include <stdint.h>

#include "isa.h"

struct outcome {
    uint32_t status;
    uint32_t info;
    uint32_t address;
};

static inline struct outcome outcome(uint32_t status, uint32_t info, uint32_t address) {
    return (struct outcome){status, info, address};
}

#define SUCCESS outcome(STATUS_OK, 0, 0)

#endif
