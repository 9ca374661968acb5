// Runs inferences on the verilated system, as fast as one core can.
//
//     simulator REQUEST [TRACE.vcd]
//     simulator REQUEST serial TERMINAL CLOCK_HZ BAUD
//
// REQUEST is a file of little-endian 32-bit words (see `Request`) followed by the dumps, the firmware, the program image
// and the inputs. Every result is one line of JSON on standard output, written at once: `boot`, `load`, then for each
// sample `start`, one `job` per retired job or finished CPU step and `done`, which for the last sample holds the
// timeline, and at last `end`. A line `timeout` ends the run early. Memories are loaded and read through the back door:
// no simulated cycle is spent on that.
//
// The second form boots the firmware and then leaves the chip to whoever is at the other end of the pseudo-terminal, open
// as file descriptor TERMINAL, until standard input ends. The clock stands still while nobody has had anything to say for
// QUIET_SECONDS of the chip's time.

#include <poll.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "Vharness.h"
#include "cpu_track.h"
#include "isa.h"
#include "serial.h"
#include "variables.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

struct Request {
    uint32_t limit;           // cycles without an event before the run is given up
    uint32_t cycles_per_bit;  // of the UART
    uint32_t input_offset, input_bytes;
    uint32_t output_offset, output_bytes;
    uint32_t samples;
    uint32_t dumps;
    uint32_t firmware_bytes, image_bytes;
};

struct Dump {
    uint32_t job, address, bytes;
    uint32_t spilled;  // whether the address is one of the program image's memory, or of the activation buffer
};

uint8_t* bytes_of(const VerilatedVar* variable) { return static_cast<uint8_t*>(variable->datap()); }

// The activation buffer: byte a lies in lane a % lanes at a / lanes.
class ActBuffer {
public:
    explicit ActBuffer(VerilatedContext& context) {
        while (const VerilatedVar* lane = find_variable(context, "lane" + std::to_string(lanes.size()))) {
            lanes.push_back(bytes_of(lane));
            bytes += lane->totalSize();
        }
    }

    void print(const Dump& dump) const {
        if (uint64_t{dump.address} + dump.bytes > bytes) fail("a dump lies outside the activation buffer");
        for (uint32_t i = 0; i < dump.bytes; ++i) {
            const uint32_t address = dump.address + i;
            std::printf("%02x", lanes[address % lanes.size()][address / lanes.size()]);
        }
    }

private:
    std::vector<uint8_t*> lanes;
    uint64_t bytes = 0;
};

// Eight data bits, no parity: samples each bit in its middle.
class UartReceiver {
public:
    explicit UartReceiver(uint32_t cycles_per_bit) : cycles_per_bit{cycles_per_bit} {}

    void step(bool line) {
        if (!receiving) {
            if (!line) {
                receiving = true;
                bit = 0;
                wait = cycles_per_bit + cycles_per_bit / 2;
            }
            return;
        }
        if (--wait) return;
        wait = cycles_per_bit;
        if (bit < 8) {
            byte = static_cast<uint8_t>(byte >> 1 | line << 7);
            ++bit;
            return;
        }
        receiving = false;
        text.push_back(static_cast<char>(byte));
    }

    bool busy() const { return receiving; }

    std::string text;

private:
    const uint32_t cycles_per_bit;
    bool receiving = false;
    uint32_t wait = 0, bit = 0;
    uint8_t byte = 0;
};

// What the engine and its memory port did in every cycle, as runs: a letter and for how many cycles, `i4w20c8`. Kept in
// windows whose width starts at one cycle and doubles whenever there are too many of them, or of the runs in the end, so
// that an inference of any length takes the same memory. Within a window the letters are sorted: how many cycles each
// has stays exact, their order does not.
class Timeline {
public:
    enum Phase : uint32_t { IDLE, FILL, COMPUTE, INPUT, WEIGHTS, OUTPUT, PHASES };

    void step(Phase phase, bool beat) {
        ++current.cycles[phase];
        current.beats += beat;
        if (++filled == width) close();
    }

