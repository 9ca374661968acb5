/* Environment of the riscv-tests sources on the small core, which has no traps: it starts again, and says so. */
#ifndef CIMARRON_PICORV32_TEST_H
#define CIMARRON_PICORV32_TEST_H

#include "isa.h"

#define RVTEST_RV32U
#define TESTNUM x28

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

#define RVTEST_PASS                                     \
    li      TESTNUM, 0;                                 \
    RVTEST_FAIL

/* Announces TESTNUM. */
#define RVTEST_FAIL                                     \
    li      t0, EVENT_TEST << EVENT_SHIFT;              \
    or      t0, t0, TESTNUM;                            \
    li      t1, SYSTEM_BASE + SYSTEM_EVENT;             \
    sw      t0, 0(t1);                                  \
1:  j       1b;

#define RVTEST_CODE_END
#define RVTEST_DATA_BEGIN .balign 4;
#define RVTEST_DATA_END

#endif
