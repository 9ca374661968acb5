/* From a sum of 32 bits to a byte, in both rounding profiles; every step as isa.py and the reference have it. */
#include "engine_state.h"

/* To the nearest multiple of 2**places, half to even; places is 1 to 63. */
static uint64_t round_even(uint64_t value, uint32_t places) {
    if (value >> 32 == 0 && places < 32) {
        uint32_t low = (uint32_t)value, quotient = low >> places, rest = low - (quotient << places);
        uint32_t half = 1u << (places - 1);
        return quotient + (rest > half || (rest == half && quotient & 1));
    }
    uint64_t quotient = value >> places, rest = value - (quotient << places), half = (uint64_t)1 << (places - 1);
    return quotient + (rest > half || (rest == half && quotient & 1));
}

static uint32_t bit_length(uint64_t value) {
    uint32_t word = (uint32_t)(value >> 32), bits = 0;
    if (word) {
        bits = 32;
    } else {
        word = (uint32_t)value;
    }
    for (uint32_t half = 16; half; half >>= 1) {
        if (word >> half) {
            word >>= half;
            bits += half;
        }
    }
    return bits + (word != 0);
}

/* To the 24 bits of a float's mantissa. */
static uint64_t to_float(uint64_t value, int32_t *exponent) {
    if (value < 1u << 24) {
        return value;
    }
    uint32_t bits = bit_length(value);
    *exponent += (int32_t)bits - 24;
    return round_even(value, bits - 24);
}

/* rint(float32(acc) * float32(mantissa * 2**exponent)); what no byte can hold may be any value beyond them. */
static int64_t scale_onnx(int32_t acc, uint32_t mantissa, int32_t exponent) {
    uint64_t value = to_float(acc < 0 ? 0u - (uint32_t)acc : (uint32_t)acc, &exponent);
    value = to_float(value * mantissa, &exponent);
    if (exponent > 0) {
        value = value ? value << (exponent < 31 ? exponent : 31) : 0;
    } else if (exponent < 0) {
        value = exponent > -32 ? round_even(value, (uint32_t)-exponent) : 0;
    }
    return acc < 0 ? -(int64_t)value : (int64_t)value;
}

/* gemmlowp: doubling high multiply, ties away from zero, then division by a power of two, ties away from zero. */
static int64_t scale_tflm(int32_t acc, uint32_t multiplier, int32_t shift) {
    uint32_t left = shift > 0 ? (uint32_t)shift : 0, right = shift < 0 ? (uint32_t)-shift : 0;
    int64_t product = (int64_t)(int32_t)((uint32_t)acc << left) * multiplier;
    int32_t high = product >= 0 ? (int32_t)((product + (1 << 30)) >> 31) : -(int32_t)(((1 << 30) - 1 - product) >> 31);
    if (right == 0) {
        return high;
    }
    uint32_t mask = (uint32_t)(((uint64_t)1 << right) - 1);
    return (int64_t)(high >> right) + (((uint32_t)high & mask) > (mask >> 1) + (high < 0));
}

static int32_t bound(uint32_t bits, bool is_signed) { return is_signed ? (int8_t)bits : (int32_t)bits; }

uint32_t requantise(const uint32_t *job, int32_t acc, uint32_t multiplier, int32_t shift) {
    bool is_signed = MAC_OUT_FORMAT(job) == OUT_INT8;
    int64_t value = MAC_PROFILE(job) == PROFILE_ONNX ? scale_onnx(acc, multiplier, shift)
                                                     : scale_tflm(acc, multiplier, shift);
    int32_t low = bound(MAC_CLAMP_MIN(job), is_signed), high = bound(MAC_CLAMP_MAX(job), is_signed);
    value += bound(MAC_OUT_ZERO_POINT(job), is_signed);
    /* As a minimum of a maximum: the upper bound holds where they contradict each other. */
    value = value < low ? low : value;
    value = value > high ? high : value;
    return (uint32_t)value & 0xFF;
}
