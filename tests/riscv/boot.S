/* Uses both memories of the small system, and then an instruction that it does not have: see tb_boot.py. */
#include "isa.h"

    .macro announce event, register
    slli    t0, \register, 8
    srli    t0, t0, 8
    li      t1, \event << EVENT_SHIFT
    or      t0, t0, t1
    li      t2, SYSTEM_BASE + SYSTEM_EVENT
    sw      t0, 0(t2)
    .endm

    .section .text.start, "ax"
    .global _start
_start:
    li      s0, SYSTEM_BASE + SYSTEM_TRAPPED
    lw      s1, 0(s0)
    bnez    s1, again
    li      s2, RAM_BASE + 0xFFF0
    li      a0, 0x11223412
    sw      a0, 0(s2)
    li      a0, 0x56
    sb      a0, 2(s2)
    lw      a1, 0(s2)
    announce EVENT_STEP, a1
    li      s3, ENGINE_BASE + ACT_WINDOW + 0xFFFC
    sw      zero, 0(s3)
    li      a0, 0x7856
    sh      a0, 0(s3)
    lw      a1, 0(s3)
    announce EVENT_STEP, a1
    .word   0
again:
    sw      zero, 0(s0)
    announce EVENT_TRAP, s1
    lw      s1, 0(s0)
    announce EVENT_TEST, s1
1:  j       1b
