"""A report as one HTML page that needs nothing else: no network, no other file, not even its own script."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from .plots import buffer_map, cycle_bars, over_time, roofline
from .words import CAUSES, layer_costs, printable, remarks

__all__ = ["page"]

#: What the rounding profiles are, for people.
_PROFILES = {"tflm": "TensorFlow Lite for Microcontrollers", "onnx": "ONNX Runtime"}


def _settings(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Parameters by dotted name."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        found |= _settings(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def page(record: dict[str, Any]) -> str:
    """The page; the same report gives the same text.

    Parameters
    ----------
    record : dict
        A report.

    Raises
    ------
    ImportError
        If matplotlib or jinja2 is not installed.
    """
    environment = Environment(
        loader=PackageLoader("cimarron_sim.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"printable": printable, "costs": layer_costs}
    figures = {
        "cycles": cycle_bars(record),
        "time": over_time(record),
        "roofline": roofline(record),
        "buffer": buffer_map(record),
    }
    return environment.get_template("page.html").render(
        record=record,
        remarks=remarks(record),
        figures={name: Markup(svg) for name, svg in figures.items()},
        settings=_settings(record["config"]),
        causes=CAUSES,
        profile=_PROFILES.get(record["profile"], ""),
        executing=sum(
            part["end"] - part["begin"] for part in (record["timeline"] or {"cpu": []})["cpu"] if not part["waits"]
        ),
        inside=sum(layer["cycles"] for layer in record["layers"]),
    )
