"""Timing diagrams of the macro's ports, drawn from a simulation.

``python examples/timing.py`` writes ``docs/timing/*.svg``. Each diagram is a scene that a small macro plays in
Amaranth's simulator: what crosses the pins is recorded cycle by cycle and drawn by WaveDrom. The drawings are
committed, and a test draws them anew.
"""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import wavedrom
from amaranth.sim import Simulator
from cimarron.config import MacroConfig
from cimarron.macro.macro import Macro

OUTPUT = Path(__file__).parents[1] / "docs" / "timing"

CONFIG = MacroConfig(rows=4, words=2, cell_bits=4, max_weight_bits=8, weight_sets=2)


@dataclass
class Scene:
    """What the pins are asked to do, and for how long to look.

    Parameters
    ----------
    title : str
    cycles : int
        Cycles of the diagram; those that load the weights before are not part of it.
    operations : list of (cycle, label, bits, set)
        Offered from that cycle on, as soon as the one before was taken.
    writes : list of (cycle, set)
        Rows offered likewise.
    busy : range
        Cycles in which results are not taken.
    """

    title: str
    cycles: int
    operations: Sequence[tuple[int, str, int, int]]
    writes: Sequence[tuple[int, int]] = ()
    busy: range = field(default_factory=lambda: range(0))


SCENES = {
    "operations": Scene(
        "operations of 3, 1 and 2 bits follow one another without a bubble",
        14,
        [(1, "a: 3 b", 3, 0), (2, "b: 1 b", 1, 0), (3, "c: 2 b", 2, 0)],
    ),
    "stall": Scene(
        "a result that is not taken stops the stages behind it, and nothing is lost",
        20,
        [(1, "a: 2 b", 2, 0), (2, "b: 2 b", 2, 0), (3, "c: 2 b", 2, 0), (4, "d: 2 b", 2, 0)],
        busy=range(6, 11),
    ),
    "writes": Scene(
        "rows of the idle set 1 are written at once; a row of set 0 waits until set 0 has left the array",
        14,
        [(1, "a: 4 b", 4, 0), (2, "b: 2 b", 2, 1)],
        writes=[(2, 1), (3, 1), (4, 0)],
    ),
}


def record(scene: Scene) -> list[dict[str, Any]]:
    """Play a scene; returns the value of every pin, cycle by cycle."""
    dut = Macro(CONFIG)
    seen: list[dict[str, Any]] = []

    async def testbench(ctx) -> None:
        write, operation = dut.write.payload, dut.i_stream.payload
        ctx.set(write.width, 1)
        ctx.set(dut.write.valid, 1)
        for weight_set in range(CONFIG.weight_sets):
            ctx.set(write.set, weight_set)
            for row in range(CONFIG.rows):
                ctx.set(write.row, row)
                ctx.set(write.data, row + 1)
                await ctx.tick()
        operations, writes = deque(scene.operations), deque(scene.writes)
        names: deque[str] = deque()
        for cycle in range(scene.cycles):
            offered = bool(operations) and operations[0][0] <= cycle
            writing = bool(writes) and writes[0][0] <= cycle
            ctx.set(dut.i_stream.valid, offered)
            ctx.set(dut.write.valid, writing)
            if offered:
                *_, bits, weight_set = operations[0]
                ctx.set(operation, {"x": [1] * CONFIG.rows, "bits": bits, "signed": 0, "set": weight_set})
            if writing:
                ctx.set(write, {"set": writes[0][1], "row": 0, "width": 1, "signed": 0, "data": 1})
            ctx.set(dut.o_stream.ready, cycle not in scene.busy)
            now: dict[str, Any] = {
                "i_stream.valid": ctx.get(dut.i_stream.valid),
                "i_stream.ready": ctx.get(dut.i_stream.ready),
                "i_stream.payload": operations[0][1] if offered else None,
                "plane": ctx.get(dut.plane),
                "computing": format(ctx.get(dut.computing), f"0{CONFIG.weight_sets}b"),
                "o_stream.valid": ctx.get(dut.o_stream.valid),
                "o_stream.ready": ctx.get(dut.o_stream.ready),
                "o_stream.payload": names[0][0] if ctx.get(dut.o_stream.valid) else None,
            }
            if scene.writes:
                now |= {
                    "write.valid": ctx.get(dut.write.valid),
                    "write.ready": ctx.get(dut.write.ready),
                    "write.payload": f"set {writes[0][1]}" if writing else None,
                }
            seen.append(now)
            if now["o_stream.valid"] and now["o_stream.ready"]:
                names.popleft()
            if offered and now["i_stream.ready"]:
                names.append(operations.popleft()[1])
            if writing and now["write.ready"]:
                writes.popleft()
            await ctx.tick()
        assert not operations
        assert not writes
        assert not names, f"{scene.title}: the diagram ends before {', '.join(names)} was answered"

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    return seen


def lane(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """One signal in WaveDrom's notation: a character per cycle, ``.`` for no change, and labels of buses."""
    wave, labels, last = "", [], object()
    for value in values:
        if value == last:
            wave += "."
        elif isinstance(value, str):
            wave += "="
            labels.append(value)
        else:
            wave += "x" if value is None else str(value)
        last = value
    return {"name": name, "wave": wave, **({"data": labels} if labels else {})}


def wave_json(scene: Scene) -> dict[str, Any]:
    """A scene as WaveJSON."""
    seen = record(scene)
    lanes = [lane(name, [now[name] for now in seen]) for name in seen[0]]
    clock = {"name": "clk", "wave": "p" + "." * (len(seen) - 1)}
    return {"signal": [clock, *lanes], "head": {"text": scene.title, "tick": 0}, "config": {"hscale": 1}}


def draw(scene: Scene) -> str:
    """A scene as SVG."""
    return wavedrom.render(json.dumps(wave_json(scene))).tostring() + "\n"


def main() -> None:
    """Draw every scene."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for name, scene in SCENES.items():
        path = OUTPUT / f"{name}.svg"
        path.write_text(draw(scene), encoding="utf-8")
        print(f"written to {path}")


if __name__ == "__main__":
    main()
