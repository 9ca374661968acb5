// Runs one program on a system: PROGRAM is copied to main memory, every announced event is printed in hexadecimal,
// and the run ends with the first event whose upper byte is LAST_EVENT, or after MAX_CYCLES with exit code 3.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

#include "Vsystem.h"
#include "verilated.h"
#include "verilated_syms.h"

int main(int argc, char **argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: %s PROGRAM MAX_CYCLES LAST_EVENT\n", argv[0]);
        return 2;
    }
    std::ifstream file(argv[1], std::ios::binary);
    const std::vector<char> image((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const unsigned long long max_cycles = std::strtoull(argv[2], nullptr, 0);
    const uint32_t last_event = std::strtoul(argv[3], nullptr, 0);

    VerilatedContext context;
    const auto top = std::make_unique<Vsystem>(&context);
    top->rst = 1;
    top->clk = 0;
    top->uart_rx = 1;
    top->eval();  // runs the initial blocks, which would overwrite the program

    const VerilatedVar *memory = nullptr;
    for (const auto &scope : *context.scopeNameMap()) {
        if (const VerilatedVar *found = scope.second->varFind("memory")) memory = found;
    }
    if (!memory || image.empty() || image.size() > memory->totalSize()) {
        std::fprintf(stderr, "%s: %zu bytes do not fit the memory\n", argv[1], image.size());
        return 2;
    }
    std::memcpy(memory->datap(), image.data(), image.size());

    for (unsigned long long cycle = 0; cycle < max_cycles; cycle++) {
        if (cycle == 4) top->rst = 0;
        top->clk = 1;
        top->eval();
        top->clk = 0;
        top->eval();
        if (top->event_valid) {
            std::printf("%08x\n", static_cast<uint32_t>(top->event));
            if (top->event >> 24 == last_event) {
                std::printf("cycles %llu\n", cycle);
                return 0;
            }
        }
    }
    std::fprintf(stderr, "%s: no event %u in %llu cycles\n", argv[1], last_event, max_cycles);
    return 3;
}
