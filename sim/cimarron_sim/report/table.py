"""The report of a run, as a table for people."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .words import printable, remarks

__all__ = ["print_run", "run_summary", "run_table"]


def _text(name: str) -> str:
    """A name that neither moves the cursor nor is taken for markup."""
    return escape(printable(name))


def _stalled(layer: dict[str, Any]) -> str:
    """What cost the layer most besides computing, and which share of its cycles."""
    cause = max(layer["stalls"], key=lambda name: layer["stalls"][name])
    cycles = layer["stalls"][cause]
    return f"{cause} {cycles / layer['cycles']:.0%}" if cycles else "nothing"


def run_table(record: dict[str, Any]) -> Table:
    """One row per layer, and the whole inference.

    Parameters
    ----------
    record : dict
        From `cimarron_sim.report.record.describe_run`.
    """
    table = Table(title=f"{_text(record['model'])}, one inference", show_footer=True)
    total = record["cycles_per_inference"]
    bound = record["bound_per_inference"]
    macs = record["macs_per_inference"]
    inside = sum(layer["cycles"] for layer in record["layers"])
    table.add_column("layer", footer="inference")
    table.add_column("op")
    table.add_column("cycles", justify="right", footer=f"{total:,}")
    table.add_column("share", justify="right", footer="100%")
    table.add_column("bound", justify="right", footer=f"{bound:,}")
    table.add_column("MACs", justify="right", footer=f"{macs:,}")
    table.add_column("MAC/cycle", justify="right", footer=f"{record['macs_per_cycle']:.1f}")
    table.add_column("utilisation", justify="right")
    table.add_column("stalled on")
    for layer in record["layers"]:
        table.add_row(
            _text(layer["layer"]),
            _text(layer["op"]),
            f"{layer['cycles']:,}",
            f"{layer['cycles'] / total:.0%}",
            f"{layer['bound']:,}",
            f"{layer['macs']:,}" if layer["macs"] else "",
            f"{layer['macs'] / layer['cycles']:.1f}" if layer["macs"] else "",
            f"{layer['utilisation']:.1%}" if layer["macs"] else "",
            _stalled(layer),
        )
    table.add_row("after the last layer", "cpu", f"{total - inside:,}", f"{(total - inside) / total:.0%}")
    return table


def run_summary(record: dict[str, Any]) -> str:
    """What the run amounts to, in three lines."""
    clock = record["config"]["clock_hz"]
    whence = (
        "cycles are those that the chip's firmware measured"
        if record["simulated_cycles"] is None
        else f"{record['simulated_cycles']:,} cycles simulated in {record['simulation_seconds']:.1f} s:"
        f" {record['simulated_cycles_per_second'] / 1e6:.2f} M cycles/s"
    )
    return (
        f"{record['samples']} inferences, {record['tensors_compared']} tensors compared with the reference,"
        f" {record['mismatches']} mismatches\n"
        f"{record['cycles_per_inference']:,} cycles per inference"
        f" ({record['microseconds_per_inference']:,.1f} us at {clock / 1e6:g} MHz;"
        f" firmware: {record['firmware_cycles_per_inference']:,};"
        f" range {record['cycles_per_inference_min']:,} to {record['cycles_per_inference_max']:,})\n"
        f"{whence}"
    )


def print_run(record: dict[str, Any], console: Console | None = None) -> None:
    """Print table, summary and remarks, 120 columns wide where there is no terminal."""
    console = console or Console(width=None if Console().is_terminal else 120)
    console.print(run_table(record))
    console.print(run_summary(record), highlight=False, markup=False)
    for remark in remarks(record):
        console.print(f"note: {remark}", highlight=False, markup=False)
