"""What a bench needs to talk to the macro, and to know what it must answer."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from amaranth.lib import data
from cimarron.config import MacroConfig
from cimarron.macro.ports import Operation, OperationLayout, ResultLayout, WriteLayout
from cimarron_sim.reference.bitwise import best_match, bit_counts
from cimarron_sim.reference.carryless import carryless_products
from cimarron_sim.reference.macro import dot_products
from numpy.typing import NDArray

__all__ = [
    "MacroModel",
    "MacroScoreboard",
    "Result",
    "declared_latency",
    "occupied_cycles",
    "operation_payload",
    "operations_of",
    "pack_row",
    "random_integers",
    "row_payloads",
    "unpack_fields",
]


def _bounds(bits: int, signed: bool) -> tuple[int, int]:
    return (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)


def random_integers(
    rng: np.random.Generator, bits: int, signed: bool, shape: int | tuple[int, ...]
) -> NDArray[np.int64]:
    """Integers over the whole range of a format, int64 array of the given shape."""
    return rng.integers(*_bounds(bits, signed), size=shape)


def _signed(value: int, bits: int, signed: bool) -> int:
    return value - (1 << bits) if signed and value >> bits - 1 else value


def unpack_fields(layout: data.StructLayout, payload: int) -> dict[str, int]:
    """Unsigned bits of every field of a payload, by name."""
    return {str(name): payload >> field.offset & (1 << field.width) - 1 for name, field in layout}


def _elements(value: int, bits: int, count: int, signed: bool) -> list[int]:
    """Numbers that lie side by side."""
    return [_signed(value >> index * bits & (1 << bits) - 1, bits, signed) for index in range(count)]


def pack_row(weights: Sequence[int] | NDArray[np.int64], bits: int) -> int:
    """A row of weights as the write port takes it: output j in bits ``j * bits`` and up."""
    return sum((int(weight) & (1 << bits) - 1) << column * bits for column, weight in enumerate(weights))


def row_payloads(
    config: MacroConfig, weight_set: int, row: int, bits: int, signed: bool, weights: Sequence[int] | NDArray[np.int64]
) -> list[int]:
    """Payloads of `WriteLayout`, one per beat: one row of integer weights."""
    packed = pack_row(weights, bits)
    payloads = []
    for beat in range(config.write_beats):
        fields = {
            "set": weight_set,
            "row": row,
            "width": config.weight_widths.index(bits),
            "signed": signed,
            **({"beat": beat} if config.write_beats > 1 else {}),
            "data": packed >> beat * config.beat_bits & (1 << config.beat_bits) - 1,
        }
        payloads.append(WriteLayout(config).const(fields).as_bits())
    return payloads


def operations_of(config: MacroConfig) -> list[Operation]:
    """What a macro can do."""
    operations = [Operation.MAC]
    operations += [Operation.AND, Operation.XOR, Operation.XNOR] if config.bitwise else []
    operations += [Operation.CARRYLESS] if config.carryless else []
    operations += [Operation.TRANSPOSED] if config.transposed else []
    return operations


def operation_payload(
    config: MacroConfig,
    weight_set: int,
    x: Sequence[int] | NDArray[np.int64],
    bits: int,
    signed: bool,
    operation: int = Operation.MAC,
    idle: int = 0,
) -> int:
    """Payload of `OperationLayout`: a vector of integers; ``idle`` counts only with gating."""
    mask = (1 << config.max_act_bits) - 1
    fields = {"x": [int(value) & mask for value in x], "bits": bits, "signed": signed, "set": weight_set}
    if config.beyond_mac:
        fields["operation"] = int(operation)
    if config.gating:
        fields["idle"] = idle
    return OperationLayout(config).const(fields).as_bits()


def declared_latency(config: MacroConfig) -> int:
    """Cycles from an operation of one cycle to its result: the datasheet's figure."""
    return 4 + config.pipeline + (config.storage == "block_ram")


