/* Stands in for the custom instructions: a macro in plain integers. */
#ifndef CIMARRON_MACRO_H
#define CIMARRON_MACRO_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct host_macro {
    uint32_t facts[8];
    uint32_t cells[1024][1024]; /* by row and column */
    uint32_t width;             /* columns of a weight */
    bool is_signed;
    uint8_t vector[1024];
    int64_t results[1024];
};

extern struct host_macro host;

static inline uint32_t macro_fact(uint32_t fact) { return host.facts[fact]; }

static inline uint32_t macro_place(uint32_t row, uint32_t beat, uint32_t width, bool is_signed) {
    return row | beat << 10 | width << 16 | (uint32_t)is_signed << 20;
}

static inline void macro_weights(uint32_t bits, uint32_t place) {
    uint32_t cell_bits = host.facts[FACT_WIDTHS] & 0xFF;
    uint32_t first = (place >> 10 & 63) * (32 / cell_bits);
    for (uint32_t i = 0; i < 32 / cell_bits && first + i < host.facts[FACT_WORDS]; i++) {
        host.cells[place & 1023][first + i] = bits >> i * cell_bits & ((1u << cell_bits) - 1);
    }
    host.width = 1u << (place >> 16 & 15);
    host.is_signed = place >> 20 & 1;
}

static inline void macro_activations(uint32_t low, uint32_t high) {
    uint32_t rows = host.facts[FACT_ROWS];
    memmove(host.vector, host.vector + 8, rows - 8);
    for (uint32_t i = 0; i < 4; i++) {
        host.vector[rows - 8 + i] = (uint8_t)(low >> 8 * i);
        host.vector[rows - 4 + i] = (uint8_t)(high >> 8 * i);
    }
}

static inline int64_t host_number(uint32_t bits, uint32_t count, bool is_signed) {
    int64_t value = bits & ((1u << count) - 1);
    return is_signed && value >> (count - 1) ? value - (1 << count) : value;
}

static inline uint32_t macro_control(uint32_t bits, bool is_signed) { return bits | (uint32_t)is_signed << 4; }

static inline void macro_multiply(uint32_t control) {
    uint32_t bits = control & 15;
    bool is_signed = control >> 4 & 1;
    uint32_t cell_bits = host.facts[FACT_WIDTHS] & 0xFF, words = host.facts[FACT_WORDS];
    memset(host.results, 0, sizeof host.results);
    for (uint32_t row = 0; row < host.facts[FACT_ROWS]; row++) {
        for (uint32_t first = 0; first < words; first += host.width) {
            uint32_t weight = 0;
            for (uint32_t i = 0; i < host.width; i++) {
                weight |= host.cells[row][first + i] << i * cell_bits;
            }
            host.results[first] += host_number(host.vector[row], bits, is_signed) *
                                   host_number(weight, host.width * cell_bits, host.is_signed);
        }
    }
}

static inline int32_t macro_result(uint32_t column, bool last) {
    (void)last;
    return (int32_t)host.results[column];
}

static inline void macro_job(uint32_t event) { (void)event; }

#endif
