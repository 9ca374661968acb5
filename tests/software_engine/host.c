/* Executes jobs on the machine that runs the tests: cases from standard input, outcomes to standard output.
 *
 * A case is the facts, the main memory, the bank of activations, and a job; an outcome the error, its info, and both
 * memories.
 */
#include <stdio.h>

#include "engine.h"
#include "isa.h"
#include "macro.h"
#include "system.h"

struct host_macro host;
uint32_t host_ram[BANK_BYTES / 4], host_bank[BANK_BYTES / 4], host_ram_bytes = BANK_BYTES;

int main(void) {
    while (fread(host.facts, sizeof host.facts, 1, stdin) == 1) {
        uint32_t address;
        if (fread(host_ram, sizeof host_ram, 1, stdin) != 1 || fread(host_bank, sizeof host_bank, 1, stdin) != 1 ||
            fread(&address, sizeof address, 1, stdin) != 1) {
            return 1;
        }
        engine_write(REG_CONTROL, 1);
        if (!engine_fetch(address, 1)) {
            return 2;
        }
        uint32_t outcome[] = {engine_read(REG_ERROR), engine_read(REG_ERROR_INFO)};
        fwrite(outcome, sizeof outcome, 1, stdout);
        fwrite(host_ram, sizeof host_ram, 1, stdout);
        fwrite(host_bank, sizeof host_bank, 1, stdout);
    }
    return 0;
}
