/* Uses every part of the system once and announces what it found: see tb_soc.py for what that must be. */
#include <stdint.h>

#include "engine.h"
#include "system.h"

#define MASK_CSR "0xBC0"
#define PENDING_CSR "0xFC0"
#define EXTERNAL_INTERRUPT 0x8000000Bu
#define CYCLES_PER_BIT 8u
#define ENGINE_IDLE 2u
#define WORDS 12u

/* Named only in assembler, which the link-time optimiser does not read. */
__attribute__((used)) void trap(void);
__attribute__((used)) void use_everything(void);

static volatile uint32_t interrupts; /* bits of the interrupts that arrived */
static volatile uint32_t error_status, error_address, received, elapsed;
static uint32_t timer_start;
static uint32_t pattern[WORDS] __attribute__((aligned(64)));

__attribute__((naked, section(".text.start"))) void _start(void) {
    __asm__ volatile("la sp, _stack_top\n"
                     "la t0, trap\n"
                     "csrw mtvec, t0\n"
                     "call use_everything\n"
                     "1: j 1b");
}

static uint32_t timer_now(void) { return *device(TIMER_BASE + TIMER_COUNT_LOW); }

__attribute__((interrupt("machine"), aligned(4))) void trap(void) {
    uint32_t cause, pending;
    __asm__ volatile("csrr %0, mcause" : "=r"(cause));
    __asm__ volatile("csrr %0, " PENDING_CSR : "=r"(pending));
    if (cause != EXTERNAL_INTERRUPT) {
        announce(EVENT_TRAP, cause);
        for (;;) {
        }
    }
    interrupts |= pending;
    if (pending >> IRQ_TIMER & 1) {
        elapsed = timer_now() - timer_start;
        *device(TIMER_BASE + TIMER_CONTROL) = 0;
    }
    if (pending >> IRQ_BUS_ERROR & 1) {
        error_status = *device(SYSTEM_BASE + SYSTEM_BUS_ERROR);
        error_address = *device(SYSTEM_BASE + SYSTEM_BUS_ERROR_ADDRESS);
        *device(SYSTEM_BASE + SYSTEM_BUS_ERROR) = 0;
    }
    if (pending >> IRQ_UART & 1) {
        received = *device(UART_BASE + UART_DATA) & 0xFF;
    }
    if (pending >> IRQ_ENGINE & 1) {
        engine_write(REG_IRQ_PENDING, ENGINE_IDLE);
    }
}

static void wait_for(uint32_t interrupt) {
    while (!(interrupts >> interrupt & 1)) {
    }
    interrupts &= ~(1u << interrupt);
}

static void hello(void) {
    *device(UART_BASE + UART_DIVISOR) = CYCLES_PER_BIT;
    for (const char *text = "hello\n"; *text; text++) {
        *device(UART_BASE + UART_DATA) = (uint8_t)*text;
    }
}

static void read_engine(void) {
    announce(EVENT_STEP, engine_read(REG_ID));
    announce(EVENT_STEP, *device(ENGINE_BASE + REG_ID));
}

static void use_timer(void) {
    timer_start = timer_now();
    *device(TIMER_BASE + TIMER_COMPARE_LOW) = timer_start + 300;
    *device(TIMER_BASE + TIMER_COMPARE_HIGH) = 0;
    *device(TIMER_BASE + TIMER_CONTROL) = 1;
    wait_for(IRQ_TIMER);
    announce(EVENT_STEP, elapsed);
}

static void report_bus_error(void) {
    wait_for(IRQ_BUS_ERROR);
    announce(EVENT_STEP, error_status);
    announce(EVENT_STEP, error_address);
}

static void miss_the_map(void) {
    announce(EVENT_STEP, *device(0xD0123454));
    report_bus_error();
    *device(0x90ABCDE0) = 1;
    report_bus_error();
    /* Cached: the whole line is fetched, from its first word on. */
    announce(EVENT_STEP, *device(0x10654324));
    report_bus_error();
}

static void receive(void) {
    announce(EVENT_READY, 0);
    wait_for(IRQ_UART);
    announce(EVENT_STEP, received);
}

static void load_activations(void) {
    for (uint32_t i = 0; i < WORDS; i++) {
        pattern[i] = 0x01020304u * (i + 1);
    }
    engine_write(REG_IRQ_ENABLE, ENGINE_IDLE);
    uint32_t job[JOB_WORDS] = {OP_LOAD, (uint32_t)pattern, 0, sizeof pattern};
    for (uint32_t i = 0; i < JOB_WORDS; i += 2) {
        while (!engine_push(job[i], job[i + 1])) {
        }
    }
    wait_for(IRQ_ENGINE);
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < WORDS; i++) {
        wrong += *device(ENGINE_BASE + ACT_WINDOW + 4 * i) != pattern[i];
    }
    announce(EVENT_STEP, wrong);
    announce(EVENT_STEP, *device(ENGINE_BASE + ACT_WINDOW + 4));
}

static void use_both_names_of_memory(void) {
    static volatile uint32_t word;
    volatile uint32_t *uncached = device((uint32_t)&word | UNCACHED);
    word = 0x123456;
    announce(EVENT_STEP, *uncached);
    *uncached = 0x654321;
    data_cache_invalidate();
    announce(EVENT_STEP, word);
}

void use_everything(void) {
    uint32_t mask = 0x80000000u | 1u << IRQ_ENGINE | 1u << IRQ_BUS_ERROR | 1u << IRQ_UART | 1u << IRQ_TIMER;
    __asm__ volatile("csrw " MASK_CSR ", %0\nnop\nnop" ::"r"(mask));
    __asm__ volatile("csrs mie, %0" ::"r"(1u << 11));
    __asm__ volatile("csrs mstatus, %0" ::"r"(1u << 3));
    hello();
    read_engine();
    use_timer();
    miss_the_map();
    receive();
    load_activations();
    use_both_names_of_memory();
    announce(EVENT_TEST, 0);
}
