"""The figures of a report, as SVG to stand inside a page."""

import io
import math
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogFormatter, MaxNLocator, MultipleLocator

from ..runner.timeline import PHASES, runs
from .words import CAUSES, layer_costs, shortened

__all__ = ["INKS", "buffer_map", "cycle_bars", "execution_over_time", "over_time", "roofline", "shares_over_time"]

#: What is drawn in which colour of the page: style variables, which differ between light and dark mode. Matplotlib
#: knows no variables, so each stands there as a colour of its own until the SVG is done.
INKS = {name: f"#0b0b{index:02x}" for index, name in enumerate(["ink", "faint", "paper", "accent", "tensor", *CAUSES])}

_SVG = "http://www.w3.org/2000/svg"
_WIDTH = 9.6  # inches: 691 units of the SVG

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, searchable, and in the page's own type
    "svg.hashsalt": "cimarron",  # the same report gives the same bytes
    "text.parse_math": False,  # a name is no formula
    "font.size": 9.0,
    "text.color": INKS["ink"],
    "axes.labelcolor": INKS["ink"],
    "axes.edgecolor": INKS["faint"],
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INKS["ink"],
    "ytick.color": INKS["ink"],
    "grid.color": INKS["faint"],
    "grid.linewidth": 0.4,
    "legend.frameon": False,
}


def _svg(name: str, height: float, draw: Callable[[Figure, Axes], None]) -> str:
    """One figure, `_WIDTH` by `height` inches; identifiers begin with its name, so that figures can share a page."""
    text = io.StringIO()
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # Only the page's own type has to have the glyphs of every language.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(_WIDTH, height), layout="constrained", facecolor="none")
        draw(figure, figure.subplots())
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return _adopt(name, text.getvalue())


def _adopt(name: str, text: str) -> str:
    """Make a figure part of a page: colours become variables, identifiers unique, the size that of its place."""
    ET.register_namespace("", _SVG)
    root = ET.fromstring(text)
    inks = {colour: f"var(--{ink.replace('_', '-')})" for ink, colour in INKS.items()}
    pattern = re.compile("|".join(inks))
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif key.endswith("}href"):
                # HTML knows the plain name; of the namespace it knows one prefix only.
                del element.attrib[key]
                element.set("href", value.replace("#", f"#{name}-"))
            elif "url(#" in value:
                element.set(key, value.replace("url(#", f"url(#{name}-"))
            elif key == "d":
                # A hundredth of a unit is finer than any screen, and half the size.
                element.set(key, re.sub(r"\d+\.\d+", lambda match: f"{float(match[0]):.2f}", value))
            elif key == "style":
                element.set(key, pattern.sub(lambda match: inks[match[0]], value))
    for key in ("width", "height"):
        del root.attrib[key]
    root.set("role", "img")
    return ET.tostring(root, encoding="unicode")


def _numbered(layers: Sequence[dict[str, Any]]) -> list[str]:
    return [f"{index} · {shortened(layer['layer'], 30)}" for index, layer in enumerate(layers)]


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, handlelength=1, columnspacing=1.5)