    void print() {
        if (filled) close();
        while (windows.size() > 1 && phases(true) + port(true) > RUNS) halve();
        std::printf("{\"resolution\": %u, \"phases\": \"", width);
        phases(false);
        std::printf("\", \"port\": \"");
        port(false);
        std::printf("\"}");
    }

private:
    static constexpr size_t WINDOWS = 1 << 18, RUNS = 1 << 15;

    struct Window {
        std::array<uint32_t, PHASES> cycles{};
        uint32_t beats = 0;
    };

    // Puts runs together; each is counted, and unless `quiet` printed, when another begins.
    struct Runs {
        const bool quiet;
        char letter = 0;
        unsigned long long cycles = 0;
        size_t count = 0;

        void extend(char next, uint32_t more) {
            if (!more) return;
            if (next != letter) end();
            letter = next;
            cycles += more;
        }

        void end() {
            if (cycles && !quiet) std::printf("%c%llu", letter, cycles);
            count += cycles > 0;
            cycles = 0;
        }
    };

    size_t phases(bool quiet) const {
        Runs runs{quiet};
        uint32_t last = IDLE;
        for (const Window& window : windows) {
            // The phase in which the window before ended comes first: one run for both.
            for (uint32_t i = 0, first = last; i < PHASES; ++i) {
                const uint32_t phase = (first + i) % PHASES;
                if (window.cycles[phase]) last = phase;
                runs.extend("ifcawo"[phase], window.cycles[phase]);
            }
        }
        runs.end();
        return runs.count;
    }

    size_t port(bool quiet) const {
        Runs runs{quiet};
        for (const Window& window : windows) {
            uint32_t cycles = 0;
            for (const uint32_t part : window.cycles) cycles += part;
            const bool beats_first = runs.letter == 'b';
            if (beats_first) runs.extend('b', window.beats);
            runs.extend('i', cycles - window.beats);
            if (!beats_first) runs.extend('b', window.beats);
        }
        runs.end();
        return runs.count;
    }

    void close() {
        windows.push_back(current);
        current = {};
        filled = 0;
        if (windows.size() == WINDOWS) halve();
    }

    void halve() {
        if (windows.size() % 2) windows.emplace_back();
        for (size_t i = 0; i < windows.size() / 2; ++i) {
            const Window a = windows[2 * i], b = windows[2 * i + 1];
            for (uint32_t phase = 0; phase < PHASES; ++phase) windows[i].cycles[phase] = a.cycles[phase] + b.cycles[phase];
            windows[i].beats = a.beats + b.beats;
        }
        windows.resize(windows.size() / 2);
        width *= 2;
    }

    std::vector<Window> windows;
    Window current;
    uint32_t width = 1, filled = 0;
};

class System {
public:
    System(const Request& request, std::vector<Dump> dumps, const char* trace_path)
        : request{request}, dumps{std::move(dumps)}, top{&context, "TOP"}, uart{request.cycles_per_bit},
          trace_path{trace_path} {
#if VM_TRACE
        context.traceEverOn(true);
        if (trace_path) top.trace(&trace, 99);
#else
        if (trace_path) fail("this simulator was built without waveforms");
#endif
        top.uart_rx = 1;
        top.eval();
        const VerilatedVar* memory = find_variable(context, "memory");
        if (!memory) fail("the design has no public array memory");
        ram = bytes_of(memory);
        ram_bytes = memory->totalSize();
        act_buffer.emplace(context);
    }

    ~System() {
        top.final();
#if VM_TRACE
        trace.close();
#endif
    }

    void write(uint64_t offset, const void* source, uint64_t bytes) {
        if (offset + bytes > ram_bytes) fail("the request does not fit the main memory");
        std::memcpy(ram + offset, source, bytes);
    }

    uint32_t mailbox(uint32_t offset) const {
        uint32_t value;
        std::memcpy(&value, ram + MAILBOX_OFFSET + offset, sizeof value);
        return value;
    }

    void command(uint32_t code) { write(MAILBOX_OFFSET + MAILBOX_COMMAND, &code, sizeof code); }

