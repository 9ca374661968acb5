/* First instructions of the small system: the stack lies where the firmware's will. */
#include "isa.h"

    .section .text.start, "ax"
    .global _start
_start:
    li      sp, RAM_BASE + MAILBOX_OFFSET
    /* After an instruction that the core cannot execute, the firmware is there and wants to know. */
    li      t0, SYSTEM_BASE + SYSTEM_TRAPPED
    lw      t0, 0(t0)
    bnez    t0, 2f
1:  call    bring_firmware
    beqz    a0, 1b
2:  li      t0, RAM_BASE
    jr      t0
