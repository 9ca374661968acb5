/* Reset entry of the small core. It has no traps: what it cannot execute makes it start again, and says so. */
#include "isa.h"

    .section .text.start, "ax"
    .global _start
_start:
    la      sp, _stack_top
    li      t0, SYSTEM_BASE + SYSTEM_TRAPPED
    lw      t1, 0(t0)
    bnez    t1, 3f
    la      t0, _bss_start
    la      t1, _bss_end
1:  bgeu    t0, t1, 2f
    sw      zero, 0(t0)
    addi    t0, t0, 4
    j       1b
2:  call    boot
    j       serve

    /* Nobody knows what it was, nor where. */
3:  sw      zero, 0(t0)
    li      a0, -1
    li      a1, -1
    call    trap
    j       serve
