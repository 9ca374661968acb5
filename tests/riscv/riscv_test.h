/* Environment of the riscv-tests sources: announces the outcome through the system controller. */
#ifndef CIMARRON_RISCV_TEST_H
#define CIMARRON_RISCV_TEST_H

#include "outcome.h"

/* A trap is never expected: it announces mcause, and then test 0xFFFFFF as failed. */
#define RVTEST_CODE_BEGIN                               \
    .section .text.start, "ax";                         \
    .global _start;                                     \
_start:                                                 \
    la      t0, trap_entry;                             \
    csrw    mtvec, t0;                                  \
    j       test_entry;                                 \
    .balign 4;                                          \
trap_entry:                                             \
    csrr    t0, mcause;                                 \
    slli    t0, t0, 8;                                  \
    srli    t0, t0, 8;                                  \
    li      t1, EVENT_TRAP << EVENT_SHIFT;              \
    or      t0, t0, t1;                                 \
    li      t2, SYSTEM_BASE + SYSTEM_EVENT;             \
    sw      t0, 0(t2);                                  \
    li      t0, EVENT_TEST << EVENT_SHIFT | 0xFFFFFF;   \
    sw      t0, 0(t2);                                  \
1:  j       1b;                                         \
test_entry:

#endif
