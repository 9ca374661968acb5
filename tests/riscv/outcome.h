/* How a program of riscv-tests says what came of it, whatever core it runs on. */
#ifndef CIMARRON_OUTCOME_H
#define CIMARRON_OUTCOME_H

#include "isa.h"

#define RVTEST_RV32U
#define TESTNUM x28

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
