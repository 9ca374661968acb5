/* MAC jobs: the walk over the input, tile by tile, through the macro and back. */
#include "engine_state.h"
#include "macro.h"
#include "system.h"

/* What a macro can have at most. */
#define MOST_ROWS 1024u
#define MOST_WORDS 1024u
#define RECORD_WORDS (PARAM_BYTES / 4)

/* One word tile. */
struct tile {
    uint32_t base;      /* activation address of position 0 of image row first_row */
    int32_t position;   /* of the first pixel */
    uint32_t outputs;
    const uint32_t *records;
    const uint32_t *rows;
    uint64_t target;    /* activation address of output 0 of the first pixel */
};

/* What is needed per vector and output, out of its bit fields: the core shifts slowly. */
static struct {
    uint32_t row_bytes, in_height, pixel_step, run_bytes, runs, pad_value;
    uint32_t out_width, out_height, columns, size, control;
} layer;

/* Where a pixel's walk is: kernel row, run, byte of the run. */
struct walk {
    uint32_t row, run, byte;
};

static uint32_t vector_words[MOST_ROWS / 4];
static uint32_t pixel_sums[MOST_WORDS];

static uint32_t *psums(void) { return (uint32_t *)activations(facts.act_bytes); }

static uint32_t beats_of_row(void) { return (facts.words * facts.cell_bits + 31) / 32; }

/* How often the cells' width has to be doubled to give the weights', NO_WIDTH if that is never right. */
#define NO_WIDTH ~0u

static uint32_t width_index(uint32_t bits) {
    uint32_t index = 0;
    for (uint32_t width = facts.cell_bits; width <= facts.max_weight_bits; width *= 2, index++) {
        if (width == bits) {
            return index;
        }
    }
    return NO_WIDTH;
}

static struct fault check(const uint32_t *job) {
    uint32_t act_bits = MAC_ACT_BITS(job), group = MAC_GROUP_WORDS(job);
    if (width_index(MAC_WEIGHT_BITS(job)) == NO_WIDTH || act_bits < 1 || act_bits > facts.max_act_bits ||
        MAC_OUT_FORMAT(job) > OUT_INT32) {
        return FAULT(BAD_WIDTH, job[0]);
    }
    uint32_t outputs = facts.words >> width_index(MAC_WEIGHT_BITS(job));
    const struct {
        uint32_t word;
        bool broken;
    } rules[] = {
        {2, MAC_ROW_BYTES(job) == 0},
        {3, MAC_IN_HEIGHT(job) == 0},
        {9, MAC_OUT_WIDTH(job) == 0 || MAC_OUT_HEIGHT(job) == 0},
        {10, MAC_KERNEL_H(job) == 0 || MAC_RUNS(job) == 0},
        {11, MAC_RUN_BYTES(job) == 0},
        {13, MAC_ROW_TILES(job) == 0 || MAC_LAST_ROWS(job) == 0 || MAC_LAST_ROWS(job) > facts.rows},
        {14, MAC_WORD_TILES(job) == 0 || MAC_LAST_WORDS(job) == 0 || MAC_LAST_WORDS(job) > outputs},
        {21, MAC_TILE_WORDS(job) == 0 || MAC_TILE_WORDS(job) > outputs},
        {21, group == 0 || group > facts.words},
        {23, MAC_GROUP_COLUMNS(job) == 0},
        {15, MAC_WEIGHT_ADDR(job) % WORD_BYTES != 0},
    };
    for (uint32_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (rules[i].broken) {
            return FAULT(BAD_SHAPE, rules[i].word);
        }
    }
    if (MAC_ROW_TILES(job) > 1 && MAC_PSUM_ENTRIES(job) > facts.psum_entries) {
        return FAULT(PSUM_OVERFLOW, MAC_PSUM_ENTRIES(job));
    }
    uint64_t depth = (uint64_t)(MAC_ROW_TILES(job) - 1) * facts.rows + MAC_LAST_ROWS(job);
    if (depth != (uint64_t)MAC_KERNEL_H(job) * MAC_RUNS(job) * MAC_RUN_BYTES(job)) {
        return FAULT(BAD_SHAPE, 13);
    }
    uint32_t most = MAC_WORD_TILES(job) > 1 && MAC_TILE_WORDS(job) > MAC_LAST_WORDS(job) ? MAC_TILE_WORDS(job)
                                                                                        : MAC_LAST_WORDS(job);
    uint64_t needed = (uint64_t)MAC_OUT_WIDTH(job) * MAC_OUT_HEIGHT(job) * most;
    if (MAC_ROW_TILES(job) > 1 && needed > facts.psum_entries) {
        return FAULT(PSUM_OVERFLOW, (uint32_t)needed);
    }
    return NO_FAULT;
}

/* Image row and its activation address under a kernel row of a line of pixels. */
static int32_t image_row(const uint32_t *job, uint32_t line, uint32_t row) {
    return MAC_FIRST_ROW(job) + (int32_t)(line * MAC_STRIDE_H(job)) + (int32_t)(row * MAC_DILATION_H(job));
}

