/* Rows of bytes in the activation buffer, read by the word where they begin with one. */
#ifndef CIMARRON_ROW_H
#define CIMARRON_ROW_H

#include <stdint.h>

/* Bytes of a word. */
#define BYTE(word, index) ((word) >> 8 * (index) & 255)

static inline uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

/* How many words two rows can be read and written by; none if one of them begins within a word. */
static inline uint32_t words_of(const volatile uint8_t *x, const volatile uint8_t *y, uint32_t count) {
    return ((uintptr_t)x | (uintptr_t)y) % 4 ? 0 : count / 4;
}

/* The largest of a row's values, each with the bits of `flip` inverted. */
static inline uint32_t largest_of(const volatile uint8_t *x, uint32_t words, uint32_t count, uint32_t flip) {
    const volatile uint32_t *x_words = (const volatile uint32_t *)x;
    const uint32_t flips = flip * 0x01010101u;
    uint32_t largest = 0;
#pragma clang loop unroll(disable)
    for (uint32_t i = 0; i < words; i++) {
        uint32_t word = x_words[i] ^ flips;
        largest = larger(larger(largest, BYTE(word, 0)), larger(BYTE(word, 1), larger(BYTE(word, 2), word >> 24)));
    }
#pragma clang loop unroll(disable)
    for (uint32_t i = 4 * words; i < count; i++) {
        largest = larger(largest, x[i] ^ flip);
    }
    return largest;
}

#endif
