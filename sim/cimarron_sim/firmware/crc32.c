#include "crc32.h"

static uint32_t table[256];

static void fill_table(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t remainder = byte;
        for (int bit = 0; bit < 8; bit++) {
            remainder = remainder >> 1 ^ (0xEDB88320u & -(remainder & 1));
        }
        table[byte] = remainder;
    }
}

uint32_t crc32(const uint32_t *words, uint32_t count) {
    if (table[1] == 0) {
        fill_table();
    }
    uint32_t crc = ~0u;
    for (uint32_t i = 0; i < count; i++) {
        crc ^= words[i];
        crc = crc >> 8 ^ table[crc & 0xFF];
        crc = crc >> 8 ^ table[crc & 0xFF];
        crc = crc >> 8 ^ table[crc & 0xFF];
        crc = crc >> 8 ^ table[crc & 0xFF];
    }
    return ~crc;
}
