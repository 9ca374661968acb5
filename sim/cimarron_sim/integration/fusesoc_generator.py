"""Generator for FuseSoC: reads what is asked for, writes Verilog and a core file beside it.

Started by FuseSoC as a program, with the name of a YAML file, in the folder to write to.
"""

import sys
from pathlib import Path
from typing import Any

__all__ = ["core_file", "generate", "main"]


def core_file(name: str, files: list[Path]) -> dict[str, Any]:
    """Contents of the core file, but for its first line.

    Parameters
    ----------
    name : str
        Vendor, library, name and version.
    files : list of Path
        In the same folder; by their endings.
    """
    kinds = {".v": "verilogSource", ".vlt": "vlt", ".hex": "user"}
    listed = [{path.name: {"file_type": kinds[path.suffix]}} for path in files]
    return {
        "name": name,
        "filesets": {"rtl": {"files": listed}},
        "targets": {"default": {"filesets": ["rtl"]}},
    }


def generate(request: dict[str, Any], directory: Path) -> Path:
    """Write what a request asks for.

    Parameters
    ----------
    request : dict
        As FuseSoC gives it: ``vlnv``, ``files_root`` and ``parameters``, which are ``top`` and ``config``.
    directory : Path

    Returns
    -------
    Path
        The core file.
    """
    import yaml
    from cimarron.config import PRESETS, load_config

    from cimarron_sim.integration.kit import write_kit

    parameters = {"top": "soc", "config": "default", **(request.get("parameters") or {})}
    config = parameters["config"]
    if config not in PRESETS:
        config = str(Path(request.get("files_root", "."), config))
    files = write_kit(parameters["top"], load_config(config), directory)
    name = request["vlnv"]
    path = directory / f"{name.split(':')[2]}.core"
    text = yaml.safe_dump(core_file(name, files), sort_keys=False)
    path.write_text(f"CAPI=2:\n{text}", encoding="utf-8")
    return path


def main() -> None:
    """Serve the request named on the command line; an error is a sentence and exit code 1."""
    import yaml

    try:
        generate(yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8")), Path.cwd())
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"cimarron: {error}")


if __name__ == "__main__":
    main()
