"""Job descriptors as hardware sees them."""

from amaranth.hdl import Shape
from amaranth.lib import data

from ..isa import JOB_FIELDS, JOB_WORDS, Opcode

__all__ = ["JOB_LAYOUTS"]


def _layout(opcode: Opcode) -> data.FlexibleLayout:
    fields = {
        name: data.Field(Shape(field.bits, field.signed), 32 * field.word + field.low)
        for name, field in JOB_FIELDS[opcode].items()
    }
    return data.FlexibleLayout(32 * JOB_WORDS, fields)


#: By opcode: the same bits, word 0 lowest, under the names of `cimarron.isa.JOB_FIELDS`.
JOB_LAYOUTS: dict[Opcode, data.FlexibleLayout] = {opcode: _layout(opcode) for opcode in Opcode}