    void print_memory(uint64_t offset, uint64_t bytes) const {
        if (offset + bytes > ram_bytes) fail("the request does not fit the main memory");
        for (uint64_t i = 0; i < bytes; ++i) std::printf("%02x", ram[offset + i]);
    }

    // From now on the serial port is the host's; what the engine does is not told.
    void attach(int terminal, uint64_t clock_hz, uint32_t baud) { serial.emplace(terminal, clock_hz, baud); }

    uint64_t silence() const { return serial->silence(); }

    void advance(uint64_t count) {
        while (count--) cycle();
    }

    void reset() {
        top.rst = 1;
        for (int i = 0; i < 4; ++i) cycle();
        top.rst = 0;
    }

    // Runs until the firmware announces `event`; returns its argument, or false in `arrived` if it never comes.
    uint32_t wait(uint32_t event, bool& arrived) {
        for (uint64_t end = cycles + request.limit; cycles < end;) {
            if (cycle() && top_event >> EVENT_SHIFT == event) {
                arrived = true;
                return top_event & ((1u << EVENT_SHIFT) - 1);
            }
        }
        arrived = false;
        return 0;
    }

    void start_sample(uint32_t index) {
#if VM_TRACE
        // Booting and checking the image would make the file a hundred times longer and are not what people look for.
        if (trace_path && !trace.isOpen()) trace.open(trace_path);
#endif
        sample = index;
        job = 0;
        seen = read_counters();
        first_busy = NEVER;
        idle_since = cycles;
        if (sample + 1 == request.samples) {
            timeline.emplace();
            cpu.emplace(context, cycles);
        }
        std::printf("{\"kind\": \"start\", \"sample\": %u, \"cycle\": %llu, ", sample, count());
        print_counters();
        std::printf("}\n");
    }

    void print_timeline() {
        if (timeline) {
            std::printf(", \"timeline\": ");
            timeline->print();
            std::printf(", \"cpu\": ");
            cpu->print(cycles);
        }
        timeline.reset();
        cpu.reset();
    }

    // Lets the chip finish what it is printing: until the line has been idle for the time of two characters.
    void drain_uart() {
        const uint64_t character = 10 * uint64_t{request.cycles_per_bit};
        for (uint64_t idle = 0, end = cycles + 200 * character; idle < 2 * character && cycles < end;) {
            idle = top.uart_tx && !uart.busy() ? idle + 1 : 0;
            cycle();
        }
    }

    unsigned long long count() const { return cycles; }
    const std::string& uart_text() const { return uart.text; }

private:
    struct Counters {
        uint32_t busy, compute, stall_input, stall_weights, stall_output;
    };

    // An edge of the clock. A clock of twice the frequency rises at both.
    void edge(int level) {
        top.clk = level;
#ifdef DOUBLE_PUMPED
        top.fast_clk = 1;
        top.eval();
        top.fast_clk = 0;
#endif
        top.eval();
        record();
    }

    // One clock cycle; true if the firmware announced something in it.
    bool cycle() {
        edge(0);
        const bool announced = top.event_valid;
        top_event = top.event_word;
        if (serial) {
            top.uart_rx = serial->step(top.uart_tx);
        } else {
            uart.step(top.uart_tx);
        }
        const bool ended = !serial && (top.retired || (announced && top_event >> EVENT_SHIFT == EVENT_STEP));
        if (ended) print_job();
        const bool beat = top.beat;
        if (cpu) cpu->step(cycles);
        edge(1);
        if (ended) print_tensors();
        const Timeline::Phase phase = what_happened();
        if (phase != Timeline::IDLE) {
            if (first_busy == NEVER) first_busy = cycles;
            idle_since = cycles + 1;
        }
        if (timeline) timeline->step(phase, beat);
        ++cycles;
        return announced;
    }

    Counters read_counters() const {
        return {top.busy, top.compute, top.stall_input, top.stall_weights, top.stall_output};
    }

