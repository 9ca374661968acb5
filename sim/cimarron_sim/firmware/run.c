#include "run.h"

#include <stdbool.h>

#include "engine.h"
#include "program.h"
#include "steps.h"
#include "system.h"

/* How often to look at an engine that completes neither operations nor jobs before giving up. A look takes five cycles
 * at least; filling the activation buffer or a weight set takes less than a tenth of their product. */
#ifndef PATIENCE
#define PATIENCE (1u << 18)
#endif

static bool is_idle(uint32_t status) { return !(status & ENGINE_BUSY); }

static bool has_fetched(uint32_t status) { return !(status & ENGINE_FETCHING); }

/* STATUS_OK once `done` holds; something else if the engine fails or stops moving. */
static inline uint32_t wait_until(bool (*done)(uint32_t status)) {
    uint32_t before = ~0u;
    for (uint32_t looks = 1;; looks++) {
        uint32_t status = engine_read(REG_STATUS);
        if (status & ENGINE_FAILED) {
            return STATUS_ENGINE_ERROR;
        }
        if (done(status)) {
            return STATUS_OK;
        }
        if (looks % PATIENCE == 0) {
            uint32_t progress = engine_read(REG_OPERATIONS) + engine_read(REG_RETIRED);
            if (progress == before) {
                return STATUS_TIMEOUT;
            }
            before = progress;
        }
    }
}

/* The engine reads the descriptors itself. An error empties the fetcher: then the wait ends with it. */
static uint32_t start_jobs(uint32_t offset, uint32_t jobs) {
    uint32_t problem = STATUS_OK;
    while (problem == STATUS_OK && !engine_fetch((uint32_t)PROGRAM + offset, jobs)) {
        problem = wait_until(has_fetched);
    }
    return problem;
}

/* What the CPU computes, by kind of step. */
static void (*const operations[])(const uint32_t *operands) = {
    [STEP_COMBINE] = combine, [STEP_NARROW] = narrow, [STEP_SOFTMAX] = softmax, [STEP_SHARE] = share,
    [STEP_MEAN] = mean,
};
#define KINDS (sizeof operations / sizeof *operations)

/* A step of the CPU, whose operands the engine may still be writing. */
NEAR static uint32_t compute(uint32_t kind, const uint32_t *operands, uint32_t index) {
    uint32_t problem = wait_until(is_idle);
    if (problem == STATUS_OK) {
        operations[kind](operands);
        announce(EVENT_STEP, index);
    }
    return problem;
}

struct outcome program_run(void) {
    const uint32_t *step = PROGRAM + PROGRAM[HEADER_STEPS_OFFSET] / 4;
    engine_write(REG_CONTROL, 1);
    for (uint32_t index = 0;; index++) {
        uint32_t first = step[0], kind = STEP_KIND(first);
        uint32_t problem;
        *mailbox(MAILBOX_STEP) = index;
        switch (kind) {
        case STEP_JOBS:
            problem = start_jobs(step[1], step[2]);
            break;
        case STEP_END:
            problem = wait_until(is_idle);
            if (problem == STATUS_OK) {
                return SUCCESS;
            }
            break;
        default:
            if (kind >= KINDS || !operations[kind]) {
                return outcome(STATUS_BAD_STEP, (uint32_t)(step - PROGRAM) * 4, 0);
            }
            problem = compute(kind, step + 1, index);
        }
        if (problem != STATUS_OK) {
            return outcome(problem, engine_read(REG_ERROR), engine_read(REG_ERROR_INFO));
        }
        step += STEP_LENGTH(first);
    }
}
