/* The engine: its custom instructions, or, where it is software, the functions that stand for them. */
#ifndef CIMARRON_ENGINE_H
#define CIMARRON_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "isa.h"

/* Bits of REG_STATUS. */
#define ENGINE_BUSY 1u
#define ENGINE_FAILED 2u
#define ENGINE_FETCHING 4u

#ifdef ENGINE_IN_SOFTWARE

/* STATUS, ERROR, ERROR_INFO, CONFIG_HASH; everything else reads as 0. */
uint32_t engine_read(uint32_t reg);

/* CONTROL; everything else is ignored. */
void engine_write(uint32_t reg, uint32_t value);

/* Executes the jobs at once. False after an error, and nothing was done. */
bool engine_fetch(uint32_t address, uint32_t jobs);

#else

/* No memory clobber: loads of words to come may move ahead of an instruction, which hides their latency. What the engine
 * is to read from memory has to be written through volatile pointers. */
#define ENGINE_INSTRUCTION(function, a, b)                                       \
    ({                                                                           \
        uint32_t result_;                                                        \
        __asm__ volatile(".insn r CUSTOM_0, %1, 0, %0, %2, %3"                   \
                         : "=r"(result_)                                         \
                         : "i"(function), "r"((uint32_t)(a)), "r"((uint32_t)(b)));\
        result_;                                                                 \
    })

static inline uint32_t engine_read(uint32_t reg) { return ENGINE_INSTRUCTION(CFU_READ, reg, 0); }

static inline void engine_write(uint32_t reg, uint32_t value) { (void)ENGINE_INSTRUCTION(CFU_WRITE, reg, value); }

/* False while other descriptors are fetched, and nothing was taken. */
static inline bool engine_fetch(uint32_t address, uint32_t jobs) {
    return ENGINE_INSTRUCTION(CFU_FETCH, address, jobs) != 0;
}

/* False when the queue has no room and nothing was taken. */
static inline bool engine_push(uint32_t a, uint32_t b) { return ENGINE_INSTRUCTION(CFU_PUSH, a, b) != 0; }

#endif
#endif
