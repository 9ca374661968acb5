/* The custom instructions that drive the macro. */
#ifndef CIMARRON_MACRO_H
#define CIMARRON_MACRO_H

#include <stdbool.h>
#include <stdint.h>

#include "isa.h"

#define MACRO_INSTRUCTION(function, a, b)                                        \
    ({                                                                           \
        uint32_t result_;                                                        \
        __asm__ volatile(".insn r CUSTOM_0, %1, 0, %0, %2, %3"                   \
                         : "=r"(result_)                                         \
                         : "i"(function), "r"((uint32_t)(a)), "r"((uint32_t)(b)));\
        result_;                                                                 \
    })

static inline uint32_t macro_fact(uint32_t fact) { return MACRO_INSTRUCTION(MACRO_DESCRIBE, fact, 0); }

/* Everything but the bits of one beat of a row: its place and the format of the set, which is 0. */
static inline uint32_t macro_place(uint32_t row, uint32_t beat, uint32_t width, bool is_signed) {
    return row | beat << 10 | width << 16 | (uint32_t)is_signed << 20;
}

static inline void macro_weights(uint32_t bits, uint32_t place) { (void)MACRO_INSTRUCTION(MACRO_WEIGHTS, bits, place); }

static inline void macro_activations(uint32_t low, uint32_t high) {
    (void)MACRO_INSTRUCTION(MACRO_ACTIVATIONS, low, high);
}

/* Format of the activations; the set is 0. */
static inline uint32_t macro_control(uint32_t bits, bool is_signed) { return bits | (uint32_t)is_signed << 4; }

static inline void macro_multiply(uint32_t control) { (void)MACRO_INSTRUCTION(MACRO_MULTIPLY, control, 0); }

static inline int32_t macro_result(uint32_t column, bool last) {
    return (int32_t)MACRO_INSTRUCTION(MACRO_RESULT, column, last);
}

static inline void macro_job(uint32_t event) { (void)MACRO_INSTRUCTION(MACRO_JOB, event, 0); }

#endif
