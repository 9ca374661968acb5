# amaranth: UnusedElaboratable=no
"""How many faults in the macro's netlist a bench sees: an automatic mutation campaign.

Run as ``python bench/mutation.py``; prints one line per mutant that survived and writes
``build/bench/mutation_mac.json``. With ``--macro operations``, the macro has all operations beyond multiply-accumulate.

Yosys puts faults into the netlist of a small macro, one at a time and as many into each unit: a cell's input or output
inverted, stuck, or taken from elsewhere. Each mutant meets a script of random writes and operations (``mutation.v``, in
Icarus), whose answers the numpy model of the benches has computed. For a mutant that survives, ABC looks for an input
sequence that tells it from the original: either there is none, and the mutant is equivalent, or the bench has a hole.
"""

import argparse
import json
import re
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from amaranth.back import rtlil
from amaranth.hdl import Value
from amaranth.lib.wiring import In
from cimarron.config import MacroConfig
from cimarron.macro.best_match import BestMatch
from cimarron.macro.macro import Macro
from cimarron.macro.ports import BestLayout, Operation, OperationLayout, ResultLayout, WriteLayout
from cimarron_sim.runner.tools import ToolError, quiet_run, require
from cimarron_sim.runner.yosys import Verdict, check_assertions, run_yosys

ROOT = Path(__file__).parents[1]
WORK = Path("build/mutation")
OUTPUT = Path("build/bench")

BURST_LENGTH = 12


@dataclass(frozen=True)
class Subject:
    """A macro to mutate.

    Parameters
    ----------
    config : MacroConfig
    units : dict of str to tuple of str
        Parts of the macro, and what the names of their cells contain once the netlist is flat.
    held : int, optional
        Operations of one plane that find a place while no answer is taken: as many as there are stages, if none.
    """

    config: MacroConfig
    units: dict[str, tuple[str, ...]]
    held: int | None = None


_PARTS = {
    "input driver": ("*driver.*",),
    "write port": ("*write_port.*",),
    "array": ("*array.*",),
    "trees": ("*tree.*", "*counter.*"),
    "accumulators": ("*column_?.*", "*input_sum.*"),
}

SUBJECTS = {
    # Two cell widths deep, three formats wide, a row, a set and a width too few for their fields.
    "mac": Subject(
        MacroConfig(rows=3, words=4, cell_bits=2, max_weight_bits=8, max_act_bits=3, weight_sets=3),
        _PARTS,
    ),
    # The same with more outputs than rows and two column groups.
    "operations": Subject(
        MacroConfig(
            rows=3, words=8, cell_bits=2, max_weight_bits=8, max_act_bits=3, weight_sets=3,
            bitwise=True, best_match=True, carryless=True, transposed=True,
        ),
        {
            "word lines": ("*word_lines.*",),
            "array": ("*array.*",),
            "counters": ("*counter.*",),
            "carry-less products": ("*carryless.*", "*parity_tree.*"),
            "transposed products": ("*row_driver.*", "*row_product.*"),
            "best match": ("*best_match.*",),
        },
    ),
    # The dial: two planes per cycle, rows that take turns, planes that are skipped, trees in two levels.
    "dial": Subject(
        MacroConfig(
            rows=10, words=4, cell_bits=2, max_weight_bits=8, max_act_bits=5, weight_sets=3,
            planes_per_cycle=2, row_groups=2, plane_skipping=True, pipeline=1,
        ),
        _PARTS,
        held=4,
    ),
}  # fmt: skip

#: Everything else: in the first macro fusion, the registers of the pipeline and the handshake.
REST = "rest"


@dataclass(frozen=True)
class Mutant:
    """One fault and what became of it.

    Parameters
    ----------
    number : int
        Value of the netlist's input ``mutant`` that switches the fault on.
    fault : str
        What Yosys changed: mode, cell, port, bit.
    unit : str
        Where, of the subject's units.
    outcome : str
        ``caught``, ``equivalent``, ``survived``, or ``undecided`` if ABC ran out of time.
    detail : str
        What the bench said.
    """

    number: int
    fault: str
    unit: str
    outcome: str
    detail: str