    // What the engine did in the cycle that the counters have just counted.
    Timeline::Phase what_happened() {
        const Counters before = seen;
        seen = read_counters();
        if (seen.busy == before.busy) return Timeline::IDLE;
        if (seen.busy < before.busy) {
            // A clear between jobs restarts the counters, and with them the differences.
            if (!serial) std::printf("{\"kind\": \"clear\", \"sample\": %u}\n", sample);
            return Timeline::IDLE;
        }
        if (seen.compute != before.compute) return Timeline::COMPUTE;
        if (seen.stall_weights != before.stall_weights) return Timeline::WEIGHTS;
        if (seen.stall_input != before.stall_input) return Timeline::INPUT;
        if (seen.stall_output != before.stall_output) return Timeline::OUTPUT;
        return Timeline::FILL;
    }

    void record() {
#if VM_TRACE
        if (trace.isOpen()) trace.dump(time++);
#endif
    }

    void print_counters() const {
        std::printf("\"busy\": %u, \"compute\": %u, \"stall_input\": %u, \"stall_weights\": %u, \"stall_output\": %u, "
                    "\"operations\": %u",
                    top.busy, top.compute, top.stall_input, top.stall_weights,
                    top.stall_output, top.operations);
    }

    void print_job() {
        // A job begins with the engine's first busy cycle behind the one before, a step when the engine came to rest.
        const uint64_t begin = !top.retired ? idle_since : first_busy == NEVER ? cycles : first_busy;
        first_busy = NEVER;
        std::printf("{\"kind\": \"job\", \"sample\": %u, \"job\": %u, \"on\": \"%s\", \"begin\": %llu, \"cycle\": %llu, ",
                    sample, job, top.retired ? "engine" : "cpu", static_cast<unsigned long long>(begin), count());
        print_counters();
    }

    // The last bytes are there when the cycle in which the job retires has ended.
    void print_tensors() {
        std::printf(", \"dump\": \"");
        for (const Dump& dump : dumps) {
            if (dump.job != job) continue;
            if (dump.spilled) print_memory(uint64_t{PROGRAM_OFFSET} + dump.address, dump.bytes);
            else act_buffer->print(dump);
        }
        std::printf("\"}\n");
        ++job;
    }

    const Request request;
    const std::vector<Dump> dumps;
    VerilatedContext context;
    Vharness top;
    UartReceiver uart;
    std::optional<SerialLine> serial;
    std::optional<ActBuffer> act_buffer;
    uint8_t* ram = nullptr;
    uint64_t ram_bytes = 0;
    uint64_t cycles = 0;
    uint32_t top_event = 0;
    Counters seen{};
    static constexpr uint64_t NEVER = ~uint64_t{0};
    uint64_t first_busy = NEVER;  // since the last job or step ended
    uint64_t idle_since = 0;
    std::optional<Timeline> timeline;
    std::optional<CpuTrack> cpu;
    uint32_t sample = 0;
    uint32_t job = 0;
    const char* const trace_path;
#if VM_TRACE
    VerilatedVcdC trace;
    uint64_t time = 0;
#endif
};

void print_status(const System& system, const char* kind, uint32_t status) {
    std::printf("{\"kind\": \"%s\", \"cycle\": %llu, \"status\": %u, \"info\": %u, \"address\": %u, \"step\": %u", kind,
                system.count(), status, system.mailbox(MAILBOX_INFO), system.mailbox(MAILBOX_ADDRESS),
                system.mailbox(MAILBOX_STEP));
}

// Waits for the answer to a command and prints it, up to the closing brace; false if it never came.
bool answer(System& system, const char* kind, uint32_t event, uint32_t& status) {
    bool arrived = false;
    status = system.wait(event, arrived);
    if (arrived) {
        print_status(system, kind, status);
    } else {
        print_status(system, "timeout", system.mailbox(MAILBOX_STATUS));
        std::printf(", \"waiting\": \"%s\"}\n", kind);
    }
    return arrived;
}