def occupied_cycles(
    config: MacroConfig, x: NDArray[np.int64], bits: int, signed: bool, operation: Operation = Operation.MAC
) -> int:
    """Cycles of an operation, from the meaning of the numbers instead of from their planes.

    Parameters
    ----------
    config : MacroConfig
    x : int64 array, shape (rows,)
        Activations, in the range of the format.
    bits, signed : int, bool
        The format.
    operation : Operation
    """
    step = config.planes_per_cycle
    if operation is Operation.TRANSPOSED:
        return math.ceil(bits / step) * config.rows
    if operation is not Operation.MAC:
        # Strings of bits have no sign.
        x, signed = x[: config.rows] & (1 << bits) - 1, False
    if not config.plane_skipping or operation in (Operation.XOR, Operation.XNOR):
        return math.ceil(bits / step) * config.row_groups
    cycles = 0
    for block in np.split(x[: config.rows], config.row_groups):
        # n groups of planes reach from -2**(n * step - 1) to 2**(n * step - 1) - 1 in two's complement.
        groups = next(
            n
            for n in range(1, bits + 1)
            if block.max() < 2 ** (n * step - signed) and (not signed or block.min() >= -(2 ** (n * step - 1)))
        )
        cycles += sum(any(int(value) >> n * step & 2**step - 1 for value in block) for n in range(groups))
    return max(1, cycles)


@dataclass(frozen=True)
class Result:
    """One result, and the index and the distance of the nearest word if there is such."""

    y: tuple[int, ...]
    input_sum: int
    error: bool
    best: tuple[int, int] | None = field(default=None, compare=False)


@dataclass
class _Set:
    bits: int = 0
    signed: bool = False
    beats: dict[tuple[int, int], int] = field(default_factory=dict)


