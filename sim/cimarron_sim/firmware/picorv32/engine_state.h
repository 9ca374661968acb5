/* What the parts of the engine in software share. */
#ifndef CIMARRON_ENGINE_STATE_H
#define CIMARRON_ENGINE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "isa.h"

/* An error ends a job: its code, 0 if there is none, and what ERROR_INFO says. */
struct fault {
    uint32_t code;
    uint32_t info;
};

#define NO_FAULT ((struct fault){ENGINE_ERROR_NONE, 0})
#define FAULT(name, information) ((struct fault){ENGINE_ERROR_##name, information})

/* The facts of the hardware, read when the engine is cleared. */
struct facts {
    uint32_t rows, words;
    uint32_t cell_bits, max_weight_bits, max_act_bits;
    uint32_t act_bytes, psum_entries, ram_bytes;
};

extern struct facts facts;

/* Bytes of the port, of a beat of a row and of an access to the buffer alike: the core's word. */
#define WORD_BYTES 4u

struct fault execute_load(const uint32_t *job);
struct fault execute_store(const uint32_t *job);
struct fault execute_mac(const uint32_t *job);
struct fault execute_vector(const uint32_t *job);

/* Whether the memory holds `bytes` from `address` on, read by whole words. */
struct fault memory_fault(uint32_t address, uint64_t bytes);

const void *memory(uint32_t address);
uint8_t *activations(uint32_t address);

/* A sum to the output's scale, with zero point and clamps of a MAC or VECTOR job; the byte's bits. */
uint32_t requantise(const uint32_t *job, int32_t acc, uint32_t multiplier, int32_t shift);

/* Bytes of an output to the activation buffer, as far as they fit. */
struct fault store(uint64_t address, uint32_t value, uint32_t bytes);

#endif
