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

/* Whole words of the activation buffer's window. */
static bool is_tensor(uint32_t address, uint32_t bytes) {
    return address % 4 == 0 && bytes <= ACT_WINDOW && inside(address, (bytes + 3) & ~3u, ACT_WINDOW);
}

static bool is_table(uint32_t offset, uint32_t bytes, const uint32_t *header) {
    return offset % 4 == 0 && inside(offset, bytes, header[HEADER_IMAGE_BYTES]);
}

static bool is_ladder(uint32_t offset, const uint32_t *header) {
    return is_table(offset, 8, header) && header[offset / 4] <= 255 &&
           is_table(offset, 8 + 4 * header[offset / 4], header);
}

/* Bytes of rows of a softmax, more than any tensor has if there are none or too many values. */
static uint32_t rows_bytes(uint32_t values, uint32_t rows) {
    bool sound = values >= 1 && values <= SOFTMAX_VALUES && rows <= ACT_WINDOW;
    return sound ? (uint32_t)((uint64_t)values * rows > ACT_WINDOW ? ~0u : values * rows) : ~0u;
}

/* Bytes of images, likewise. */
static uint32_t image_bytes(uint32_t images, uint32_t height, uint32_t width, uint32_t channels) {
    uint64_t bytes = 1;
    const uint32_t sizes[] = {images, height, width, channels};
    for (uint32_t i = 0; i < 4; i++) {
        if (sizes[i] == 0 || sizes[i] > ACT_WINDOW || (bytes *= sizes[i]) > ACT_WINDOW) {
            return ~0u;
        }
    }
    return (uint32_t)bytes;
}

/* Whether windows of `kernel` values, `stride` apart, lie inside `size`; `windows` is at least 1. */
static bool fits(uint32_t windows, uint32_t stride, uint32_t kernel, uint32_t size) {
    return kernel <= size && (uint64_t)(windows - 1) * stride <= size - kernel;
}

static bool are_images(const uint32_t *operands) {
    const uint32_t *w = operands + 4;
    uint32_t x = image_bytes(w[WINDOW_IMAGES], w[WINDOW_HEIGHT], w[WINDOW_WIDTH], w[WINDOW_CHANNELS]);
    uint32_t y = image_bytes(w[WINDOW_IMAGES], w[WINDOW_OUT_HEIGHT], w[WINDOW_OUT_WIDTH], w[WINDOW_CHANNELS]);
    return is_tensor(operands[0], x) && is_tensor(operands[1], y) && is_tensor(operands[2], y) &&
           is_tensor(operands[3], y);
}

/* Whether orders add values of a window, each leaving one sum, and never more on the stack than it holds. */
LOADING static bool are_orders(uint32_t offset, const uint32_t *w, const uint32_t *header) {
    uint64_t words = 2 * (uint64_t)w[WINDOW_KERNEL_H] * w[WINDOW_KERNEL_W] - 1;
    uint32_t most = header[HEADER_IMAGE_BYTES] / 4;
    if (w[WINDOW_ORDERS] == 0 || words > most || w[WINDOW_ORDERS] > most / words ||
        !is_table(offset, 4 * (uint32_t)words * w[WINDOW_ORDERS], header)) {
        return false;
    }
    const int32_t *order = (const int32_t *)(header + offset / 4);
    uint32_t row = w[WINDOW_WIDTH] * w[WINDOW_CHANNELS];
    int32_t last = (int32_t)((w[WINDOW_KERNEL_H] - 1) * row + (w[WINDOW_KERNEL_W] - 1) * w[WINDOW_CHANNELS]);
    for (uint32_t i = 0; i < w[WINDOW_ORDERS]; i++) {
        uint32_t depth = 0;
        for (uint32_t j = 0; j < words; j++, order++) {
            if (*order > last || *order < -1 || (*order < 0 ? depth < 2 : depth == SUM_DEPTH)) {
                return false;
            }
            depth += *order < 0 ? -1u : 1;
        }
        if (depth != 1) {
            return false;
        }
    }
    return true;
}

LOADING static bool mean_is_sound(const uint32_t *operands) {
    const uint32_t *w = operands + 4;
    return are_images(operands) && w[WINDOW_KERNEL_H] && w[WINDOW_KERNEL_W] &&
           fits(w[WINDOW_OUT_HEIGHT], w[WINDOW_STRIDE_H], w[WINDOW_KERNEL_H], w[WINDOW_HEIGHT]) &&
           fits(w[WINDOW_OUT_WIDTH], w[WINDOW_STRIDE_W], w[WINDOW_KERNEL_W], w[WINDOW_WIDTH]);
}

static bool step_is_sound(const uint32_t *step, const uint32_t *header) {
    switch (STEP_KIND(step[0])) {
    case STEP_JOBS:
        return STEP_LENGTH(step[0]) == JOBS_LENGTH && step[2] <= header[HEADER_IMAGE_BYTES] / JOB_BYTES &&
               is_table(step[1], JOB_BYTES * step[2], header);
    case STEP_COMBINE:
        return STEP_LENGTH(step[0]) == 6 && is_tensor(step[1], step[4]) && is_tensor(step[2], step[4]) &&
               is_tensor(step[3], step[4]) && is_table(step[5], 1u << 16, header);
    case STEP_NARROW:
        return STEP_LENGTH(step[0]) == 5 && step[3] <= ACT_WINDOW && is_tensor(step[1], 4 * step[3]) &&
               is_tensor(step[2], step[3]) && is_ladder(step[4], header);
    case STEP_SOFTMAX:
        return STEP_LENGTH(step[0]) == 8 && is_tensor(step[1], rows_bytes(step[3], step[4])) &&
               is_tensor(step[2], rows_bytes(step[3], step[4])) && step[5] <= 255 && step[6] <= 255 &&
               is_table(step[7], 4 * 256, header);
    case STEP_SHARE:
        return STEP_LENGTH(step[0]) == 9 && is_tensor(step[1], rows_bytes(step[3], step[4])) &&
               is_tensor(step[2], rows_bytes(step[3], step[4])) && step[5] <= 255 &&
               is_table(step[6], 8 * 256, header) && is_table(step[7], 4 * 256, header) && is_ladder(step[8], header);
    case STEP_MEAN:
        return STEP_LENGTH(step[0]) == 8 + WINDOW_WORDS && mean_is_sound(step + 1) &&
               is_table(step[5 + WINDOW_WORDS], 4 * 256, header) && is_ladder(step[6 + WINDOW_WORDS], header) &&
               are_orders(step[7 + WINDOW_WORDS], step + 5, header);
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
