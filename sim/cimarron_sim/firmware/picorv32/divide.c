/* Division, which the small core does not have: the compiler calls these by name. */
#include <stdint.h>

__attribute__((used)) uint32_t __udivsi3(uint32_t a, uint32_t b);
__attribute__((used)) uint32_t __umodsi3(uint32_t a, uint32_t b);
__attribute__((used)) int32_t __divsi3(int32_t a, int32_t b);
__attribute__((used)) int32_t __modsi3(int32_t a, int32_t b);

/* The quotient replaces the dividend bit by bit; by 0 it is all ones, as the instruction's. */
static uint64_t divide(uint32_t a, uint32_t b) {
    uint32_t rest = 0;
    for (uint32_t i = 0; i < 32; i++) {
        uint32_t carry = rest >> 31;
        rest = rest << 1 | a >> 31;
        a <<= 1;
        if (carry || rest >= b) {
            rest -= b;
            a |= 1;
        }
    }
    return (uint64_t)rest << 32 | a;
}

static uint32_t magnitude(int32_t a) { return a < 0 ? 0u - (uint32_t)a : (uint32_t)a; }

uint32_t __udivsi3(uint32_t a, uint32_t b) { return (uint32_t)divide(a, b); }

uint32_t __umodsi3(uint32_t a, uint32_t b) { return (uint32_t)(divide(a, b) >> 32); }

int32_t __divsi3(int32_t a, int32_t b) {
    uint32_t quotient = (uint32_t)divide(magnitude(a), magnitude(b));
    return (int32_t)((a < 0) != (b < 0) ? 0u - quotient : quotient);
}

int32_t __modsi3(int32_t a, int32_t b) {
    uint32_t rest = (uint32_t)(divide(magnitude(a), magnitude(b)) >> 32);
    return (int32_t)(a < 0 ? 0u - rest : rest);
}