class MacroModel:
    """Answers what the macro must answer, from the payloads seen on its pins.

    Rows that were not written since their set's format last changed may only meet activations of 0.
    """

    def __init__(self, config: MacroConfig):
        self.config = config
        self.sets = [_Set(bits=config.cell_bits) for _ in range(config.weight_sets)]
        self._columns = np.zeros(config.words, np.int64)

    def write(self, payload: int) -> bool:
        """Take a row of weights.

        Returns
        -------
        bool
            Whether the row, the set, the beat and the width exist.
        """
        config = self.config
        write = unpack_fields(WriteLayout(config), payload)
        weight_set, row, beat, width = write["set"], write["row"], write.get("beat", 0), write["width"]
        if weight_set >= config.weight_sets or row >= config.rows or width >= len(config.weight_widths):
            return False
        if beat >= config.write_beats:
            return False
        bits, signed = config.weight_widths[width], bool(write["signed"])
        if (self.sets[weight_set].bits, self.sets[weight_set].signed) != (bits, signed):
            self.sets[weight_set] = _Set(bits, signed)
        self.sets[weight_set].beats[row, beat] = write["data"]
        return True

    def _row(self, weight_set: int, row: int) -> list[int]:
        """Weights of a row.

        Raises
        ------
        KeyError
            If a beat of it was not written since the set's format last changed.
        """
        config, weights = self.config, self.sets[weight_set]
        parts = [weights.beats[row, beat] << beat * config.beat_bits for beat in range(config.write_beats)]
        return _elements(sum(parts), weights.bits, config.outputs(weights.bits), weights.signed)

    def operate(self, payload: int) -> Result:
        """Result of an operation.

        Raises
        ------
        ValueError
            If an activation other than 0 meets a row that holds no weights: the bench asks for nonsense.
        """
        config = self.config
        operation = unpack_fields(OperationLayout(config), payload)
        bits, weight_set = operation["bits"], operation["set"]
        code = operation.get("operation", Operation.MAC)
        if (
            not 1 <= bits <= config.max_act_bits
            or weight_set >= config.weight_sets
            or code not in operations_of(config)
        ):
            self._columns[:] = 0
            return Result((0,) * config.result_words, 0, True)
        code = Operation(code)
        is_signed = bool(operation["signed"]) and code in (Operation.MAC, Operation.TRANSPOSED)
        raw = _elements(operation["x"], config.max_act_bits, config.vector_words, False)
        x = np.array([_signed(value & (1 << bits) - 1, bits, is_signed) for value in raw])
        weights = self.sets[weight_set]
        outputs = config.outputs(weights.bits)
        x = x[: outputs if code is Operation.TRANSPOSED else config.rows]
        matrix = np.zeros((config.rows, outputs), np.int64)
        needed = (
            np.flatnonzero(x) if code in (Operation.MAC, Operation.AND, Operation.CARRYLESS) else range(config.rows)
        )
        for row in map(int, needed):
            try:
                matrix[row] = self._row(weight_set, row)
            except KeyError:
                raise ValueError(
                    f"{code.name} needs row {row} of set {weight_set}, never written in this format"
                ) from None
        y = np.zeros(config.result_words, np.int64)
        if code is Operation.TRANSPOSED:
            y[: config.rows] = dot_products(x, matrix.T)
            return Result(tuple(y.tolist()), int(x.sum()), False)
        if code is Operation.MAC:
            results = dot_products(x, matrix)
        elif code is Operation.CARRYLESS:
            results = carryless_products(x, matrix & (1 << weights.bits) - 1)
        else:
            results = bit_counts(code.name.lower(), x, matrix, min(bits, weights.bits))
        y[: config.words : config.words // outputs] = results
        used = [not operation.get("idle", 0) >> column // config.group_words & 1 for column in range(config.words)]
        y[: config.words] = self._columns = np.where(used, y[: config.words], self._columns)
        best = None
        if config.best_match and code is Operation.XOR and any(used):
            rivals = np.where(used[:: config.words // outputs], results, np.iinfo(np.int64).max)
            best = best_match(rivals)
        return Result(tuple(y.tolist()), int(x.sum()), False, best)


class MacroScoreboard:
    """Compares every result with what the model expects, in order."""

    def __init__(self, config: MacroConfig):
        self.config = config
        self.model = MacroModel(config)
        self.expected: deque[Result] = deque()
        self.expected_best: deque[tuple[int, int]] = deque()
        self.compared = 0

    def operation(self, payload: int) -> None:
        """An operation was taken."""
        self.expected.append(self.model.operate(payload))

    def result(self, payload: int) -> None:
        """A result was handed over.

        Raises
        ------
        AssertionError
            If it differs from the oldest one expected, or none is.
        """
        config = self.config
        got = unpack_fields(ResultLayout(config), payload)
        y = _elements(got["y"], config.result_bits, config.result_words, True)
        input_sum = _signed(got["input_sum"], config.input_sum_bits, True)
        result = Result(tuple(y), input_sum, bool(got["error"]))
        assert self.expected, f"result {self.compared} came without an operation: {result}"
        want = self.expected.popleft()
        assert result == want, f"result {self.compared}:\n  expected {want}\n  got      {result}"
        self.compared += 1
        if want.best is not None:
            self.expected_best.append(want.best)

    def best(self, index: int, distance: int) -> None:
        """A best match was announced.

        Raises
        ------
        AssertionError
            If it differs from that of the oldest result that still wants one, or none does.
        """
        assert self.expected_best, f"best match {index} at {distance} came without a result"
        want = self.expected_best.popleft()
        assert (index, distance) == want, f"best match: expected {want}, got {(index, distance)}"

    def finish(self, operations: int) -> None:
        """Every one of ``operations`` must have been answered.

        Raises
        ------
        AssertionError
            If results are missing.
        """
        assert not self.expected, f"{len(self.expected)} results are missing"
        assert not self.expected_best, f"{len(self.expected_best)} best matches are missing"
        assert self.compared == operations, f"{self.compared} results were compared, not {operations}"
