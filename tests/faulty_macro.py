"""Macros with a self-test of which any cell or adder node can be stuck."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any
from unittest.mock import patch

import cimarron.macro.carry_save as carry_save
import cimarron.macro.ripple as ripple
from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cimarron.config import ADDERS, MacroConfig
from cimarron.macro.array import BitCellArray
from cimarron.macro.back_ends import BACK_ENDS
from cimarron.macro.self_test import FailureLayout, SelfTestedMacro
from cimarron.macro.storage import STORAGE

__all__ = ["Fault", "FaultyMacros"]


@dataclass(frozen=True)
class Fault:
    """One bit of a node that is stuck.

    Parameters
    ----------
    adder : str
        The macro with this back-end has it.
    kind : {"cell", "tree", "counter"}
        Which part it is in; the counter adds up the ones in a plane.
    node : str
    bit : int
        Of the node.
    value : int
        0 or 1.
    column : int
        Column of the array that it belongs to; -1 for the counter.
    """

    adder: str
    kind: str
    node: str
    bit: int
    value: int
    column: int


class FaultyMacros(wiring.Component):
    """A `SelfTestedMacro` with each adder, in one of which fault ``fault``, counted from 1, is present; 0 is none.

    ``adder`` is the index in `ADDERS` of the macro behind the other pins. A node is a bit cell, or an output of a half
    adder: half of a full one, its sum, its carry. Carry chains are taken apart into such adders.

    Attributes
    ----------
    faults : list of Fault
    cycles : int
        Those of a test of a good macro. Both are known once it is elaborated.
    """

    def __init__(self, config: MacroConfig):
        self.config = config
        self.faults: list[Fault] = []
        self.cycles = 0
        self._select = Signal(16)
        super().__init__(
            {
                "fault": In(16),
                "adder": In(range(len(ADDERS))),
                "test_start": In(1),
                "test_done": Out(1),
                "test_march_failed": Out(1),
                "test_compute_failed": Out(1),
                "test_failure": Out(FailureLayout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self._select.eq(self.fault)
        outputs = ("test_done", "test_march_failed", "test_compute_failed", "test_failure")
        for index, adder in enumerate(ADDERS):
            tested = SelfTestedMacro(replace(self.config, adder=adder))
            m.submodules[adder] = tested
            self.cycles = tested.cycles
            with m.If(self.adder == index):
                m.d.comb += tested.test_start.eq(self.test_start)
                m.d.comb += [getattr(self, name).eq(getattr(tested, name)) for name in outputs]
        return m

    def as_dicts(self) -> list[dict[str, Any]]:
        """The faults, for a file."""
        return [asdict(fault) for fault in self.faults]

    @contextmanager
    def present(self) -> Iterator[None]:
        """Elaborate it inside of this."""
        tree: list[Any] = []
        columns = self.config.words * self.config.planes_per_cycle

        def stuck(m: Module, value: Value, adder: str, kind: str, node: str, column: Callable[[int], int]) -> Signal:
            bits = []
            for bit in range(len(value)):
                at_0 = len(self.faults) + 1
                self.faults += [Fault(adder, kind, node, bit, level, column(bit)) for level in (0, 1)]
                bits.append((value[bit] & (self._select != at_0)) | (self._select == at_0 + 1))
            result = Signal(len(value), name=f"{node}_stuck")
            m.d.comb += result.eq(Cat(bits))
            return result

        def node(m: Module, value: Value, name: str, word: int | None = None) -> Signal:
            """A node of the tree at hand: a plane of all words, or a bit of one."""
            if tree[-1].words != columns:
                return stuck(m, value, tree[-1].name, "counter", name, lambda bit: -1)
            return stuck(
                m, value, tree[-1].name, "tree", name, lambda bit: (bit if word is None else word) % self.config.words
            )

        def reduce_planes(m: Module, reduction, planes: list[Value], prefix: str = "") -> list[Value]:
            planes = list(planes)
            for adder in reduction.adders:
                a, b, *late = (planes[plane] for plane in adder.inputs)
                half = node(m, a ^ b, f"{prefix}half_{adder.sum}")
                if late:
                    total = node(m, half ^ late[0], f"{prefix}sum_{adder.sum}")
                    carry = node(m, (a & b) | (half & late[0]), f"{prefix}carry_{adder.sum}")
                else:
                    total, carry = half, node(m, a & b, f"{prefix}carry_{adder.sum}")
                planes += [total, carry]
            return [planes[plane] for plane in reduction.outputs]

        def add_numbers(m: Module, a: Value, b: Value, bits: int, name: str) -> Signal:
            word = int(name.split("_")[1])
            carry: Value | None = None
            total = Signal(bits, name=name)
            for bit in range(bits):
                operands: list[Any] = [number[bit] for number in (a, b) if bit < len(number)] + (
                    [] if carry is None else [carry]
                )
                carry = None
                if len(operands) == 3:
                    half = node(m, operands[0] ^ operands[1], f"{name}_half_{bit}", word)
                    out = node(m, half ^ operands[2], f"{name}_sum_{bit}", word)
                    carries = (operands[0] & operands[1]) | (half & operands[2])
                elif len(operands) == 2:
                    out = node(m, operands[0] ^ operands[1], f"{name}_sum_{bit}", word)
                    carries = operands[0] & operands[1]
                else:
                    out, carries = operands[0], None
                m.d.comb += total[bit].eq(out)
                if carries is not None and bit + 1 < bits:
                    carry = node(m, carries, f"{name}_carry_{bit}", word)
            return total

        def traced(adder: str, kind: type) -> type:
            class Traced(kind):
                name = adder

                def elaborate(self, platform):
                    tree.append(self)
                    return super().elaborate(platform)

            return Traced

        words = self.config.words

        class FaultyArray(BitCellArray):
            def cells(self, m: Module, name: str, write: Value) -> Signal:
                return stuck(m, super().cells(m, name, write), self.config.adder, "cell", name, lambda bit: bit % words)

        with (
            patch.object(carry_save, "reduce_planes", reduce_planes),
            patch.object(ripple, "reduce_planes", reduce_planes),
            patch.object(ripple, "add_numbers", add_numbers),
            patch.dict(BACK_ENDS, {name: traced(name, kind) for name, kind in BACK_ENDS.items()}),
            patch.dict(STORAGE, {"flip_flops": FaultyArray}),
        ):
            yield
