// Clocks a macro with operations and writes that never pause; prints cycles, operations answered and processor seconds.
// Verilator writes the second of two underscores in a name as ___05F.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "Vmacro.h"
#include "stimulus.h"
#include "verilated.h"

template <class Port>
static void drive(Port& port, const unsigned int* words) {
    std::memcpy(&port, words, sizeof(Port));
}

int main(int argc, char** argv) {
    Verilated::commandArgs(argc, argv);
    const double seconds = std::atof(argv[1]);
    Vmacro macro;
    macro.rst = 1;
    macro.write___05Fvalid = macro.i_stream___05Fvalid = macro.o_stream___05Fready = 1;
    unsigned long cycles = 0, answered = 0, operation = 0, write = 0;
    const std::clock_t start = std::clock();
    std::clock_t now;
    do {
        for (int i = 0; i < 64; ++i, ++cycles) {
            drive(macro.i_stream___05Fpayload, OPERATIONS[operation % OPERATION_COUNT]);
            drive(macro.write___05Fpayload, WRITES[write % WRITE_COUNT]);
            macro.clk = 0;
            macro.eval();
            operation += macro.i_stream___05Fready;
            write += macro.write___05Fready;
            answered += macro.o_stream___05Fvalid;
            macro.clk = 1;
            macro.eval();
            macro.rst = 0;
        }
        now = std::clock();
    } while (now - start < seconds * CLOCKS_PER_SEC);
    std::printf("%lu %lu %f\n", cycles, answered, double(now - start) / CLOCKS_PER_SEC);
    return 0;
}
