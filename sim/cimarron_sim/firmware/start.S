/* Reset and trap entry. Interrupts stay off: the firmware polls. */

    .section .text.start, "ax"
    .global _start
_start:
    la      sp, _stack_top
    la      t0, trap_entry
    csrw    mtvec, t0
    csrw    mie, zero
    /* Bit 31 enables custom-0; the same register masks interrupts. The core needs two instructions to follow. */
    li      t0, 0x80000000
    csrw    0xBC0, t0
    nop
    nop
    la      t0, _bss_start
    la      t1, _bss_end
1:  bgeu    t0, t1, 2f
    sw      zero, 0(t0)
    addi    t0, t0, 4
    j       1b
2:  call    boot
    j       serve

    /* Nothing to return to after a trap: report it on a fresh stack, then serve the next command. */
    .balign 4
trap_entry:
    la      sp, _stack_top
    csrr    a0, mcause
    csrr    a1, mepc
    call    trap
    j       serve
