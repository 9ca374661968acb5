"""Which of an operation's steps comes next."""

from collections.abc import Sequence
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Signal, Value

__all__ = ["NextStep"]


def _highest(bits: Value) -> Value:
    """The highest bit that is 1, alone: what is above each bit is known after as many levels as the width has bits."""
    above, distance = bits >> 1, 1
    while distance < len(above):
        above, distance = above | above >> distance, 2 * distance
    return bits & ~above


def _one_of(chosen: Value, values: Sequence[Value]) -> Value:
    """The value whose bit is the only 1 in ``chosen``, or 0 if there is none: a balanced tree."""
    terms = [value & bit.replicate(len(value)) for bit, value in zip(chosen, values, strict=True)]
    while len(terms) > 1:
        terms = [reduce(or_, terms[pair : pair + 2]) for pair in range(0, len(terms), 2)]
    return terms[0]


class NextStep:
    """The highest of the steps that are pending, and what belongs to it.

    Step s is row group ``s % row_groups`` of place ``s // row_groups``. Of every place, the next row group is known
    while the highest place is still looked for, so that row groups take little time. Combinational.

    Parameters
    ----------
    m : Module
        What is needed is added to it.
    pending : Value
        Bit s is 1 if step s is to come.
    row_groups : int
    name : str
        Of the signals.

    Attributes
    ----------
    step, place : Signal
        The bit of the next step, and of its place, alone; 0 if nothing is pending.
    """

    def __init__(self, m: Module, pending: Value, row_groups: int, *, name: str = "next"):
        self.row_groups = row_groups
        of_places = [pending[first : first + row_groups] for first in range(0, len(pending), row_groups)]
        self.place = Signal(len(of_places), name=f"{name}_place")
        self.step = Signal(len(pending), name=f"{name}_step")
        self._groups = [Signal(len(own), name=f"{name}_row_group_of_{place}") for place, own in enumerate(of_places)]
        m.d.comb += [
            *(group.eq(_highest(own)) for group, own in zip(self._groups, of_places, strict=True)),
            self.place.eq(_highest(Cat(own.any() for own in of_places))),
            self.step.eq(
                Cat(group & bit.replicate(len(group)) for group, bit in zip(self._groups, self.place, strict=True))
            ),
        ]

    def of_places(self, values: Sequence[Value]) -> Value:
        """The next step's of one value per place, 0 if nothing is pending."""
        return _one_of(self.place, values)

    def of_steps(self, values: Sequence[Value]) -> Value:
        """The next step's of one value per step, 0 if nothing is pending."""
        firsts = range(0, len(values), self.row_groups)
        return self.of_places(
            [
                _one_of(group, values[first : first + self.row_groups])
                for group, first in zip(self._groups, firsts, strict=True)
            ]
        )

    def number_of_place(self, bits: int) -> Value:
        """The next step's place, as a number of so many bits."""
        return self.of_places([Const(place, bits) for place in range(len(self.place))])

    def number_of_row_group(self, bits: int) -> Value:
        """The next step's row group, as a number of so many bits."""
        return self.of_steps([Const(step % self.row_groups, bits) for step in range(len(self.step))])
