/* Brings the firmware from the flash into memory. */
#include <stdbool.h>
#include <stdint.h>

#include "isa.h"
#include "system.h"

#define CLOCK 1u
#define DATA 2u
#define DESELECT 4u

#define WAKE_UP 0xABu
#define READ 0x03u

__attribute__((used)) bool bring_firmware(void);

static void set_pins(uint32_t pins) { *device(FLASH_BASE + FLASH_REGISTER_PINS) = pins; }

/* The flash takes a bit when the clock rises, and shows one when it falls; most significant first. */
static uint32_t transfer(uint32_t word, uint32_t bits) {
    uint32_t in = 0;
    for (uint32_t i = 0; i < bits; i++) {
        uint32_t data = word >> 31 ? DATA : 0;
        word <<= 1;
        set_pins(data);
        set_pins(data | CLOCK);
        in = in << 1 | (*device(FLASH_BASE + FLASH_REGISTER_PINS) & 1);
    }
    return in;
}

/* The flash sends bytes, the lowest address first. */
static uint32_t read_word(void) {
    uint32_t word = transfer(0, 32);
    return word >> 24 | (word >> 8 & 0xFF00) | (word << 8 & 0xFF0000) | word << 24;
}

static uint32_t crc_step(uint32_t crc, uint32_t word) {
    crc ^= word;
    for (uint32_t i = 0; i < 32; i++) {
        crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return crc;
}

/* False, and an exclamation mark on the serial port, if the flash does not hold what it should. */
bool bring_firmware(void) {
    volatile uint32_t *to = device(RAM_BASE);
    uint32_t crc = ~0u;
    set_pins(DESELECT);
    set_pins(0);
    transfer(WAKE_UP << 24, 8);
    set_pins(DESELECT);
    /* It takes 3 microseconds to wake up (Winbond W25Q128JV, tRES1), at most 48 MHz. */
    for (uint32_t start = cycles(); cycles() - start < 150;) {
    }
    set_pins(0);
    transfer(READ << 24 | FLASH_FIRMWARE, 32);
    uint32_t magic = read_word(), bytes = read_word(), expected = read_word();
    bool good = magic == FLASH_MAGIC && bytes % 4 == 0 && bytes <= MAILBOX_OFFSET;
    if (good) {
        for (uint32_t i = 0; i < bytes / 4; i++) {
            uint32_t word = read_word();
            to[i] = word;
            crc = crc_step(crc, word);
        }
        good = ~crc == expected;
    }
    set_pins(DESELECT);
    if (!good) {
        *device(UART_BASE + UART_DATA) = '!';
    }
    return good;
}