def cycle_bars(record: dict[str, Any]) -> str:
    """Cycles of each layer, by what they were spent on."""
    layers = record["layers"]
    costs = [layer_costs(layer) for layer in layers]

    def draw(figure: Figure, axes: Axes) -> None:
        rows = range(len(layers))
        left = [0] * len(layers)
        for cause, meaning in CAUSES.items():
            widths = [cost.get(cause, 0) for cost in costs]
            if any(widths):
                axes.barh(rows, widths, 0.72, left=left, color=INKS[cause], label=meaning)
                left = [a + b for a, b in zip(left, widths, strict=True)]
        axes.set_yticks(rows, _numbered(layers))
        axes.set_ylim(len(layers) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel("clock cycles")
        axes.grid(axis="x")
        _legend(figure, axes)

    return _svg("cycles", 1.1 + 0.21 * len(layers), draw)


def _together(points: Sequence[tuple[float, float]], width: float, height: float) -> list[list[int]]:
    """Indices of points that lie too close for labels of their own."""
    groups: list[list[int]] = []
    for index, (x, y) in enumerate(points):
        for group in groups:
            if abs(points[group[0]][0] - x) < width and abs(points[group[0]][1] - y) < height:
                group.append(index)
                break
        else:
            groups.append([index])
    return groups


def roofline(record: dict[str, Any]) -> str:
    """Multiply-accumulates per cycle of each layer, over those per streamed byte; empty if no layer multiplies."""
    shown = [
        (index, layer["macs"] / layer["streamed_bytes"], layer["macs"] / layer["cycles"], layer["peak_macs"])
        for index, layer in enumerate(record["layers"])
        if layer["macs"] and layer["streamed_bytes"] and layer["peak_macs"]
    ]
    if not shown:
        return ""
    port = record["port_bytes"]
    numbers, intensities, rates, peaks = (list(column) for column in zip(*shown, strict=True))

    def draw(figure: Figure, axes: Axes) -> None:
        low = min(*intensities, *(peak / port for peak in peaks)) / 3
        high = max(*intensities, *(peak / port for peak in peaks)) * 3
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(min(rates) / 3, max(*rates, *peaks) * 2.5))
        for peak in sorted(set(peaks)):
            ridge = peak / port
            axes.plot([ridge, high], [peak, peak], color=INKS["accent"], linewidth=1.4)
            axes.annotate(f"macro: {peak:,g} per cycle", (high, peak), (-4, 4), textcoords="offset points", ha="right")
        top = max(peaks) / port
        axes.plot([low, top], [low * port, top * port], color=INKS["accent"], linewidth=1.4)
        axes.plot(intensities, rates, "o", color=INKS["compute"], markersize=5, markeredgewidth=0)
        axes.set_xlabel("multiply-accumulates per byte over the memory port")
        axes.set_ylabel("multiply-accumulates per cycle")
        axes.grid(which="major")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
            axis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
        figure.draw_without_rendering()
        places = [tuple(axes.transData.transform(point)) for point in zip(intensities, rates, strict=True)]
        for group in _together(places, 22, 11):
            label = ", ".join(str(numbers[index]) for index in group[:5]) + (" …" if len(group) > 5 else "")
            first = group[0]
            axes.annotate(label, (intensities[first], rates[first]), (6, -9), textcoords="offset points")
        # Where the slope is free of other words: at its lower end, turned like the line.
        quarter = low * (top / low) ** 0.25
        (x0, y0), (x1, y1) = (axes.transData.transform((x, x * port)) for x in (low, top))
        axes.annotate(
            f"memory port: {port} bytes per cycle",
            (quarter, quarter * port),
            (-4, 4),
            textcoords="offset points",
            rotation=math.degrees(math.atan2(y1 - y0, x1 - x0)),
            rotation_mode="anchor",
        )

    return _svg("roofline", 4.4, draw)


def buffer_map(record: dict[str, Any]) -> str:
    """Where each tensor lies in the activation buffer, from the layer that writes it to the last that reads it.

    Parts of tensors in main memory that take turns there are hatched.
    """
    buffer = record["buffer"]
    names = [layer["layer"] for layer in record["layers"]]
    steps = len(names)

    def draw(figure: Figure, axes: Axes) -> None:
        axes.set(xlim=(-0.5, steps - 0.5), ylim=(0, buffer["bytes"]), xlabel="layer", ylabel="byte address")
        axes.xaxis.set_major_locator(MaxNLocator(min(steps, 24), integer=True))
        axes.yaxis.set_major_locator(MultipleLocator(buffer["bytes"] / 8))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.grid(axis="y")
        figure.draw_without_rendering()
        (x0, y0), (x1, y1) = (axes.transData.transform(corner) for corner in ((0, 0), (1, 1)))
        for tensor in buffer["tensors"]:
            left, width = tensor["first"] - 0.5, tensor["last"] - tensor["first"] + 1
            bottom, height = tensor["address"], tensor["bytes"]
            stripes = tensor["stripes"]
            axes.bar(
                left, height, width, bottom, align="edge", color=INKS["tensor"], edgecolor=INKS["paper"], linewidth=1.5,
                hatch="//" if stripes else None,
            )  # fmt: skip
            letters = int(width * (x1 - x0) / 7)
            name = names[tensor["first"]]
            # Of a name, less than ten letters tell less than the layer's number does.
            label = shortened(name, letters) if letters >= min(len(name), 10) else str(tensor["first"])
            label = f"{stripes} x" if stripes else label
            if len(label) <= letters and height * (y1 - y0) > 11:
                axes.text(left + width / 2, bottom + height / 2, label, ha="center", va="center", fontsize=8)

    return _svg("buffer", 3.6, draw)


