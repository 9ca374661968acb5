// A pseudo-terminal on the chip's serial port, bit by bit.
//
// Bytes wait in the terminal until the line is free for them, so a host sees the speed of the simulated port. Bits last
// as long as the baud rate says that the host has set on its end: one that the chip does not expect garbles them.

#ifndef CIMARRON_SERIAL_H
#define CIMARRON_SERIAL_H

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdint>

class SerialLine {
public:
    // `terminal` is the master's end, which must not block. Until a host sets another rate, it is `baud`.
    SerialLine(int terminal, uint64_t clock_hz, uint32_t baud) : terminal{terminal}, clock_hz{clock_hz} {
        Settings settings{};
        if (ioctl(terminal, GET_SETTINGS, &settings) == 0) {
            settings.control = (settings.control & ~RATE_MASK) | RATE_IS_A_NUMBER;
            settings.in_baud = settings.out_baud = baud;
            ioctl(terminal, SET_SETTINGS, &settings);
        }
        first_baud = baud;
    }

    // One clock cycle: takes the level of the chip's output and returns that of its input.
    bool step(bool tx) {
        listen(tx);
        const bool rx = speak();
        ++now;
        return rx;
    }

    // Clock cycles since the last bit in either direction.
    uint64_t silence() const { return now - last_bit; }

private:
    // Linux's struct termios2, whose header contradicts that of the C library, and what belongs to it.
    struct Settings {
        uint32_t input, output, control, local;
        uint8_t line, characters[19];
        uint32_t in_baud, out_baud;
    };
    static_assert(sizeof(Settings) == 44);
    static constexpr unsigned long GET_SETTINGS = 0x802C542A, SET_SETTINGS = 0x402C542B;
    static constexpr uint32_t RATE_MASK = 0x100F, RATE_IS_A_NUMBER = 0x1000;

    // How many cycles pass before the terminal is asked for bytes again: that takes a system call.
    static constexpr uint64_t LOOK_CYCLES = 500;

    // One byte on its way: start bit, eight data bits, stop bit.
    struct Byte {
        bool moving = false;
        uint32_t bit = 0, levels = 0;
        uint64_t start = 0, next = 0, baud = 0;

        void begin(uint64_t now, uint64_t baud_) {
            moving = true;
            bit = 0;
            start = now;
            baud = baud_;
        }
        // Rounded once per bit, so that nothing adds up.
        void wait_for(uint32_t half_bits, uint64_t clock_hz) { next = start + half_bits * clock_hz / (2 * baud); }
    };

    uint64_t host_baud() const {
        Settings settings{};
        return ioctl(terminal, GET_SETTINGS, &settings) == 0 && settings.out_baud ? settings.out_baud : first_baud;
    }

    // Samples each bit in its middle.
    void listen(bool tx) {
        if (!in.moving) {
            if (tx) return;
            in.begin(now, host_baud());
            in.levels = 0;
            in.wait_for(1, clock_hz);
        }
        last_bit = now;
        if (now < in.next) return;
        in.levels |= static_cast<uint32_t>(tx) << in.bit;
        if (++in.bit < 10) {
            in.wait_for(2 * in.bit + 1, clock_hz);
            return;
        }
        in.moving = false;
        const uint8_t byte = static_cast<uint8_t>(in.levels >> 1);
        // A byte without its stop bit is none, and one for which the terminal has no room is lost, as on a line.
        if (tx && write(terminal, &byte, 1) != 1) return;
    }

    bool speak() {
        if (out.moving && now >= out.next) {
            out.moving = ++out.bit < 10;
            out.wait_for(2 * (out.bit + 1), clock_hz);
        }
        if (!out.moving) {
            uint8_t byte;
            if (now < next_look) return true;
            if (read(terminal, &byte, 1) != 1) {
                next_look = now + LOOK_CYCLES;
                return true;
            }
            out.begin(now, host_baud());
            out.levels = static_cast<uint32_t>(byte) << 1 | 1u << 9;
            out.wait_for(2, clock_hz);
        }
        last_bit = now;
        return out.levels >> out.bit & 1;
    }

    const int terminal;
    const uint64_t clock_hz;
    uint64_t first_baud = 0;
    uint64_t now = 0, last_bit = 0, next_look = 0;
    Byte in, out;
};

#endif
