"""Parameters of the macro, the engine and the system, with everything derived from them.

Standard library only: software that never builds hardware reads the same objects.
"""

import dataclasses
import hashlib
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = [
    "ADDERS",
    "CPUS",
    "ConfigError",
    "ENGINES",
    "EngineConfig",
    "MacroConfig",
    "PRESETS",
    "STORAGE_TARGETS",
    "SocConfig",
    "TARGETS",
    "load_config",
]

#: Back-ends of the adder tree, and what they can be chosen for; `docs/adders.md` has the measurements.
ADDERS = ("carry_save", "ripple", "counters")
TARGETS = ("asic", "ice40", "ecp5", "gowin")

#: What bit cells can be made of, and for which targets; `docs/macro.md` has the measurements.
STORAGE_TARGETS = {
    "flip_flops": TARGETS,
    "latches": ("asic",),
    "lut_ram": ("ecp5", "gowin"),
    "block_ram": ("ice40", "ecp5", "gowin"),
}


#: What controls the macro: a core beside an engine in gates, or a small core whose firmware is the engine.
CPUS = ("vexriscv", "picorv32")
ENGINES = ("gates", "software")

#: What two single-port blocks of an iCE40 UltraPlus hold: there, each of the two banks of memory of a system without an
#: engine in gates, one for firmware and program, one for activations and partial sums.
BANK_BYTES = 65536


class ConfigError(ValueError):
    """A parameter, or a combination of parameters, that cannot be built."""


