"""Modules of the benches, for tests of what they compute."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

__all__ = ["bench"]

_BENCH = Path(__file__).parents[1] / "bench"


def bench(name: str) -> ModuleType:
    """The bench ``bench/<name>.py``; not by its name, which a module of the tests may have, too."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", _BENCH / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(_BENCH)
        spec.loader.exec_module(module)
    return module
