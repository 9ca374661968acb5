// What the CPU did in every cycle of an inference, read off the core's own signals.
//
// Two things are told apart. The step of the program that the firmware is at: what it writes to the mailbox, as seen on
// the core's data bus. And whether it executes or waits for the engine: it waits from the cycle in which the engine
// answers a look at its status with "not yet" to the one in which it does not. Not yet means that it works, or, if it
// was to fetch further descriptors and refused, that it still fetches the ones before. How the loop around that look is
// written does not matter, and what it reads besides changes nothing.

#ifndef CIMARRON_CPU_TRACK_H
#define CIMARRON_CPU_TRACK_H

#include <cstdint>
#include <cstdio>
#include <deque>
#include <string>
#include <vector>

#include "isa.h"
#include "variables.h"

class CpuTrack {
public:
    // `begin` is the first cycle of the inference.
    CpuTrack(VerilatedContext& context, uint64_t begin) : origin{begin} {
        if (find_variable(context, "dBusWishbone_CYC")) {
            core = VEXRISCV;
            instructions = net<uint64_t>(context, "CsrPlugin_minstret");
            fetching = net<uint8_t>(context, "iBusWishbone_CYC");
            accessing = net<uint8_t>(context, "dBusWishbone_CYC");
            acknowledged = net<uint8_t>(context, "dBusWishbone_ACK");
            writing = net<uint8_t>(context, "dBusWishbone_WE");
            address = net<uint32_t>(context, "dBusWishbone_ADR");
            data = net<uint32_t>(context, "dBusWishbone_DAT_MOSI");
            asked = net<uint8_t>(context, "CfuPlugin_bus_cmd_valid");
            function = net<uint16_t>(context, "CfuPlugin_bus_cmd_payload_function_id");
            operand = net<uint32_t>(context, "CfuPlugin_bus_cmd_payload_inputs_0");
            answered = net<uint8_t>(context, "CfuPlugin_bus_rsp_valid");
            listening = net<uint8_t>(context, "CfuPlugin_bus_rsp_ready");
            answer = net<uint32_t>(context, "CfuPlugin_bus_rsp_payload_outputs_0");
        } else {
            core = PICORV32;
            instructions = net<uint64_t>(context, "count_instr");
            accessing = net<uint8_t>(context, "mem_valid");
            acknowledged = net<uint8_t>(context, "mem_ready");
            writing = net<uint8_t>(context, "mem_wstrb");
            address = net<uint32_t>(context, "mem_addr");
            data = net<uint32_t>(context, "mem_wdata");
        }
        open(begin);
    }

    // What happens in a clock cycle: to be called when its signals have settled, before it ends.
    void step(uint64_t cycle) {
        const bool was_waiting = waiting;
        const int64_t was_at = at;
        if (*accessing && *acknowledged && *writing && byte_address() == STEP) at = *data;
        // Where the engine is software, nobody waits for it.
        if (core == VEXRISCV) talk();
        if (waiting != was_waiting || at != was_at) {
            close(cycle);
            open(cycle);
        }
        stretch.bus += *accessing || (fetching && *fetching);
    }

    // Prints all of it; `end` is the first cycle behind the inference.
    void print(uint64_t end) {
        close(end);
        const char* separator = "";
        std::printf("[");
        for (const Stretch& part : stretches) {
            if (part.begin == part.end) continue;
            std::printf("%s{\"step\": %lld, \"waits\": %s, \"begin\": %llu, \"end\": %llu, \"instructions\": %llu, \"bus\": %llu}",
                        separator, static_cast<long long>(part.at), part.waits ? "true" : "false", number(part.begin - origin),
                        number(part.end - origin), number(part.instructions), number(part.bus));
            separator = ", ";
        }
        std::printf("]");
    }

private:
    enum Core { VEXRISCV, PICORV32 };

    // Bits of the engine's status.
    static constexpr uint32_t BUSY = 1, FAILED = 2, FETCHING = 4;
    static constexpr uint32_t STEP = (RAM_BASE | UNCACHED) + MAILBOX_OFFSET + MAILBOX_STEP;
    // The firmware has yet to begin with the first step.
    static constexpr int64_t BEFORE = -1;

    struct Stretch {
        int64_t at = BEFORE;
        bool waits = false;
        uint64_t begin = 0, end = 0;
        uint64_t instructions = 0;  // at the beginning, and once it is closed, in between
        uint64_t bus = 0;           // cycles with a request on a bus
    };

    struct Request {
        uint32_t function, operand;
    };

    template <typename Value>
    static const Value* net(VerilatedContext& context, const char* name) {
        const VerilatedVar* variable = find_variable(context, name);
        if (!variable) fail(std::string{"the design has no public variable "} + name);
        if (variable->totalSize() != sizeof(Value)) fail(std::string{"of another width than the core's is "} + name);
        return static_cast<const Value*>(variable->datap());
    }

    static unsigned long long number(uint64_t value) { return value; }

    // Wishbone addresses are those of words.
    uint32_t byte_address() const { return core == VEXRISCV ? *address << 2 : *address; }

    // Questions are answered in their order. A question may be answered in its own cycle.
    void talk() {
        if (*asked) open_requests.push_back({*function, *operand});
        if (!*answered || !*listening || open_requests.empty()) return;
        const Request request = open_requests.front();
        open_requests.pop_front();
        if (request.function == CFU_FETCH) {
            refused = *answer == 0;
        } else if (request.function == CFU_READ && request.operand == REG_STATUS) {
            waiting = !(*answer & FAILED) && *answer & (refused ? FETCHING : BUSY);
        }
    }

    void open(uint64_t cycle) {
        stretch = {};
        stretch.at = at;
        stretch.waits = waiting;
        stretch.begin = cycle;
        stretch.instructions = *instructions;
    }

    void close(uint64_t cycle) {
        stretch.end = cycle;
        stretch.instructions = *instructions - stretch.instructions;
        stretches.push_back(stretch);
    }

    Core core;
    const uint64_t origin;
    const uint64_t* instructions = nullptr;
    const uint8_t *fetching = nullptr, *accessing = nullptr, *acknowledged = nullptr, *writing = nullptr;
    const uint32_t *address = nullptr, *data = nullptr;
    const uint8_t *asked = nullptr, *answered = nullptr, *listening = nullptr;
    const uint16_t* function = nullptr;
    const uint32_t *operand = nullptr, *answer = nullptr;
    std::deque<Request> open_requests;
    bool refused = false, waiting = false;
    int64_t at = BEFORE;
    Stretch stretch;
    std::vector<Stretch> stretches;
};

#endif