class Script:
    """Writes and operations in the order in which they are offered, and what the model answers.

    Attributes
    ----------
    items, results, bests : list of int
        Words for the bench; see ``mutation.v``.
    planes, dropped : int
        Bit planes that go through the array, and writes that do not exist.
    """

    def __init__(self, config: MacroConfig, seed: int):
        sys.path.insert(0, str(ROOT / "tb"))
        from tblib.macro import MacroModel, occupied_cycles, operations_of

        self.config = config
        self.cycles = occupied_cycles
        self.codes = operations_of(config)
        self.rng = np.random.default_rng(seed)
        self.model = MacroModel(config)
        self.items: list[int] = []
        self.results: list[int] = []
        self.bests: list[int] = []
        self.planes = self.dropped = 0

    def _item(self, payload: int, weight_set: int, operation: bool) -> None:
        self.items.append(payload << 10 | weight_set << 2 | (weight_set < self.config.weight_sets) << 1 | operation)

    def write(self, **fields: int) -> None:
        """Offer a row of weights, existing or not."""
        payload = WriteLayout(self.config).const(fields).as_bits()
        self._item(payload, fields["set"], False)
        self.dropped += not self.model.write(payload)

    def fill(self, weight_set: int, bits: int, signed: bool) -> None:
        """Offer a weight matrix: of the extremes, or random."""
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        extremes = self.rng.integers(3) == 0
        # In any order: a write that also reaches the last row must not be repaired by what follows.
        for row in self.rng.permutation(self.config.rows).tolist():
            count = self.config.outputs(bits)
            drawn = self.rng.choice([low, high], count) if extremes else self.rng.integers(low, high + 1, count)
            packed = sum((int(value) & (1 << bits) - 1) << place * bits for place, value in enumerate(drawn))
            width = self.config.weight_widths.index(bits)
            self.write(set=weight_set, row=row, width=width, signed=int(signed), data=packed)

    def operate(self, weight_set: int, bits: int, signed: bool, code: int = Operation.MAC) -> None:
        """Offer an operation on random numbers, possible or not."""
        x = self.rng.integers(0, 1 << self.config.max_act_bits, self.config.vector_words)
        if self.rng.integers(4) == 0:
            x[:] = self.rng.choice([1 << max(bits - 1, 0), (1 << self.config.max_act_bits) - 1])
        idle = int(self.rng.integers(1 << self.config.groups)) if self.rng.integers(3) == 0 else 0
        self._operation(x, weight_set, bits, signed, code, idle)

    def _operation(self, x: np.ndarray, weight_set: int, bits: int, signed: bool, code: int, idle: int) -> None:
        fields = {"x": x.tolist(), "bits": bits, "signed": int(signed), "set": weight_set, "idle": idle}
        if self.config.beyond_mac:
            fields["operation"] = int(code)
        layout = ResultLayout(self.config)
        payload = OperationLayout(self.config).const(fields).as_bits()
        self._item(payload, weight_set, True)
        result = self.model.operate(payload)
        answer = {"y": list(result.y), "input_sum": result.input_sum, "error": int(result.error)}
        self.results.append((result.best is not None) << layout.size | layout.const(answer).as_bits())
        if result.best is not None:
            index, distance = result.best
            best = {"valid": 1, "index": index, "distance": distance}
            self.bests.append(BestLayout(self.config).const(best).as_bits())
        if not result.error:
            numbers = x & (1 << bits) - 1
            numbers -= (numbers >> bits - 1 << bits) * signed
            self.planes += self.cycles(self.config, numbers, bits, signed, Operation(code))

    def search_far(self) -> None:
        """Searches whose nearest word is at any distance: all words are equal, and random ones are rarely far."""
        config, bits = self.config, self.config.max_act_bits
        for width, weight_bits in enumerate(config.weight_widths):
            for row in range(config.rows):
                self.write(set=0, row=row, width=width, signed=0, data=(1 << config.row_bits) - 1)
            for far in range(config.rows + 1):
                x = np.zeros(config.vector_words, np.int64)
                x[far:] = (1 << bits) - 1
                self._operation(x, 0, bits, False, Operation.XOR, 0)
                self._operation(x, 0, min(bits, weight_bits), False, Operation.XOR, 0)

    def search_each(self) -> None:
        """Searches that each word wins by far: of random ones, few find the words behind the first."""
        config = self.config
        for width, weight_bits in enumerate(config.weight_widths):
            for nearest in range(config.outputs(weight_bits)):
                data = ((1 << config.row_bits) - 1) & ~((1 << weight_bits) - 1 << nearest * weight_bits)
                for row in range(config.rows):
                    self.write(set=0, row=row, width=width, signed=0, data=data)
                self._operation(np.zeros(config.vector_words, np.int64), 0, 1, False, Operation.XOR, 0)

    def beyond(self, field: str, first: int) -> int:
        """A value of a field of a write, ``first`` or above, that the macro does not have."""
        end = 1 << WriteLayout(self.config)[field].width
        return first if end - first == 1 else int(self.rng.integers(first, end))

    def any_code(self) -> int:
        """An operation that the macro has."""
        return int(self.rng.choice(self.codes)) if len(self.codes) > 1 else Operation.MAC

    def random_traffic(self, items: int) -> None:
        """Every format, rewritten sets, requests that do not exist."""
        for _ in range(items):
            choice = self.rng.integers(10)
            weight_set = int(self.rng.integers(self.config.weight_sets))
            if choice == 0:
                self.fill(weight_set, int(self.rng.choice(self.config.weight_widths)), bool(self.rng.integers(2)))
            elif choice == 1:
                broken = [
                    (self.beyond("set", self.config.weight_sets), 0, 0),
                    (0, self.beyond("row", self.config.rows), 0),
                    (0, 0, self.beyond("width", len(self.config.weight_widths))),
                ]
                target, row, width = broken[self.rng.integers(3)]
                data = int(self.rng.integers(1 << self.config.row_bits))
                self.write(set=target, row=row, width=width, signed=int(self.rng.integers(2)), data=data)
            elif choice == 2:
                broken = [(weight_set, 0, self.any_code()), (self.config.weight_sets, 2, self.any_code())]
                if self.config.beyond_mac:
                    broken.append((weight_set, 2, int(self.rng.choice([6, 7]))))
                target, bits, code = broken[self.rng.integers(len(broken))]
                self.operate(target, bits, bool(self.rng.integers(2)), code)
            else:
                act_bits = int(self.rng.integers(1, self.config.max_act_bits + 1))
                self.operate(weight_set, act_bits, bool(self.rng.integers(2)), self.any_code())