def _check_int(owner: str, name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{owner}.{name} must be an integer from {low} to {high}, not {value!r}")


def _check_bool(owner: str, name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"{owner}.{name} must be True or False, not {value!r}")


def _check_power_of_two(owner: str, name: str, value: int) -> None:
    if value & (value - 1):
        raise ConfigError(f"{owner}.{name} must be a power of two, not {value}")


def _check_choice(owner: str, name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{owner}.{name} must be {', '.join(choices[:-1])} or {choices[-1]}, not {value!r}")


@dataclass(frozen=True, kw_only=True)
class MacroConfig:
    """Geometry of one compute-in-memory macro.

    Parameters
    ----------
    rows : int
        Inputs of one operation, 2 to 1024.
    words : int
        Columns of cells; each holds one ``cell_bits``-wide weight per row. Neighbouring columns fuse
        into wider weights at run time.
    cell_bits : int
        Bits of one column's weight: 1, 2 or 4.
    weight_sets : int
        Complete weight matrices in the array; idle ones are written while one computes.
    max_weight_bits : int
        Widest fused weight: ``cell_bits`` times a power of two, at most 16.
    max_act_bits : int
        Widest activation, 1 to 16.
    planes_per_cycle : int
        Bit planes that go through the array side by side: 1 is bit-serial; 2, 4 or 8 need as many adder trees.
    row_groups : int
        Blocks of ``rows / row_groups`` neighbouring rows that share an adder tree in turn.
    plane_skipping : bool
        Whether planes that contribute nothing are left out, at the price of a shifter per accumulator.
    pipeline : int
        Registers inside the adder trees, 0 to 4: each shortens the path through them and is a cycle of latency.
    bitwise : bool
        Whether there are AND, XOR and XNOR with a count of ones, at the price of counters beside the accumulators.
    best_match : bool
        Whether the word nearest to the input of an XOR is found; needs ``bitwise``.
    carryless : bool
        Whether there are products over GF(2), at the price of parity trees if cells are wider than a bit.
    transposed : bool
        Whether there are products with the transposed weights, at the price of one adder tree across the columns.
    adder : str
        Back-end of the adder trees: one of `ADDERS`, or ``auto``, by target and cell bits. All give the same bits.
    target : str
        What the macro is built for, one of `TARGETS`.
    write_bits : int
        Width of the write port: 0 for a whole row, or a divisor of ``words * cell_bits`` and a multiple of
        ``cell_bits``, for a row in beats.
    storage : str
        What the bit cells are made of, a key of `STORAGE_TARGETS`. All behave alike, but that ``block_ram`` takes a
        cycle to read. ``lut_ram`` and ``block_ram`` hold ``row_groups * weight_sets`` rows, at least 4, in each memory.
    gating : bool
        Whether column groups that an operation does not use, and blocks of rows without a one, stand still.
    double_pumped : bool
        Whether half of the planes of a cycle go through the array in each half of it, so that half the products and
        adder trees do: for FPGAs, where the clock is slow and look-up tables are dear. Needs an even number of planes
        per cycle and a clock domain ``fast`` of twice the frequency; changes no cycle.
    self_test : bool
        Whether the macro comes with a controller that tests its cells and adders.
    """

    rows: int = 64
    words: int = 32
    cell_bits: int = 4
    weight_sets: int = 2
    max_weight_bits: int = 8
    max_act_bits: int = 8
    planes_per_cycle: int = 1
    row_groups: int = 1
    plane_skipping: bool = False
    pipeline: int = 0
    bitwise: bool = False
    best_match: bool = False
    carryless: bool = False
    transposed: bool = False
    adder: str = "auto"
    target: str = "asic"
    write_bits: int = 0
    storage: str = "flip_flops"
    gating: bool = True
    double_pumped: bool = False
    self_test: bool = False

    def __post_init__(self) -> None:
        _check_choice("macro", "adder", self.adder, ("auto", *ADDERS))
        _check_choice("macro", "target", self.target, TARGETS)
        _check_int("macro", "rows", self.rows, 2, 1024)
        _check_int("macro", "words", self.words, 1, 1024)
        _check_int("macro", "weight_sets", self.weight_sets, 1, 16)
        _check_int("macro", "max_act_bits", self.max_act_bits, 1, 16)
        if type(self.cell_bits) is not int or self.cell_bits not in (1, 2, 4):
            raise ConfigError(f"macro.cell_bits must be 1, 2 or 4, not {self.cell_bits!r}")
        _check_int("macro", "max_weight_bits", self.max_weight_bits, self.cell_bits, 16)
        _check_power_of_two("macro", "max_weight_bits", self.max_weight_bits)
        if self.words % self.group_words:
            raise ConfigError(
                f"macro.words must be divisible by {self.group_words} (= max_weight_bits"
                f" {self.max_weight_bits} / cell_bits {self.cell_bits}), not {self.words}"
            )
        for name in ("bitwise", "best_match", "carryless", "transposed", "gating", "double_pumped", "self_test"):
            _check_bool("macro", name, getattr(self, name))
        if self.best_match and not self.bitwise:
            raise ConfigError(
                "macro.best_match compares the distances that macro.bitwise counts, so bitwise must be True"
            )
        self._check_dial()
        self._check_storage()

    def _check_dial(self) -> None:
        planes = self.planes_per_cycle
        _check_int("macro", "planes_per_cycle", planes, 1, 8)
        _check_power_of_two("macro", "planes_per_cycle", planes)
        if planes > 1 and planes // 2 >= self.max_act_bits:
            raise ConfigError(
                f"macro.planes_per_cycle must be at most {planes // 2}, which already takes the {self.max_act_bits}"
                f" planes of max_act_bits in one cycle, not {planes}"
            )
        _check_int("macro", "row_groups", self.row_groups, 1, 64)
        if self.rows % self.row_groups:
            blocks, left = divmod(self.rows, self.row_groups)
            raise ConfigError(
                f"macro.row_groups must divide rows {self.rows}, not {self.row_groups}:"
                f" {self.rows} = {blocks} * {self.row_groups} + {left}"
            )
        _check_bool("macro", "plane_skipping", self.plane_skipping)
        _check_int("macro", "pipeline", self.pipeline, 0, 4)
        if self.double_pumped and planes == 1:
            raise ConfigError("macro.double_pumped halves the planes of a cycle, so planes_per_cycle must not be 1")
        if self.double_pumped and self.beyond_mac:
            raise ConfigError(
                "macro.double_pumped is for the multiply-accumulate alone, so bitwise, carryless and transposed must be"
                " False"
            )
        levels = self.pipeline + 1
        if self.pipeline and self.group_rows < 2**levels:
            raise ConfigError(
                f"macro.pipeline {self.pipeline} cuts the adder trees into {levels} levels, which needs at least"
                f" {2**levels} rows in a row group (= 2**{levels}), not {self.group_rows}"
                f" (= rows {self.rows} / row_groups {self.row_groups})"
            )

    def _check_storage(self) -> None:
        _check_int("macro", "write_bits", self.write_bits, 0, self.row_bits)
        if self.write_bits and (self.row_bits % self.write_bits or self.write_bits % self.cell_bits):
            raise ConfigError(
                f"macro.write_bits must divide the {self.row_bits} bits of a row (= {self.words} words of"
                f" {self.cell_bits} b) and hold whole columns of {self.cell_bits} b, not {self.write_bits}"
            )
        _check_choice("macro", "storage", self.storage, tuple(STORAGE_TARGETS))
        targets = STORAGE_TARGETS[self.storage]
        if self.target not in targets:
            raise ConfigError(f"macro.storage {self.storage} needs target {' or '.join(targets)}, not {self.target}")
        depth = self.row_groups * self.weight_sets
        if self.storage in ("lut_ram", "block_ram") and depth < 4:
            raise ConfigError(
                f"macro.storage {self.storage} needs memories of at least 4 rows each, not {depth}"
                f" (= row_groups {self.row_groups} x weight_sets {self.weight_sets})"
            )

    @property
    def read_cycles(self) -> int:
        """Cycles that the storage takes to read."""
        return int(self.storage == "block_ram")

    @property
    def group_words(self) -> int:
        """Columns that fuse into one weight of ``max_weight_bits``."""
        return self.max_weight_bits // self.cell_bits

    @property
    def groups(self) -> int:
        """Column groups: outputs of one operation at ``max_weight_bits``."""
        return self.words // self.group_words

    @property
    def row_bits(self) -> int:
        """Stored bits of one row of one weight set."""
        return self.words * self.cell_bits

    @property
    def beat_bits(self) -> int:
        """Bits of a row that are written in one cycle."""
        return self.write_bits or self.row_bits

    @property
    def write_beats(self) -> int:
        """Cycles that a row takes to write."""
        return self.row_bits // self.beat_bits

    @property
    def set_bits(self) -> int:
        """Stored bits of one weight set."""
        return self.rows * self.row_bits

    @property
    def weight_widths(self) -> tuple[int, ...]:
        """Weight widths an operation may use, narrowest first."""
        widths = [self.cell_bits]
        while widths[-1] < self.max_weight_bits:
            widths.append(2 * widths[-1])
        return tuple(widths)

    @property
    def group_rows(self) -> int:
        """Rows that go through the adder tree together."""
        return self.rows // self.row_groups

    @property
    def block_rows(self) -> int:
        """Neighbouring rows of a row group that go over to other cells together: all of them without gating."""
        return min(8, self.group_rows) if self.gating else self.group_rows

    @property
    def row_blocks(self) -> int:
        """Blocks of ``block_rows`` rows in a row group; the last one may be smaller."""
        return -(-self.group_rows // self.block_rows)

    @property
    def line_sets(self) -> int:
        """Word lines that a row has per plane: one, or one for either set where a look-up table takes both with their
        cells. Then no signal that says which set it is has to reach every cell."""
        plain = not (self.gating or self.bitwise or self.transposed or self.double_pumped)
        fits = self.target != "asic" and self.storage == "flip_flops" and self.row_groups == 1
        return 2 if plain and fits and self.weight_sets == 2 else 1

    @property
    def planes_at_once(self) -> int:
        """Planes that are in the array at the same time."""
        return self.planes_per_cycle // 2 if self.double_pumped else self.planes_per_cycle

    @property
    def plane_groups(self) -> int:
        """Groups of ``planes_per_cycle`` planes that the widest activation has; the top one may be padded."""
        return -(-self.max_act_bits // self.planes_per_cycle)

    @property
    def accumulator_places(self) -> int:
        """Places that sums are added at: 1, Horner's rule, unless planes may be missing."""
        return self.plane_groups if self.plane_skipping else 1

    def operation_cycles(self, act_bits: int) -> int:
        """Cycles for which an operation of ``act_bits`` occupies the array; the most, if planes are skipped."""
        return -(-act_bits // self.planes_per_cycle) * self.row_groups

    def transposed_cycles(self, act_bits: int) -> int:
        """Cycles for which a product with the transposed weights occupies the array: it reads row after row."""
        return -(-act_bits // self.planes_per_cycle) * self.rows

    @property
    def beyond_mac(self) -> bool:
        """Whether there is any operation but the multiply-accumulate, so that operations must say what they are."""
        return self.bitwise or self.carryless or self.transposed

    @property
    def vector_words(self) -> int:
        """Numbers in an input vector: one per row, or as many as outputs if that is more and they can be inputs."""
        return max(self.rows, self.words) if self.transposed else self.rows

    @property
    def result_words(self) -> int:
        """Numbers in a result: one per column, or as many as rows if that is more and they can be outputs."""
        return max(self.rows, self.words) if self.transposed else self.words

    @property
    def distance_bits(self) -> int:
        """Bits of a number of ones among the bits of a word in all rows: 0 to ``rows * max_weight_bits``.

        It fits a result, since ``max_weight_bits`` is not above ``2**max_weight_bits - 1``.
        """
        return (self.rows * self.max_weight_bits).bit_length()

    @property
    def carryless_bits(self) -> int:
        """Bits of a carry-less product: ``max_act_bits + max_weight_bits - 1``; sums over GF(2) are not longer.

        It fits a result: the largest factors in two rows add up to no less than ``2**carryless_bits``.
        """
        return self.max_act_bits + self.max_weight_bits - 1

    @property
    def count_bits(self) -> int:
        """Bits of the number of ones in a plane of one row group: 0 to ``group_rows``."""
        return self.group_rows.bit_length()

    @property
    def column_bits(self) -> int:
        """Bits of one column's unsigned sum for one plane and row group: 0 to ``group_rows * (2**cell_bits - 1)``."""
        return (self.group_rows * (2**self.cell_bits - 1)).bit_length()

    def adder_for(self, bits: int) -> str:
        """Back-end that adds numbers of ``bits`` each.

        ``auto`` takes what was smallest without storage (`docs/adders.md`): in gates, on iCE40 and on Gowin after
        synthesis, where narrow numbers go through counters and wider ones take the FPGAs' carry chains. On ECP5,
        narrow ones do likewise; of wider ones, carry-save was smallest and fastest once routed, where the way into a
        chain takes cells of its own, though counters are smaller after synthesis, and chains with storage.
        """
        if self.adder != "auto":
            return self.adder
        if self.target == "asic":
            return "carry_save"
        if bits < 3:
            return "counters"
        return "carry_save" if self.target == "ecp5" else "ripple"

    def result_bits_for(self, weight_bits: int) -> int:
        """Bits of a signed result for weights of ``weight_bits``.

        The largest magnitude is unsigned times unsigned, ``rows * (2**a - 1) * (2**w - 1)`` for
        activations of a = ``max_act_bits``; every signed combination is smaller. One more bit is the sign.
        """
        return (self.rows * (2**self.max_act_bits - 1) * (2**weight_bits - 1)).bit_length() + 1

    @property
    def result_bits(self) -> int:
        """Bits of a signed result at ``max_weight_bits``: never wraps (see `result_bits_for`).

        Products with the transposed weights add as many terms as there are outputs, which may be more than rows.
        """
        terms = max(self.rows, self.groups) if self.transposed else self.rows
        return (terms * (2**self.max_act_bits - 1) * (2**self.max_weight_bits - 1)).bit_length() + 1

    @property
    def input_sum_bits(self) -> int:
        """Bits of the signed sum of the inputs: magnitude at most ``vector_words * (2**max_act_bits - 1)``."""
        return (self.vector_words * (2**self.max_act_bits - 1)).bit_length() + 1

    def outputs(self, weight_bits: int) -> int:
        """Outputs of one operation with weights of ``weight_bits``."""
        return self.row_bits // weight_bits


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """The macro and everything that feeds and drains it.

    Parameters
    ----------
    macro : MacroConfig
        Two planes per cycle unless said otherwise: an operation of 8 bits takes as long as its vector through the
        buffer's port and its results through the lanes.
    act_buffer_bytes : int
        Activation buffer, a power of two, 256 B to 1 MiB.
    act_port_bytes : int
        Bytes the buffer reads and writes per cycle, at any alignment; a power of two, 4 to 64.
    weight_port_bits : int
        Width of the memory port that weights and inputs stream through: a power of two, 32 to 512,
        that divides ``macro.row_bits`` or is a multiple of it.
    psum_entries : int
        Partial sums of 32 bits kept while a layer goes through its row tiles; a power of two.
    lanes : int
        Results accumulated and requantised per cycle: a power of two, at most ``act_port_bytes / 4``.
    queue_jobs : int
        Jobs that wait in the command queue, 2 to 16.
    """

    macro: MacroConfig = field(default_factory=lambda: MacroConfig(planes_per_cycle=2))
    act_buffer_bytes: int = 65536
    act_port_bytes: int = 16
    weight_port_bits: int = 128
    psum_entries: int = 8192
    lanes: int = 4
    queue_jobs: int = 4

    def __post_init__(self) -> None:
        if not isinstance(self.macro, MacroConfig):
            raise ConfigError(f"engine.macro must be a MacroConfig, not {self.macro!r}")
        for name, low, high in (
            ("act_buffer_bytes", 256, 2**20),
            ("act_port_bytes", 4, 64),
            ("weight_port_bits", 32, 512),
            ("psum_entries", 16, 2**20),
            ("lanes", 1, 16),
        ):
            _check_int("engine", name, getattr(self, name), low, high)
            _check_power_of_two("engine", name, getattr(self, name))
        _check_int("engine", "queue_jobs", self.queue_jobs, 2, 16)
        macro = self.macro
        if macro.max_act_bits > 8:
            raise ConfigError(f"engine.macro.max_act_bits must be at most 8 (a byte), not {macro.max_act_bits}")
        if macro.rows % self.act_port_bytes:
            raise ConfigError(
                f"engine.macro.rows must be a multiple of act_port_bytes {self.act_port_bytes}, not {macro.rows}"
            )
        if macro.row_bits % self.weight_port_bits and self.weight_port_bits % macro.row_bits:
            raise ConfigError(
                f"engine.weight_port_bits {self.weight_port_bits} must divide, or be a multiple of, the"
                f" {macro.row_bits} bits of a row (= {macro.words} words of {macro.cell_bits} b)"
            )
        if macro.beat_bits not in (macro.row_bits, self.weight_port_bits):
            raise ConfigError(
                f"engine.macro.write_bits must be 0, for the {macro.row_bits} bits of a row, or weight_port_bits"
                f" {self.weight_port_bits}, not {macro.write_bits}"
            )
        if self.lanes * 4 > self.act_port_bytes:
            raise ConfigError(
                f"engine.lanes {self.lanes} x 4 bytes of int32 must fit act_port_bytes {self.act_port_bytes}"
            )
        if macro.groups % self.lanes:
            raise ConfigError(f"engine.lanes {self.lanes} must divide the macro's {macro.groups} column groups")
        if self.weight_port_bits // 8 < self.act_port_bytes:
            raise ConfigError(
                f"engine.weight_port_bits {self.weight_port_bits} must be at least act_port_bytes"
                f" {self.act_port_bytes} x 8"
            )

    @property
    def port_bytes(self) -> int:
        """Bytes per beat of the memory port."""
        return self.weight_port_bits // 8

    @property
    def row_beats(self) -> int:
        """Memory beats per row of weights: a row narrower than the port still takes one."""
        return max(1, self.macro.row_bits // self.weight_port_bits)

    @property
    def param_beats(self) -> int:
        """Memory beats per requantisation record of 16 bytes."""
        return max(1, 128 // self.weight_port_bits)

    @property
    def act_addr_bits(self) -> int:
        """Bits of a byte address in the activation buffer."""
        return (self.act_buffer_bytes - 1).bit_length()

    @property
    def hash(self) -> int:
        """First 32 bits of the SHA-256 of the parameters: what a program image is compiled for."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


@dataclass(frozen=True, kw_only=True)
class SocConfig:
    """The RISC-V system around one engine.

    Parameters
    ----------
    engine : EngineConfig
        In software, the same parameters describe what the firmware does: the same programs run.
    cpu : str
        One of `CPUS`: ``picorv32`` if the engine is software, else ``vexriscv``.
    engine_in : str
        One of `ENGINES`: whether jobs are executed by gates, or by firmware that drives the macro. In software,
        ``weight_port_bits`` is 32, and activations and partial sums share a bank of memory, see `bank_bytes`.
    ram_bytes : int
        Main memory, a power of two, 64 KiB to 16 MiB.
    clock_hz : int
        Frequency the UART divides and reports convert cycles with, in hertz.
    uart_baud : int
        Baud rate after reset, in bits per second.
    """

    engine: EngineConfig = field(default_factory=EngineConfig)
    cpu: str = "vexriscv"
    engine_in: str = "gates"
    ram_bytes: int = 1024 * 1024
    clock_hz: int = 50_000_000
    uart_baud: int = 115_200

    def __post_init__(self) -> None:
        if not isinstance(self.engine, EngineConfig):
            raise ConfigError(f"soc.engine must be an EngineConfig, not {self.engine!r}")
        _check_choice("soc", "cpu", self.cpu, CPUS)
        _check_choice("soc", "engine_in", self.engine_in, ENGINES)
        _check_int("soc", "ram_bytes", self.ram_bytes, 64 * 1024, 16 * 2**20)
        _check_power_of_two("soc", "ram_bytes", self.ram_bytes)
        _check_int("soc", "clock_hz", self.clock_hz, 1_000_000, 2_000_000_000)
        _check_int("soc", "uart_baud", self.uart_baud, 1_200, 12_000_000)
        if self.clock_hz // self.uart_baud < 4:
            raise ConfigError(
                f"soc.uart_baud {self.uart_baud} needs at least 4 clock cycles per bit;"
                f" clock_hz {self.clock_hz} gives {self.clock_hz // self.uart_baud}"
            )
        wanted = "picorv32" if self.engine_in == "software" else "vexriscv"
        if self.cpu != wanted:
            raise ConfigError(f"soc.engine_in {self.engine_in} needs cpu {wanted}, not {self.cpu}")
        if self.engine_in == "software":
            self._check_software()

    def _check_software(self) -> None:
        """What the firmware that takes the engine's place can work with."""
        engine, macro = self.engine, self.engine.macro
        if engine.weight_port_bits != 32:
            raise ConfigError(
                f"soc.engine.weight_port_bits must be 32, the core's word, if the engine is software,"
                f" not {engine.weight_port_bits}"
            )
        if macro.beat_bits > 32:
            raise ConfigError(
                f"soc.engine.macro.write_bits must be 32 if the engine is software and a row has {macro.row_bits} bits"
            )
        if macro.rows % 8:
            raise ConfigError(
                f"soc.engine.macro.rows must be a multiple of the 8 activations of one instruction if the engine is"
                f" software, not {macro.rows}"
            )
        # Only an UltraPlus is large enough among the iCE40, and its large blocks are the only memory of that size.
        if macro.target == "ice40":
            self._check_blocks("ram_bytes", self.ram_bytes)
            self._check_blocks(
                f"engine.act_buffer_bytes {engine.act_buffer_bytes} + psum_entries {engine.psum_entries} x 4 bytes",
                self.bank_bytes,
            )

    @staticmethod
    def _check_blocks(what: str, size: int) -> None:
        if size > BANK_BYTES:
            raise ConfigError(
                f"soc.{what} must fit the {BANK_BYTES} bytes of a bank if the engine is software and the target ice40,"
                f" not take {size}"
            )

    @property
    def bank_bytes(self) -> int:
        """Bytes of the memory for activations and partial sums if the engine is software, a power of two.

        The smallest that holds ``act_buffer_bytes`` and ``psum_entries`` x 4 bytes.
        """
        used = self.engine.act_buffer_bytes + 4 * self.engine.psum_entries
        return 1 << (used - 1).bit_length()


_TINY = EngineConfig(
    macro=MacroConfig(rows=16, words=8), act_buffer_bytes=4096, act_port_bytes=4, weight_port_bits=32,
    psum_entries=256, lanes=1, queue_jobs=2,
)  # fmt: skip

_SMALL = EngineConfig(
    macro=MacroConfig(rows=16, words=8, gating=False, target="ecp5"), act_buffer_bytes=4096, act_port_bytes=4,
    weight_port_bits=32, psum_entries=256, lanes=1, queue_jobs=2,
)  # fmt: skip

#: Fits an LFE5U-85F.
_LARGE = EngineConfig(macro=MacroConfig(words=16, adder="ripple", pipeline=1, gating=False, target="ecp5"))

#: Fits an iCE40UP5K beside PicoRV32; the cells lie in block RAM, 8 rows multiply at a time.
_ICEBREAKER = EngineConfig(
    macro=MacroConfig(rows=16, words=4, row_groups=2, storage="block_ram", target="ice40", gating=False),
    act_buffer_bytes=32768, act_port_bytes=4, weight_port_bits=32, psum_entries=8192, lanes=1, queue_jobs=2,
)  # fmt: skip

#: Fits a GW2AR-18 beside PicoRV32; 16 rows multiply at a time.
_TANG_NANO = EngineConfig(
    macro=MacroConfig(
        rows=64, words=16, row_groups=4, storage="lut_ram", write_bits=32, target="gowin", gating=False
    ),
    act_buffer_bytes=8192, act_port_bytes=4, weight_port_bits=32, psum_entries=2048, lanes=1, queue_jobs=2,
)  # fmt: skip

#: Named configurations: ``default`` is what documentation and benches speak of, ``tiny`` simulates fastest,
#: ``cells256`` has the 256 x 256 bit cells that published macros use. The others fit the boards of `cimarron.board`
#: that they are named after.
PRESETS: dict[str, SocConfig] = {
    "default": SocConfig(),
    "tiny": SocConfig(engine=_TINY, ram_bytes=128 * 1024),
    "cells256": SocConfig(engine=EngineConfig(macro=MacroConfig(rows=256, words=64), weight_port_bits=256)),
    "ulx3s": SocConfig(engine=_LARGE, ram_bytes=256 * 1024, clock_hz=50_000_000),
    "ecpix5": SocConfig(engine=_LARGE, ram_bytes=256 * 1024, clock_hz=75_000_000),
    "icepi_zero": SocConfig(engine=_SMALL, ram_bytes=64 * 1024, clock_hz=50_000_000),
    "tang_nano_20k": SocConfig(
        engine=_TANG_NANO, cpu="picorv32", engine_in="software", ram_bytes=64 * 1024, clock_hz=81_000_000
    ),
    "icebreaker": SocConfig(
        engine=_ICEBREAKER, cpu="picorv32", engine_in="software", ram_bytes=BANK_BYTES, clock_hz=21_000_000
    ),
}


def _build(cls: type, owner: str, table: dict[str, Any]) -> Any:
    known = {f.name for f in dataclasses.fields(cls)}
    nested = {"engine": EngineConfig, "macro": MacroConfig}
    for name in table:
        if name not in known:
            raise ConfigError(f"{owner} has no parameter {name!r}; it has {', '.join(sorted(known))}")
    values = {}
    for name, value in table.items():
        if name in nested:
            if not isinstance(value, dict):
                raise ConfigError(f"{owner}.{name} must be a table, not {value!r}")
            value = _build(nested[name], f"{owner}.{name}", value)
        values[name] = value
    return cls(**values)


def load_config(name: str) -> SocConfig:
    """A preset by name, or a TOML file with the tables ``[engine]`` and ``[engine.macro]``.

    Raises
    ------
    ConfigError
        If there is no such preset or file, or the file does not describe a buildable system.
    """
    if name in PRESETS:
        return PRESETS[name]
    path = Path(name)
    if not path.is_file():
        raise ConfigError(f"{name!r} is neither a preset ({', '.join(PRESETS)}) nor a configuration file")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name} is not a TOML file: {error}") from None
    return _build(SocConfig, "soc", table)