void run(System& system, const Request& request, const char* image, const char* inputs) {
    uint32_t status = 0;
    system.reset();
    if (!answer(system, "boot", EVENT_READY, status)) return;
    std::printf("}\n");
    if (!request.image_bytes) return;
    system.write(PROGRAM_OFFSET, image, request.image_bytes);
    system.command(COMMAND_LOAD);
    if (!answer(system, "load", EVENT_READY, status)) return;
    std::printf("}\n");
    for (uint32_t sample = 0; sample < request.samples && status == STATUS_OK; ++sample) {
        system.write(PROGRAM_OFFSET + request.input_offset, inputs + uint64_t{sample} * request.input_bytes,
                     request.input_bytes);
        system.start_sample(sample);
        system.command(COMMAND_RUN);
        if (!answer(system, "done", EVENT_DONE, status)) return;
        std::printf(", \"sample\": %u, \"firmware_cycles\": %llu, \"output\": \"", sample,
                    static_cast<unsigned long long>(system.mailbox(MAILBOX_CYCLES_HIGH)) << 32 |
                        system.mailbox(MAILBOX_CYCLES_LOW));
        system.print_memory(PROGRAM_OFFSET + request.output_offset, request.output_bytes);
        std::printf("\"");
        system.print_timeline();
        std::printf("}\n");
    }
}

// Until standard input ends: whoever started this has gone.
void serve(System& system, uint64_t clock_hz, int terminal) {
    constexpr uint64_t QUIET_SECONDS = 8, SLICE = 1 << 16;
    uint32_t status = 0;
    system.reset();
    if (!answer(system, "boot", EVENT_READY, status)) return;
    std::printf("}\n");
    pollfd ends[] = {{STDIN_FILENO, POLLIN, 0}, {terminal, POLLIN, 0}};
    do {
        system.advance(SLICE);
        poll(ends, 2, system.silence() > QUIET_SECONDS * clock_hz ? -1 : 0);
    } while (!ends[0].revents);
}

}  // namespace

int main(int argc, char** argv) {
    const bool is_serial = argc == 6 && !std::strcmp(argv[2], "serial");
    if (argc != 2 && argc != 3 && !is_serial) {
        fail("usage: simulator REQUEST [TRACE.vcd], or simulator REQUEST serial TERMINAL CLOCK_HZ BAUD");
    }
    std::ifstream file{argv[1], std::ios::binary};
    const std::vector<char> bytes{std::istreambuf_iterator<char>{file}, {}};
    Request request;
    if (bytes.size() < sizeof request) fail("the request is too short");
    std::memcpy(&request, bytes.data(), sizeof request);
    const uint64_t dump_bytes = uint64_t{request.dumps} * sizeof(Dump);
    if (bytes.size() != sizeof request + dump_bytes + request.firmware_bytes + request.image_bytes +
                            uint64_t{request.samples} * request.input_bytes) {
        fail("the request has another size than its header says");
    }
    const char* cursor = bytes.data() + sizeof request;
    std::vector<Dump> dumps(request.dumps);
    std::memcpy(dumps.data(), cursor, dump_bytes);
    const char* firmware = cursor + dump_bytes;
    const char* image = firmware + request.firmware_bytes;

    std::setvbuf(stdout, nullptr, _IOLBF, 1 << 16);
    System system{request, dumps, argc == 3 ? argv[2] : nullptr};
    system.write(0, firmware, request.firmware_bytes);
    if (is_serial) {
        const int terminal = std::atoi(argv[3]);
        const uint64_t clock_hz = std::strtoull(argv[4], nullptr, 10);
        system.attach(terminal, clock_hz, static_cast<uint32_t>(std::strtoul(argv[5], nullptr, 10)));
        serve(system, clock_hz, terminal);
        return 0;
    }
    const std::clock_t begin = std::clock();
    run(system, request, image, image + request.image_bytes);
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    std::printf("{\"kind\": \"end\", \"cycle\": %llu, \"cpu_seconds\": %.6f, ", system.count(), seconds);
    system.drain_uart();
    std::printf("\"uart\": \"");
    for (const char character : system.uart_text()) std::printf("%02x", static_cast<unsigned char>(character));
    std::printf("\"}\n");
    return 0;
}