def write_script(subject: Subject, seed: int) -> dict[str, int]:
    """Write the bench's memories; returns its parameters."""
    config = subject.config
    script = Script(config, seed)
    for weight_set in range(config.weight_sets):
        script.fill(weight_set, config.weight_widths[weight_set % len(config.weight_widths)], True)
    script.random_traffic(300)
    burst, planes = len(script.items), script.planes
    for index in range(BURST_LENGTH):
        code = script.codes[index % len(script.codes)]
        script.operate(index % config.weight_sets, 1 + index % config.max_act_bits, bool(index % 2), code)
    latency = Macro(config).latency
    burst_cycles = latency + script.planes - planes - 1
    held = latency if subject.held is None else subject.held
    for index in range(held):
        script.operate(index % config.weight_sets, 1, False)
    longest = config.max_act_bits * (config.rows if config.transposed else config.row_groups)
    if config.best_match:
        script.search_far()
        script.search_each()
    script.random_traffic(300)
    for name, words in (("items", script.items), ("results", script.results), ("bests", script.bests)):
        (WORK / f"{name}.hex").write_text("".join(f"{word:x}\n" for word in words), encoding="utf-8")
    write_bits, operation_bits = WriteLayout(config).size, OperationLayout(config).size
    return {
        "WRITE_BITS": write_bits,
        "OPERATION_BITS": operation_bits,
        "RESULT_BITS": ResultLayout(config).size,
        "BEST_BITS": BestLayout(config).size,
        "BEST_LATENCY": BestMatch(config).latency,
        "SETS": config.weight_sets,
        "ITEM_BITS": max(write_bits, operation_bits),
        "ITEMS": len(script.items),
        "RESULTS": len(script.results),
        "BESTS": len(script.bests),
        "PLANES": script.planes,
        "DROPPED": script.dropped,
        "BURST": burst,
        "BURST_LENGTH": BURST_LENGTH,
        "BURST_CYCLES": burst_cycles,
        "STAGES": held,
        "PATIENCE": latency + longest + 1,
    }


