/* Main memory as the engine sees it, and the activation buffer. */
#include "engine_state.h"
#include "system.h"

/* The first word outside is the one that the memory refuses. */
struct fault memory_fault(uint32_t address, uint64_t bytes) {
    uint32_t offset = (address & ~UNCACHED) - RAM_BASE;
    if (offset >= facts.ram_bytes) {
        return FAULT(BAD_MEMORY_ADDRESS, address);
    }
    if (bytes > facts.ram_bytes - offset) {
        return FAULT(BAD_MEMORY_ADDRESS, address + (facts.ram_bytes - offset));
    }
    return NO_FAULT;
}

const void *memory(uint32_t address) { return (const void *)device(address); }

uint8_t *activations(uint32_t address) { return (uint8_t *)device(ENGINE_BASE + ACT_WINDOW + address); }

struct fault store(uint64_t address, uint32_t value, uint32_t bytes) {
    if (address + bytes > facts.act_bytes) {
        return FAULT(BAD_ACT_ADDRESS, (uint32_t)address);
    }
    for (uint32_t i = 0; i < bytes; i++) {
        activations((uint32_t)address)[i] = (uint8_t)(value >> 8 * i);
    }
    return NO_FAULT;
}

struct fault execute_load(const uint32_t *job) {
    uint32_t source = LOAD_SOURCE(job), destination = LOAD_DESTINATION(job), length = LOAD_LENGTH(job);
    uint64_t end = (uint64_t)destination + length;
    if (source % WORD_BYTES) {
        return FAULT(BAD_SHAPE, 1);
    }
    if (destination % WORD_BYTES) {
        return FAULT(BAD_SHAPE, 2);
    }
    if (length == 0) {
        return FAULT(BAD_SHAPE, 3);
    }
    if (end > facts.act_bytes) {
        return FAULT(BAD_ACT_ADDRESS, end >> 32 ? ~0u : (uint32_t)end);
    }
    struct fault fault = memory_fault(source, ((uint64_t)length + WORD_BYTES - 1) & ~(uint64_t)(WORD_BYTES - 1));
    if (fault.code) {
        return fault;
    }
    const uint32_t *from = memory(source);
    uint32_t *to = (uint32_t *)activations(destination);
    for (; length >= WORD_BYTES; length -= WORD_BYTES) {
        *to++ = *from++;
    }
    for (uint32_t i = 0; i < length; i++) {
        ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    }
    return NO_FAULT;
}

struct fault execute_store(const uint32_t *job) {
    uint32_t source = STORE_SOURCE(job), destination = STORE_DESTINATION(job), length = STORE_LENGTH(job);
    uint64_t end = (uint64_t)source + length;
    if (length == 0) {
        return FAULT(BAD_SHAPE, 3);
    }
    if (end > facts.act_bytes) {
        return FAULT(BAD_ACT_ADDRESS, end >> 32 ? ~0u : (uint32_t)end);
    }
    const uint8_t *from = activations(source);
    for (uint32_t i = 0; i < length; i++, destination++) {
        struct fault fault = memory_fault(destination, 1);
        if (fault.code) {
            return FAULT(BAD_MEMORY_ADDRESS, destination & ~(WORD_BYTES - 1));
        }
        *(uint8_t *)memory(destination) = from[i];
    }
    return NO_FAULT;
}
