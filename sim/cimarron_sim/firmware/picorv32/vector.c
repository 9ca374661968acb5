/* VECTOR jobs: the largest byte under a window, a table or two, and a change of scale. */
#include "engine_state.h"
#include "system.h"

static struct fault check(const uint32_t *job) {
    if (VECTOR_OUT_FORMAT(job) > OUT_UINT8) {
        return FAULT(BAD_WIDTH, job[0]);
    }
    const struct {
        uint32_t word;
        bool broken;
    } rules[] = {
        {2, VECTOR_ROW_BYTES(job) == 0},
        {3, VECTOR_IN_HEIGHT(job) == 0},
        {9, VECTOR_OUT_WIDTH(job) == 0 || VECTOR_OUT_HEIGHT(job) == 0},
        {10, VECTOR_KERNEL_H(job) == 0 || VECTOR_KERNEL_W(job) == 0},
        {11, VECTOR_PIXEL_BYTES(job) == 0},
        {15, VECTOR_TABLE_ADDR(job) % WORD_BYTES != 0},
    };
    for (uint32_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (rules[i].broken) {
            return FAULT(BAD_SHAPE, rules[i].word);
        }
    }
    return memory_fault(VECTOR_TABLE_ADDR(job), 4 * TABLE_WORDS << VECTOR_BINARY(job));
}

/* Bits that make the order of bytes that of unsigned numbers. */
static uint32_t flip(const uint32_t *job) { return VECTOR_X_SIGNED(job) ? 0x80 : 0; }

/* The largest byte at `channel` under the window of a pixel. */
static uint32_t largest(const uint32_t *job, uint32_t line, uint32_t column, uint32_t channel) {
    uint32_t best = 0, bytes = VECTOR_PIXEL_BYTES(job);
    for (uint32_t row = 0; row < VECTOR_KERNEL_H(job); row++) {
        int32_t image_row = VECTOR_FIRST_ROW(job) + (int32_t)(line * VECTOR_STRIDE_H(job) + row);
        if (image_row < 0 || image_row >= (int32_t)VECTOR_IN_HEIGHT(job)) {
            continue;
        }
        const uint8_t *x =
            activations(VECTOR_IN_BASE(job) + line * VECTOR_LINE_STEP(job) + row * VECTOR_ROW_BYTES(job));
        for (uint32_t tap = 0; tap < VECTOR_KERNEL_W(job); tap++) {
            int64_t at = VECTOR_FIRST_POSITION(job) + (int64_t)column * VECTOR_PIXEL_STEP(job) +
                         (int64_t)tap * VECTOR_COLUMN_STEP(job);
            if (at >= 0 && at + bytes <= VECTOR_ROW_BYTES(job)) {
                uint32_t value = x[(uint32_t)at + channel] ^ flip(job);
                best = value > best ? value : best;
            }
        }
    }
    return best ^ flip(job);
}

/* Image rows under the windows of a line, and the pixel of the second operand, have to lie in the buffer. */
static struct fault input_fault(const uint32_t *job, uint32_t line, uint64_t second) {
    for (uint32_t row = 0; row < VECTOR_KERNEL_H(job); row++) {
        int32_t image_row = VECTOR_FIRST_ROW(job) + (int32_t)(line * VECTOR_STRIDE_H(job) + row);
        uint32_t address = VECTOR_IN_BASE(job) + line * VECTOR_LINE_STEP(job) + row * VECTOR_ROW_BYTES(job);
        if (image_row >= 0 && image_row < (int32_t)VECTOR_IN_HEIGHT(job) &&
            (uint64_t)address + VECTOR_ROW_BYTES(job) > facts.act_bytes) {
            return FAULT(BAD_ACT_ADDRESS, address);
        }
    }
    if (VECTOR_BINARY(job) && second + VECTOR_PIXEL_BYTES(job) > facts.act_bytes) {
        return FAULT(BAD_ACT_ADDRESS, (uint32_t)second);
    }
    return NO_FAULT;
}

struct fault execute_vector(const uint32_t *job) {
    struct fault fault = check(job);
    if (fault.code) {
        return fault;
    }
    const uint32_t *table = memory(VECTOR_TABLE_ADDR(job));
    uint64_t second = VECTOR_SECOND_BASE(job), target = VECTOR_OUT_BASE(job);
    for (uint32_t line = 0; line < VECTOR_OUT_HEIGHT(job) && !fault.code; line++) {
        for (uint32_t column = 0; column < VECTOR_OUT_WIDTH(job) && !fault.code; column++) {
            fault = input_fault(job, line, second);
            for (uint32_t i = 0; i < VECTOR_PIXEL_BYTES(job) && !fault.code; i++) {
                uint32_t sum = table[largest(job, line, column, i)];
                if (VECTOR_BINARY(job)) {
                    sum += table[TABLE_WORDS + activations((uint32_t)second)[i]];
                }
                fault = store(target + i, requantise(job, (int32_t)sum, VECTOR_MULTIPLIER(job), VECTOR_SHIFT(job)), 1);
            }
            second += VECTOR_SECOND_PIXEL_STEP(job);
            target += VECTOR_OUT_PIXEL_STEP(job);
        }
    }
    return fault;
}