def _stretches(timeline: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Cause, first cycle and end of everything the engine did; while it rested, the CPU computed or it did not."""
    causes = {"stall_input": "input", "stall_weights": "weights", "stall_output": "output", "idle": "control"}
    steps = [(span["begin"], span["end"]) for span in timeline["spans"] if span["on"] == "cpu"]
    for letter, begin, length in runs(timeline["phases"]):
        cause, end = causes.get(PHASES[letter], PHASES[letter]), begin + length
        if cause == "control":
            for low, high in steps:
                low, high = max(low, begin), min(high, end)
                if low < high:
                    yield "control", begin, low
                    yield "cpu", low, high
                    begin = high
        yield cause, begin, end


def _spread(shares: list[float], begin: int, end: int, width: float) -> None:
    """Add the cycles from `begin` to `end`, as shares of equal parts of so many cycles each."""
    for part in range(int(begin / width), min(len(shares), math.ceil(end / width))):
        overlap = min(end, (part + 1) * width) - max(begin, part * width)
        shares[part] += max(0.0, overlap) / width


def shares_over_time(timeline: dict[str, Any], bins: int) -> dict[str, list[float]]:
    """Share of each cause in each of so many equal parts of the inference."""
    width = timeline["cycles"] / bins
    shares = {cause: [0.0] * bins for cause in CAUSES}
    for cause, begin, end in _stretches(timeline):
        _spread(shares[cause], begin, end, width)
    return shares


def execution_over_time(timeline: dict[str, Any], bins: int) -> list[float]:
    """Share of the cycles in which the CPU executed, in each of so many equal parts of the inference."""
    width = timeline["cycles"] / bins
    shares = [0.0] * bins
    for part in timeline["cpu"]:
        if not part["waits"]:
            _spread(shares, part["begin"], part["end"], width)
    return shares


def over_time(record: dict[str, Any]) -> str:
    """What engine and CPU did from the command to the answer; empty if nobody looked."""
    timeline = record["timeline"]
    if timeline is None or not timeline["phases"]:
        return ""
    cycles = timeline["cycles"]
    bins = min(320, cycles)
    shares = shares_over_time(timeline, bins)

    def draw(figure: Figure, axes: Axes) -> None:
        edges = [cycles * index / bins for index in range(bins + 1)]
        base = [0.0] * bins
        for cause in CAUSES:
            top = [a + b for a, b in zip(base, shares[cause], strict=True)]
            if any(shares[cause]):
                axes.stairs(top, edges, baseline=base, fill=True, color=INKS[cause], linewidth=0)
            base = top
        # Below the engine, the CPU: in the same colour whatever it executes, waiting is empty.
        bottom, top = -0.35, -0.1
        heights = [bottom + share * (top - bottom) for share in execution_over_time(timeline, bins)]
        axes.stairs(heights, edges, baseline=bottom, fill=True, color=INKS["cpu"], linewidth=0)
        axes.axhline(0, color=INKS["ink"], linewidth=0.25)
        axes.set(xlim=(0, cycles), ylim=(bottom, 1))
        axes.set_yticks([(bottom + top) / 2, 0, 0.5, 1], ["CPU", "0", "50 %", "100 %"])
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel("clock cycles since the command")
        _mark_layers(axes, timeline)

    return _svg("time", 2.3, draw)


def _mark_layers(axes: Axes, timeline: dict[str, Any]) -> None:
    """Numbers of the layers above the time they took, where there is room for them."""
    ends: dict[int, int] = {}
    for span in timeline["spans"]:
        ends[span["layer"]] = span["end"]
    begins = [0, *list(accumulate(ends.values(), lambda _, end: end))[:-1]]
    free = 0.0
    for (layer, end), begin in zip(ends.items(), begins, strict=True):
        axes.axvline(end, color=INKS["ink"], linewidth=0.25)
        middle, room = (begin + end) / 2, timeline["cycles"] * 0.014 * len(str(layer))
        if end - begin > room and middle - room / 2 > free:
            axes.text(middle, 1.03, str(layer), ha="center", va="bottom", fontsize=8)
            free = middle + room / 2