static uint32_t row_address(const uint32_t *job, const struct tile *tile, uint32_t line, uint32_t row) {
    return tile->base + line * MAC_LINE_STEP(job) + row * MAC_KERNEL_STEP(job);
}

static bool is_inside(int32_t row) { return row >= 0 && row < (int32_t)layer.in_height; }

/* Every image row that the tile reads has to lie in the buffer as a whole. */
static struct fault input_fault(const uint32_t *job, const struct tile *tile) {
    for (uint32_t line = 0; line < layer.out_height; line++) {
        for (uint32_t row = 0; row < MAC_KERNEL_H(job); row++) {
            uint32_t address = row_address(job, tile, line, row);
            if (is_inside(image_row(job, line, row)) &&
                (uint64_t)address + layer.row_bytes > facts.act_bytes) {
                return FAULT(BAD_ACT_ADDRESS, address);
            }
        }
    }
    return NO_FAULT;
}

/* `count` bytes of an image row from a position on, with what lies outside of it. */
static void copy_positions(uint8_t *to, const uint8_t *row, int32_t position, uint32_t count) {
    int32_t end = (int32_t)layer.row_bytes;
    if (row && position >= 0 && position + (int32_t)count <= end) {
        const uint8_t *from = row + position;
        if (((uintptr_t)to | (uintptr_t)from | count) % 4 == 0) {
            for (uint32_t i = 0; i < count; i += 4) {
                *(uint32_t *)(to + i) = *(const uint32_t *)(from + i);
            }
            return;
        }
        for (uint32_t i = 0; i < count; i++) {
            to[i] = from[i];
        }
        return;
    }
    for (uint32_t i = 0; i < count; i++, position++) {
        to[i] = (uint8_t)(row && position >= 0 && position < end ? row[position] : layer.pad_value);
    }
}

/* The next `count` bytes of a pixel's walk, filled up with zeros to a whole vector, into the macro. */
static void send_vector(const uint32_t *job, const struct tile *tile, struct walk *walk, uint32_t line,
                        uint32_t column, uint32_t count) {
    uint8_t *to = (uint8_t *)vector_words;
    uint8_t *end = to + facts.rows;
    while (count) {
        uint32_t left = layer.run_bytes - walk->byte, now = left < count ? left : count;
        const uint8_t *row = 0;
        if (is_inside(image_row(job, line, walk->row))) {
            row = activations(row_address(job, tile, line, walk->row));
        }
        int32_t position = tile->position + (int32_t)(column * layer.pixel_step) +
                           (walk->run ? (int32_t)(walk->run * MAC_RUN_STEP(job)) : 0) + (int32_t)walk->byte;
        copy_positions(to, row, position, now);
        to += now;
        count -= now;
        walk->byte += now;
        if (walk->byte == layer.run_bytes) {
            walk->byte = 0;
            if (++walk->run == layer.runs) {
                walk->run = 0;
                walk->row++;
            }
        }
    }
    while (to < end) {
        *to++ = 0;
    }
    for (uint32_t i = 0; i < facts.rows / 4; i += 2) {
        macro_activations(vector_words[i], vector_words[i + 1]);
    }
    macro_multiply(layer.control);
}

static void send_weights(const uint32_t *job, const uint32_t *stream, uint32_t rows) {
    uint32_t beats = beats_of_row();
    uint32_t place = macro_place(0, 0, width_index(MAC_WEIGHT_BITS(job)), MAC_WEIGHT_SIGNED(job));
    for (; beats == 1 && rows; rows--, place += macro_place(1, 0, 0, false)) {
        macro_weights(*stream++, place);
    }
    for (; rows; rows--, place += macro_place(1, 0, 0, false)) {
        for (uint32_t beat = 0; beat < beats; beat++) {
            macro_weights(*stream++, place | macro_place(0, beat, 0, false));
        }
    }
}

/* The outputs of a pixel, from their sums without bias. */
static struct fault write_pixel(const uint32_t *job, const struct tile *tile, uint32_t line, uint32_t column,
                                const uint32_t *sums) {
    uint32_t size = layer.size;
    uint64_t pixel = tile->target + (uint64_t)line * MAC_OUT_LINE_STEP(job) + (uint64_t)column * MAC_OUT_PIXEL_STEP(job);
    bool edge_column = column == layer.out_width - 1, edge_line = line == layer.out_height - 1;
    uint32_t in_group = 0, group_column = 0, group_line = 0;
    for (uint32_t j = 0; j < tile->outputs; j++) {
        bool absent = (edge_column && group_column >= MAC_EDGE_COLUMNS(job)) ||
                      (edge_line && group_line >= MAC_EDGE_LINES(job));
        if (!absent) {
            const uint32_t *record = tile->records + j * RECORD_WORDS;
            uint32_t acc = sums[j] + record[0];
            uint32_t value = size == 4 ? acc : requantise(job, (int32_t)acc, record[1], (int32_t)record[2]);
            struct fault fault = store(pixel + (uint64_t)group_line * MAC_GROUP_LINE_STEP(job) +
                                           (uint64_t)group_column * MAC_GROUP_STEP(job) + (uint64_t)in_group * size,
                                       value, size);
            if (fault.code) {
                return fault;
            }
        }
        if (++in_group == MAC_GROUP_WORDS(job)) {
            in_group = 0;
            if (++group_column == MAC_GROUP_COLUMNS(job)) {
                group_column = 0;
                group_line++;
            }
        }
    }
    return NO_FAULT;
}

