"""Requantiser: from 32-bit accumulators to 8-bit outputs."""

from amaranth.hdl import Cat, Const, Elaboratable, EnableInserter, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..isa import Profile
from .multiplier import Multiplier

__all__ = ["Requantiser"]


def _negate_if(condition: Value, value: Value) -> Value:
    """Two's complement of ``value``, as wide as it is, or ``value``: one carry chain."""
    return ((value ^ condition.replicate(len(value))) + condition)[: len(value)]


class Requantiser(wiring.Component):
    """Scale an accumulator to 8 bits, exactly as TensorFlow Lite for Microcontrollers or ONNX Runtime.

    One value per cycle; the output belongs to the inputs of ``latency`` enabled cycles before. Everything that
    describes a value enters with it, so values of different layers may follow one another.

    Both profiles are a multiplication of magnitudes between two rounded shifts, and share the shifters, the multiplier
    and the adders that round:

    ========  =============================  ================================  ===========================
    profile   left shift                     product rounded to                right shift rounds half
    ========  =============================  ================================  ===========================
    ``TFLM``  by ``shift``, wraps as int32   its bits from 31 up, half up      away from zero
    ``ONNX``  normalises, then to 24 bits,   24 significant bits, half to      to even
              half to even                   even
    ========  =============================  ================================  ===========================

    The ONNX column is float32 arithmetic on normalised numbers: what would be denormal, or overflow to infinity, is
    far below one half or far beyond any clamp.

    Members
    -------
    enable : In(1)
        The pipeline advances.
    acc : In(signed(32))
        Accumulator, bias included.
    multiplier : In(32)
        TFLM: 0 to 2**31 - 1. ONNX: 24-bit mantissa of the scale with its leading one, or 0.
    shift : In(signed(8))
        TFLM: -31 to 30, left if positive. ONNX: exponent, ``scale = multiplier * 2**shift``.
    profile : In(1)
        `cimarron.isa.Profile`.
    out_unsigned : In(1)
        The output format is uint8, otherwise int8.
    zero_point, clamp_min, clamp_max : In(8)
        Raw bits in the output's format; ``clamp_min <= clamp_max``. The zero point is added without overflow.
    value : Out(8)
        Result, raw bits in the output's format.
    """

    _align_cycles = 3
    _round_cycles = 3
    latency = _align_cycles + Multiplier.latency + _round_cycles

    enable: In(1)
    acc: In(signed(32))
    multiplier: In(32)
    shift: In(signed(8))
    profile: In(1)
    out_unsigned: In(1)
    zero_point: In(8)
    clamp_min: In(8)
    clamp_max: In(8)
    value: Out(8)

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        m.submodules.multiply = multiplier = Multiplier()

        def delay(value: Value, cycles: int = 1) -> Value:
            for _ in range(cycles):
                stage = Signal.like(value, name="stage", reset_less=True)
                m.d.sync += stage.eq(value)
                value = stage
            return value

        # The number of each stage is the age of its values in cycles; profile_1 is the profile of acc one cycle later.
        onnx = self.profile == Profile.ONNX
        onnx_1 = delay(onnx)
        onnx_2 = delay(onnx_1)
        onnx_5 = delay(onnx_2, 1 + Multiplier.latency)
        onnx_7 = delay(onnx_5, 2)
        shift_5 = delay(self.shift, self._align_cycles + Multiplier.latency)

        # Stage 1: a float is sign and magnitude before it is normalised; TFLM shifts, and wraps, two's complement.
        negative_2 = delay(self.acc[31], 2)
        operand_1 = delay(_negate_if(onnx & self.acc[31], self.acc))
        left_1 = delay(Mux(self.shift > 0, self.shift[:5], 0))
        left_2 = delay(left_1)

        # Stages 2 and 3: each step shifts by a power of two, if the amount says so or that many leading bits are 0.
        def shift_left(value: Value, left: Value, normalise: Value, bit: int) -> tuple[Value, Value]:
            step = Mux(normalise, ~value[32 - (1 << bit) :].any(), left[bit])
            return Mux(step, value << (1 << bit), value)[:32], step

        value, step_4 = shift_left(operand_1, left_1, onnx_1, 4)
        value, step_3 = shift_left(value, left_1, onnx_1, 3)
        value, step_2 = shift_left(value, left_1, onnx_1, 2)
        high_steps = delay(Cat(step_2, step_3, step_4))
        value, step_1 = shift_left(delay(value), left_2, onnx_2, 1)
        value, step_0 = shift_left(value, left_2, onnx_2, 0)
        zeros_5 = delay(Cat(step_0, step_1, high_steps), 1 + Multiplier.latency)

        mantissa_up = value[7] & (value[8] | value[:7].any())
        negative_3 = delay(Mux(onnx_2, negative_2, value[31]))
        negative_5 = delay(negative_3, Multiplier.latency)
        factor = Mux(onnx_2, value[8:], value ^ value[31].replicate(32)) + Mux(onnx_2, mantissa_up, value[31])
        m.d.comb += [
            multiplier.a.eq(delay(factor[:32])),
            multiplier.b.eq(delay(self.multiplier, self._align_cycles)),
        ]

        # Stage 6: a product of two 24-bit mantissas has 47 or 48 bits. A magnitude rounds half up, which is half down
        # if it is negative.
        product = multiplier.product
        long = product[47]
        high = product[31:63]
        high_up = product[30] & (~negative_5 | product[:30].any())
        mantissa = Mux(long, product[24:48], product[23:47])
        half = Mux(long, product[23], product[22])
        mantissa_up = half & (mantissa[0] | product[:22].any() | long & product[22])
        rounded_6 = delay((Mux(onnx_5, mantissa, high) + Mux(onnx_5, mantissa_up, high_up))[:32])

        # The exponents of acc, normalised to its upper 24 of 32 bits, and of the product, which lost 23 or 24 bits, add
        # up to 31 + long - zeros. A left shift saturates as it is: the mantissa has 24 bits.
        right = Mux(onnx_5, zeros_5 - 31 - long, 0) - shift_5
        right_6 = delay(Mux(right < 0, 0, Mux(right > 31, 31, right))[:5])

        # Stage 7: one bit below the point stays, and whether any bit below that was set.
        value, lost = Cat(Const(0, 1), rounded_6), Const(0, 1)
        for bit in range(5):
            lost |= right_6[bit] & value[: 1 << bit].any()
            value = Mux(right_6[bit], value >> (1 << bit), value)
        value_7, lost_7, negative_7 = delay(value), delay(lost), delay(negative_5, 2)

        # Stage 8: 511 is beyond every clamp, whatever the zero point. As -(a + 1) is ~a, rounding up and negating take
        # no adder of their own: they become the complement and the carry of the zero point's.
        quotient = value_7[1:]
        up = value_7[0] & (~onnx_7 | lost_7 | quotient[0])
        saturated = Cat(Mux(quotient[9:].any(), 511, quotient[:9]), Const(0, 1))
        scaled = (saturated ^ negative_7.replicate(10)).as_signed()

        unsigned_7 = delay(self.out_unsigned, self.latency - 1)

        def number(raw: Value) -> Value:
            raw = delay(raw, self.latency - 1)
            return Cat(raw, raw[7] & ~unsigned_7).as_signed()

        low, high = number(self.clamp_min), number(self.clamp_max)
        total = scaled + number(self.zero_point) + (up ^ negative_7)
        m.d.sync += self.value.eq(Mux(total < low, low, Mux(total > high, high, total)))

        return EnableInserter(self.enable)(m)
