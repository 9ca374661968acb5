/* The engine in software: executes the descriptors that elsewhere gates execute, with the same results and errors. */
#include "engine.h"

#include "engine_state.h"
#include "macro.h"
#include "system.h"

struct facts facts;

static struct fault failure;

static void learn_facts(void) {
    uint32_t widths = macro_fact(FACT_WIDTHS);
    facts = (struct facts){
        .rows = macro_fact(FACT_ROWS),
        .words = macro_fact(FACT_WORDS),
        .cell_bits = widths & 0xFF,
        .max_weight_bits = widths >> 8 & 0xFF,
        .max_act_bits = widths >> 16 & 0xFF,
        .act_bytes = macro_fact(FACT_ACT_BUFFER_BYTES),
        .psum_entries = macro_fact(FACT_PSUM_ENTRIES),
        .ram_bytes = *device(SYSTEM_BASE + SYSTEM_RAM_BYTES),
    };
}

uint32_t engine_read(uint32_t reg) {
    switch (reg) {
    case REG_CONFIG_HASH:
        return macro_fact(FACT_CONFIG_HASH);
    case REG_STATUS:
        return failure.code ? ENGINE_FAILED : 0;
    case REG_ERROR:
        return failure.code;
    case REG_ERROR_INFO:
        return failure.info;
    default:
        return 0;
    }
}

void engine_write(uint32_t reg, uint32_t value) {
    if (reg == REG_CONTROL && value & 1) {
        failure = NO_FAULT;
        learn_facts();
        macro_job(JOB_EVENT_CLEARED);
    }
}

static struct fault execute(const uint32_t *job) {
    switch (MAC_OPCODE(job)) {
    case OP_LOAD:
        return execute_load(job);
    case OP_STORE:
        return execute_store(job);
    case OP_MAC:
        return execute_mac(job);
    case OP_VECTOR:
        return execute_vector(job);
    default:
        return FAULT(BAD_OPCODE, MAC_OPCODE(job));
    }
}

bool engine_fetch(uint32_t address, uint32_t jobs) {
    if (failure.code) {
        return false;
    }
    if (address % WORD_BYTES || jobs == 0) {
        failure = FAULT(BAD_FETCH, address);
        return true;
    }
    for (; jobs && !failure.code; jobs--, address += JOB_BYTES) {
        failure = memory_fault(address, JOB_BYTES);
        if (!failure.code) {
            macro_job(JOB_EVENT_BEGUN);
            failure = execute(memory(address));
        }
        macro_job(failure.code ? JOB_EVENT_FAILED : JOB_EVENT_RETIRED);
    }
    return true;
}
