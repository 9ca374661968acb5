/* Serves the mailbox, and through it the host on the serial port: one command at a time, each ends with a status,
 * whatever happens. */
#include "engine.h"
#include "host.h"
#include "loaded.h"
#include "outcome.h"
#include "program.h"
#include "run.h"
#include "system.h"
#include "uart.h"

void boot(void);
void trap(uint32_t cause, uint32_t address);
_Noreturn void serve(void);

static uint32_t loaded_bytes;

uint32_t loaded_image(void) { return loaded_bytes; }

void forget_image(uint32_t offset) {
    if (offset < loaded_bytes) {
        loaded_bytes = 0;
    }
}

/* The core ignores errors on its bus; the system controller remembers the first. */
static struct outcome with_bus_error(struct outcome outcome_) {
    if (!(*device(SYSTEM_BASE + SYSTEM_BUS_ERROR) & 1)) {
        return outcome_;
    }
    uint32_t address = *device(SYSTEM_BASE + SYSTEM_BUS_ERROR_ADDRESS);
    *device(SYSTEM_BASE + SYSTEM_BUS_ERROR) = 0;
    return outcome(STATUS_BUS_ERROR, 0, address);
}

/* A failed command leaves the engine as after reset, ready for the next one. */
static void finish(struct outcome result, uint32_t event) {
    *mailbox(MAILBOX_STATUS) = result.status;
    *mailbox(MAILBOX_INFO) = result.info;
    *mailbox(MAILBOX_ADDRESS) = result.address;
    if (result.status != STATUS_OK) {
        engine_write(REG_CONTROL, 1);
    }
    *mailbox(MAILBOX_COMMAND) = COMMAND_NONE;
    announce(event, result.status);
    if (result.status != STATUS_OK) {
        uart_text("failed ");
        uart_hex(result.status);
        uart_text(" ");
        uart_hex(result.info);
        uart_text(" ");
        uart_hex(result.address);
        uart_text("\r\n");
    }
}

static uint32_t event_of(uint32_t command) { return command == COMMAND_RUN ? EVENT_DONE : EVENT_READY; }

static struct outcome execute(uint32_t command) {
    switch (command) {
    case COMMAND_LOAD:
        return program_check();
    case COMMAND_RUN:
        return loaded_bytes ? program_run() : outcome(STATUS_NOT_LOADED, 0, 0);
    default:
        return outcome(STATUS_BAD_COMMAND, command, 0);
    }
}

void boot(void) {
    *mailbox(MAILBOX_VERSION) = PROGRAM_VERSION;
    *mailbox(MAILBOX_STATUS) = STATUS_OK;
    uart_text("Cimarron\r\n");
    announce(EVENT_READY, STATUS_OK);
}

void trap(uint32_t cause, uint32_t address) {
    uint32_t command = *mailbox(MAILBOX_COMMAND);
    loaded_bytes = 0;
    announce(EVENT_TRAP, cause);
    finish(outcome(STATUS_TRAP, cause, address), event_of(command));
}

void serve(void) {
    for (;;) {
        uint32_t command = *mailbox(MAILBOX_COMMAND);
        if (command == COMMAND_NONE) {
            host_poll();
            continue;
        }
        uint64_t start = cycles64();
        struct outcome result = execute(command);
        uint64_t spent = cycles64() - start;
        *mailbox(MAILBOX_CYCLES_LOW) = (uint32_t)spent;
        *mailbox(MAILBOX_CYCLES_HIGH) = (uint32_t)(spent >> 32);
        result = with_bus_error(result);
        if (command == COMMAND_LOAD) {
            loaded_bytes = result.status == STATUS_OK ? PROGRAM[HEADER_IMAGE_BYTES] : 0;
        }
        finish(result, event_of(command));
    }
}
