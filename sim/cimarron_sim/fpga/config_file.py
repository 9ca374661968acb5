"""Configurations as files."""

import dataclasses

from cimarron.config import SocConfig

__all__ = ["config_text"]


def config_text(config: SocConfig) -> str:
    """A TOML file that `cimarron.config.load_config` reads back as the same configuration."""
    values = dataclasses.asdict(config)
    engine = values.pop("engine")
    macro = engine.pop("macro")
    sections = [("", values), ("[engine]", engine), ("[engine.macro]", macro)]
    lines = []
    for title, table in sections:
        lines += [title] if title else []
        lines += [f"{name} = {_literal(value)}" for name, value in table.items()]
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    # Strings are names: nothing to escape.
    return f'"{value}"' if isinstance(value, str) else str(value)