def write_mutants(subject: Subject, count: int, seed: int) -> list[tuple[str, str]]:
    """Write one netlist with all mutants, as RTLIL and as Verilog; returns the unit and what each changes."""
    design = rtlil.convert(Macro(subject.config), name="macro", emit_src=False)
    (WORK / "macro.il").write_text(design, encoding="utf-8")
    prepare = "read_rtlil macro.il\nprep -flatten -top macro\nopt -full\n"
    selections = {unit: " ".join(f"c:{pattern}" for pattern in patterns) for unit, patterns in subject.units.items()}
    selections[REST] = " ".join(["*", *(f"{selection} %d" for selection in " ".join(selections.values()).split())])
    lists = "".join(
        f"mutate -list {count // len(selections)} -seed {seed} -o mutants_{index}.txt {selection}\n"
        for index, selection in enumerate(selections.values())
    )
    run_yosys(f"{prepare}write_rtlil flat.il\n{lists}", WORK, purpose="listing mutants")
    listed = [
        (unit, line)
        for index, unit in enumerate(selections)
        for line in (WORK / f"mutants_{index}.txt").read_text(encoding="utf-8").splitlines()
        if "-mode none" not in line
    ]
    lines = [line for _, line in listed]
    commands = [
        line.replace("mutate ", f"mutate -ctrl mutant 16 {number} ", 1) for number, line in enumerate(lines, start=1)
    ]
    body = "\n".join(commands)
    run_yosys(
        # A fault at the output of a register leaves the register without its initial value, which is 0 everywhere.
        f"read_rtlil flat.il\n{body}\nsetattr -unset init w:*\nsetundef -init -zero\nopt_clean\n"
        "write_rtlil mutants.il\nwrite_verilog -noattr mutants.v\n",
        WORK,
        purpose="making mutants",
    )
    return [(unit, re.sub(r"^mutate |-src \S+|-module \S+", "", line).strip()) for unit, line in listed]


def write_twins(config: MacroConfig) -> None:
    """Write a module that compares two of the netlists, the original and the one with a mutant, on the same inputs.

    Payloads count while they are valid, and everything from the reset on, which is the first cycle.
    """
    macro = Macro(config)
    inputs, outputs = {}, {}
    for path, member, value in macro.signature.flatten(macro):
        ports = inputs if member.flow is In else outputs
        ports["__".join(map(str, path))] = len(Value.cast(value))
    free = "".join(f", input [{width - 1}:0] {name}" for name, width in inputs.items())
    wires = "".join(f"wire [{width - 1}:0] a_{name}, b_{name};\n" for name, width in outputs.items())

    def valid(name: str) -> str:
        return f"!a_{name[:-7]}valid || " if name.endswith("payload") else ""

    same = "".join(f"always @* assert (!started || {valid(name)}a_{name} == b_{name});\n" for name in outputs)

    def instance(side: str, mutant: str) -> str:
        pins = [f".{name}({name})" for name in inputs] + [f".{name}({side}_{name})" for name in outputs]
        return f"macro {side} (.clk(clk), .rst(rst), .mutant({mutant}), {', '.join(pins)});\n"

    # The ring gives ABC something to explore when a mutant vanishes in simplification.
    ring = "reg [1:0] ring = 1;\nalways @(posedge clk) ring <= {ring[0], ring[1]};\nalways @* assert (ring != 0);\n"
    text = f"module top(input clk, input rst{free});\nparameter [15:0] MUTANT = 0;\n{wires}"
    text += "reg started = 0;\nalways @(posedge clk) started <= 1;\nalways @* if (!started) assume (rst);\n"
    text += instance("a", "16'd0") + instance("b", "MUTANT") + same + ring + "endmodule\n"
    (WORK / "twins.v").write_text(text, encoding="utf-8")