/* One row tile of one word tile: all pixels against the weights that are in the macro. */
static struct fault multiply(const uint32_t *job, const struct tile *tile, uint32_t row_tile, struct walk start,
                             struct walk *next) {
    bool first = row_tile == 0, last = row_tile == MAC_ROW_TILES(job) - 1;
    uint32_t count = last ? MAC_LAST_ROWS(job) : facts.rows;
    uint32_t *sums = first && last ? pixel_sums : psums();
    for (uint32_t line = 0; line < layer.out_height; line++) {
        for (uint32_t column = 0; column < layer.out_width; column++) {
            *next = start;
            send_vector(job, tile, next, line, column, count);
            for (uint32_t j = 0, at = 0; j < tile->outputs; j++, at += layer.columns) {
                uint32_t result = (uint32_t)macro_result(at, j == tile->outputs - 1);
                sums[j] = first ? result : sums[j] + result;
            }
            if (last) {
                struct fault fault = write_pixel(job, tile, line, column, sums);
                if (fault.code) {
                    return fault;
                }
            }
            sums += first && last ? 0 : tile->outputs;
        }
    }
    return NO_FAULT;
}

static void decode(const uint32_t *job) {
    layer.row_bytes = MAC_ROW_BYTES(job);
    layer.in_height = MAC_IN_HEIGHT(job);
    layer.pixel_step = MAC_PIXEL_STEP(job);
    layer.run_bytes = MAC_RUN_BYTES(job);
    layer.runs = MAC_RUNS(job);
    layer.pad_value = MAC_PAD_VALUE(job);
    layer.out_width = MAC_OUT_WIDTH(job);
    layer.out_height = MAC_OUT_HEIGHT(job);
    layer.columns = 1u << width_index(MAC_WEIGHT_BITS(job));
    layer.size = MAC_OUT_FORMAT(job) == OUT_INT32 ? 4 : 1;
    layer.control = macro_control(MAC_ACT_BITS(job), MAC_ACT_SIGNED(job));
}

struct fault execute_mac(const uint32_t *job) {
    struct fault fault = check(job);
    if (fault.code) {
        return fault;
    }
    decode(job);
    uint32_t tiles = MAC_WORD_TILES(job), row_words = beats_of_row(), shared = MAC_SHARED_WEIGHTS(job);
    uint32_t depth = (MAC_ROW_TILES(job) - 1) * facts.rows + MAC_LAST_ROWS(job);
    uint32_t loaded_rows = shared && depth > facts.rows ? facts.rows : depth;
    uint32_t address = MAC_WEIGHT_ADDR(job);
    struct tile tile = {0};
    for (uint32_t index = 0; index < tiles && !fault.code; index++) {
        tile.base = MAC_IN_BASE(job) + index * MAC_TILE_BASE_STEP(job);
        tile.position = MAC_FIRST_POSITION(job) + (int32_t)(index * MAC_TILE_POSITION_STEP(job));
        tile.outputs = index == tiles - 1 ? MAC_LAST_WORDS(job) : MAC_TILE_WORDS(job);
        tile.target = MAC_OUT_BASE(job) + (uint64_t)index * MAC_OUT_TILE_STEP(job);
        fault = input_fault(job, &tile);
        if (!fault.code && (index == 0 || !shared)) {
            uint64_t bytes = (uint64_t)tile.outputs * PARAM_BYTES + (uint64_t)loaded_rows * row_words * WORD_BYTES;
            fault = memory_fault(address, bytes);
            if (fault.code) {
                break;
            }
            tile.records = memory(address);
            tile.rows = tile.records + tile.outputs * RECORD_WORDS;
            address += (uint32_t)bytes;
        }
        struct walk start = {0, 0, 0}, next;
        for (uint32_t row_tile = 0; row_tile < MAC_ROW_TILES(job) && !fault.code; row_tile++) {
            if (!shared || (index == 0 && row_tile == 0)) {
                uint32_t left = depth - row_tile * facts.rows;
                send_weights(job, tile.rows + row_tile * facts.rows * row_words, left < facts.rows ? left : facts.rows);
            }
            fault = multiply(job, &tile, row_tile, start, &next);
            start = next;
        }
    }
    return fault;
}
