#include "program.h"

#include <stdbool.h>

#include "crc32.h"
#include "engine.h"
#include "system.h"

/* The CRC covers what follows the word that holds it. */
#define CRC_START (HEADER_CRC32 + 1u)

static bool inside(uint32_t offset, uint32_t bytes, uint32_t limit) {
    return offset <= limit && bytes <= limit - offset;
}

/* Index of the first header word that cannot be true, HEADER_WORDS if there is none. */
static uint32_t bad_size(const uint32_t *header) {
    uint32_t memory = *device(SYSTEM_BASE + SYSTEM_RAM_BYTES) - PROGRAM_OFFSET;
    uint32_t image = header[HEADER_IMAGE_BYTES];
    uint32_t used = header[HEADER_MEMORY_BYTES];
    if (image % 4 || image < 4 * HEADER_WORDS || image > memory) {
        return HEADER_IMAGE_BYTES;
    }
    if (used % 4 || used < image || used > memory) {
        return HEADER_MEMORY_BYTES;
    }
    uint32_t steps = header[HEADER_STEPS_OFFSET];
    if (steps % 4 || steps < 4 * HEADER_WORDS || !inside(steps, header[HEADER_STEPS_BYTES], image)) {
        return HEADER_STEPS_OFFSET;
    }
    if (header[HEADER_INPUT_OFFSET] < image || !inside(header[HEADER_INPUT_OFFSET], header[HEADER_INPUT_BYTES], used)) {
        return HEADER_INPUT_OFFSET;
    }
    if (header[HEADER_OUTPUT_OFFSET] < image ||
        !inside(header[HEADER_OUTPUT_OFFSET], header[HEADER_OUTPUT_BYTES], used)) {
        return HEADER_OUTPUT_OFFSET;
    }
    return HEADER_WORDS;
}

static bool step_is_sound(const uint32_t *step, const uint32_t *header) {
    switch (STEP_KIND(step[0])) {
    case STEP_JOB:
        return STEP_LENGTH(step[0]) == JOB_LENGTH;
    case STEP_FETCH:
        /* Whole words are copied, and never over the image. */
        return STEP_LENGTH(step[0]) == FETCH_LENGTH && step[1] % 4 == 0 && step[1] < ACT_WINDOW && step[2] % 4 == 0 &&
               step[2] >= header[HEADER_IMAGE_BYTES] && step[3] <= ACT_WINDOW - step[1] &&
               inside(step[2], (step[3] + 3) & ~3u, header[HEADER_MEMORY_BYTES]);
    case STEP_WAIT:
    case STEP_END:
        return STEP_LENGTH(step[0]) == 1;
    default:
        return false;
    }
}

/* Byte offset of the first step that cannot run, 0 if all can and the last one is END. */
static uint32_t bad_step(const uint32_t *header) {
    uint32_t offset = header[HEADER_STEPS_OFFSET];
    uint32_t end = offset + (header[HEADER_STEPS_BYTES] & ~3u);
    while (offset < end) {
        const uint32_t *step = header + offset / 4;
        uint32_t length = STEP_LENGTH(step[0]);
        if (length > (end - offset) / 4 || !step_is_sound(step, header)) {
            return offset;
        }
        if (STEP_KIND(step[0]) == STEP_END) {
            return 0;
        }
        offset += 4 * length;
    }
    return offset;
}

struct outcome program_check(void) {
    const uint32_t *header = PROGRAM;
    data_cache_invalidate();
    if (header[HEADER_MAGIC] != PROGRAM_MAGIC) {
        return outcome(STATUS_BAD_MAGIC, header[HEADER_MAGIC], 0);
    }
    if (header[HEADER_VERSION] != PROGRAM_VERSION) {
        return outcome(STATUS_BAD_VERSION, header[HEADER_VERSION], 0);
    }
    uint32_t hash = engine_read(REG_CONFIG_HASH);
    if (header[HEADER_CONFIG_HASH] != hash) {
        return outcome(STATUS_BAD_CONFIG, hash, 0);
    }
    uint32_t word = bad_size(header);
    if (word != HEADER_WORDS) {
        return outcome(STATUS_BAD_SIZE, word, 0);
    }
    uint32_t crc = crc32(header + CRC_START, header[HEADER_IMAGE_BYTES] / 4 - CRC_START);
    if (crc != header[HEADER_CRC32]) {
        return outcome(STATUS_BAD_CRC, crc, 0);
    }
    uint32_t offset = bad_step(header);
    if (offset) {
        return outcome(STATUS_BAD_STEP, offset, 0);
    }
    return SUCCESS;
}
