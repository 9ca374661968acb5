#include "run.h"

#include "engine.h"
#include "program.h"
#include "system.h"

/* The longest an engine that works may go without completing a macro operation or a job: filling the activation
 * buffer or a weight set takes less than a tenth of this. */
#define PATIENCE_CYCLES (1u << 20)

struct watch {
    uint32_t start;
    uint32_t progress;
};

static uint32_t progress(void) { return engine_read(REG_OPERATIONS) + engine_read(REG_RETIRED); }

static struct watch watch_start(void) { return (struct watch){cycles(), progress()}; }

/* STATUS_OK as long as the engine has not failed and moves on. */
static uint32_t watch_check(struct watch *watch, uint32_t status) {
    if (status & ENGINE_FAILED) {
        return STATUS_ENGINE_ERROR;
    }
    if (cycles() - watch->start > PATIENCE_CYCLES) {
        if (progress() == watch->progress) {
            return STATUS_TIMEOUT;
        }
        *watch = watch_start();
    }
    return STATUS_OK;
}

static uint32_t wait_until_idle(void) {
    uint32_t status = engine_read(REG_STATUS);
    if ((status & (ENGINE_BUSY | ENGINE_FAILED)) == 0) {
        return STATUS_OK;
    }
    struct watch watch = watch_start();
    for (;;) {
        uint32_t problem = watch_check(&watch, status);
        if (problem != STATUS_OK || !(status & ENGINE_BUSY)) {
            return problem;
        }
        status = engine_read(REG_STATUS);
    }
}

static uint32_t __attribute__((noinline)) push_when_there_is_room(uint32_t a, uint32_t b) {
    struct watch watch = watch_start();
    while (!engine_push(a, b)) {
        uint32_t problem = watch_check(&watch, engine_read(REG_STATUS));
        if (problem != STATUS_OK) {
            return problem;
        }
    }
    return STATUS_OK;
}

static uint32_t push_job(const uint32_t *words) {
#pragma clang loop unroll(full)
    for (uint32_t i = 0; i < JOB_WORDS; i += 2) {
        if (!engine_push(words[i], words[i + 1])) {
            uint32_t problem = push_when_there_is_room(words[i], words[i + 1]);
            if (problem != STATUS_OK) {
                return problem;
            }
        }
    }
    return STATUS_OK;
}

static void fetch(uint32_t activation, uint32_t offset, uint32_t bytes) {
    const volatile uint32_t *source = device(ENGINE_BASE + ACT_WINDOW + activation);
    volatile uint32_t *target = device((RAM_BASE | UNCACHED) + PROGRAM_OFFSET + offset);
    for (uint32_t i = 0; i < (bytes + 3) / 4; i++) {
        target[i] = source[i];
    }
}

struct outcome program_run(void) {
    const uint32_t *step = PROGRAM + PROGRAM[HEADER_STEPS_OFFSET] / 4;
    engine_write(REG_CONTROL, 1);
    for (uint32_t index = 0;; index++) {
        uint32_t first = step[0];
        uint32_t problem = STATUS_OK;
        *mailbox(MAILBOX_STEP) = index;
        switch (STEP_KIND(first)) {
        case STEP_JOB:
            problem = push_job(step + 1);
            break;
        case STEP_WAIT:
            problem = wait_until_idle();
            break;
        case STEP_FETCH:
            fetch(step[1], step[2], step[3]);
            break;
        case STEP_END:
            problem = wait_until_idle();
            if (problem == STATUS_OK) {
                return SUCCESS;
            }
            break;
        default:
            return outcome(STATUS_BAD_STEP, (uint32_t)(step - PROGRAM) * 4, 0);
        }
        if (problem != STATUS_OK) {
            return outcome(problem, engine_read(REG_ERROR), engine_read(REG_ERROR_INFO));
        }
        step += STEP_LENGTH(first);
    }
}
