/* Environment of the riscv-tests sources on the small core, which has no traps: it starts again, and says so. */
#ifndef CIMARRON_PICORV32_TEST_H
#define CIMARRON_PICORV32_TEST_H

#include "outcome.h"

/* Starting again is never expected: it announces a trap of unknown cause, and then test 0xFFFFFF as failed. */
#define RVTEST_CODE_BEGIN                               \
    .section .text.start, "ax";                         \
    .global _start;                                     \
_start:                                                 \
    li      t2, SYSTEM_BASE + SYSTEM_TRAPPED;           \
    lw      t0, 0(t2);                                  \
    beqz    t0, test_entry;                             \
    li      t1, EVENT_TRAP << EVENT_SHIFT | 0xFFFFFF;   \
    li      t2, SYSTEM_BASE + SYSTEM_EVENT;             \
    sw      t1, 0(t2);                                  \
    li      t0, EVENT_TEST << EVENT_SHIFT | 0xFFFFFF;   \
    sw      t0, 0(t2);                                  \
1:  j       1b;                                         \
test_entry:

#endif
