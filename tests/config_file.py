"""Configuration files, as a user writes them."""

import dataclasses
from typing import Any

from cimarron.config import SocConfig

__all__ = ["soc_toml"]


def _lines(values: dict[str, Any]) -> list[str]:
    shown = {True: "true", False: "false"}
    return [
        f"{name} = {shown[value] if isinstance(value, bool) else repr(value)}"
        for name, value in values.items()
        if not isinstance(value, dict)
    ]


def soc_toml(config: SocConfig) -> str:
    """Text of a file that describes a system, every parameter of it."""
    soc = dataclasses.asdict(config)
    engine = soc["engine"]
    return "\n".join([*_lines(soc), "[engine]", *_lines(engine), "[engine.macro]", *_lines(engine["macro"]), ""])