def distinguishable(number: int, seconds: int) -> str:
    """Whether any input sequence tells a mutant from the original."""
    read = f"read_rtlil mutants.il\nread_verilog -formal twins.v\nchparam -set MUTANT {number} top\n"
    verdict = check_assertions(read, WORK, twins=True)
    if verdict is Verdict.UNDECIDED:
        verdict = check_assertions(read, WORK, seconds=seconds)
    return {Verdict.PROVED: "equivalent", Verdict.REFUTED: "survived", Verdict.UNDECIDED: "undecided"}[verdict]


def simulate(number: int) -> str:
    """What the bench says about a mutant; 0 is the original."""
    return quiet_run(
        ["vvp", "-n", "bench.vvp", f"+mutant={number}"], purpose="simulating a mutant", cwd=str(WORK)
    ).strip()


def main() -> int:
    """Make mutants, simulate them, explain the survivors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--mutants", type=int, default=120, help="faults to try, as many in each unit (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the faults and of the script (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=30, help="for ABC, per survivor (default: %(default)s)")
    parser.add_argument("--macro", choices=SUBJECTS, default="mac", help="what to mutate (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="JSON report (default: build/bench/mutation_<macro>.json)")
    arguments = parser.parse_args()
    subject = SUBJECTS[arguments.macro]
    WORK.mkdir(parents=True, exist_ok=True)
    try:
        require("iverilog")
        faults = write_mutants(subject, arguments.mutants, arguments.seed)
        parameters = write_script(subject, arguments.seed)
        write_twins(subject.config)
        sources = [str(WORK / "mutants.v"), str(Path(__file__).with_suffix(".v"))]
        override = [f"-Pmutation.{name}={value}" for name, value in parameters.items()]
        override += ["-DBEST"] if subject.config.best_match else []
        command = ["iverilog", "-g2012", "-s", "mutation", "-o", str(WORK / "bench.vvp"), *override, *sources]
        quiet_run(command, purpose="building the bench")
        original = simulate(0)
        if not original.startswith("PASS"):
            print(f"the bench finds a fault in the original: {original}", file=sys.stderr)
            return 1
        mutants = []
        for number, (unit, fault) in enumerate(faults, start=1):
            detail = simulate(number)
            caught = not detail.startswith("PASS")
            outcome = "caught" if caught else distinguishable(number, arguments.seconds)
            mutants.append(Mutant(number, fault, unit, outcome, detail))
            if not caught:
                print(f"{number:4} {outcome:10} {unit:20} {fault}", flush=True)
    except ToolError as error:
        print(error, file=sys.stderr)
        return 2
    counts = {
        name: sum(each.outcome == name for each in mutants)
        for name in ("caught", "survived", "undecided", "equivalent")
    }
    changed = len(mutants) - counts["equivalent"]
    share = counts["caught"] / changed
    for unit in (*subject.units, REST):
        found = Counter(each.outcome for each in mutants if each.unit == unit)
        print(f"{unit:20}" + "".join(f"{found[name]:5} {name}" for name in counts))
    print(f"{'all':20}" + "".join(f"{count:5} {name}" for name, count in counts.items()))
    print(f"caught {share:.1%} of {changed} mutants that may change behaviour")
    report = {
        "macro": arguments.macro,
        "seed": arguments.seed,
        **counts,
        "caught_share": share,
        "mutants": [asdict(each) for each in mutants],
    }
    output = arguments.output or OUTPUT / f"mutation_{arguments.macro}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"written to {output}")
    return 0 if share >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
