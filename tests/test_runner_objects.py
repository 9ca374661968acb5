"""Verilator's run-time library is compiled once for the same flags, and again for others; nothing else is kept."""

import os
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
from cimarron_sim.runner import object_cache
from cimarron_sim.runner.lock import locked
from cimarron_sim.runner.tools import ToolError
from cimarron_sim.runner.verilator import build_jobs, verilator_binary, verilator_environment

#: Stands in for a compiler: what it is told goes into the object and, as a line, into a diary.
COMPILER = """#!{python}
import pathlib, sys, time
time.sleep({seconds})
arguments = sys.argv[1:]
source = pathlib.Path(arguments[-1])
with open({diary!r}, "a") as diary:
    print(source.name, file=diary)
if "broken" in source.read_text():
    sys.exit(3)
output = arguments[arguments.index("-o") + 1] if "-o" in arguments else source.with_suffix(".o").name
pathlib.Path(output).write_text(source.read_text() + " ".join(a for a in arguments if a.startswith("-D")))
"""


class Workshop:
    """A library like Verilator's, a compiler, and makefiles' commands."""

    def __init__(self, folder: Path, seconds: float = 0.0) -> None:
        self.library, self.objects = folder / "include", folder / "objects"
        self.library.mkdir()
        (self.library / "verilated.mk").touch()
        (self.library / "verilated.h").write_text("1")
        (self.library / "verilated.cpp").write_text("library")
        self.diary = folder / "diary"
        self.diary.touch()
        self.compiler = folder / "c++"
        program = COMPILER.format(python=sys.executable, diary=str(self.diary), seconds=seconds)
        self.compiler.write_text(program)
        self.compiler.chmod(0o755)

    def arguments(self, output: Path, *flags: str, source: Path | None = None) -> list[str]:
        source = source or self.library / "verilated.cpp"
        return [str(self.objects), str(self.compiler), *flags, "-c", "-o", str(output), str(source)]

    @property
    def compiled(self) -> list[str]:
        return self.diary.read_text().split()


@pytest.fixture
def workshop(tmp_path):
    return Workshop(tmp_path)


def test_the_library_is_compiled_once_for_two_designs(workshop, tmp_path):
    for name in ("one.o", "two.o"):
        assert object_cache.main(workshop.arguments(tmp_path / name, "-DVM_TRACE=0")) == 0
        assert (tmp_path / name).read_text() == "library-DVM_TRACE=0"
    assert workshop.compiled == ["verilated.cpp"]


@pytest.mark.parametrize("change", ["flag", "header", "source", "compiler"])
def test_whatever_an_object_depends_on_has_it_compiled_anew(workshop, tmp_path, change):
    object_cache.main(workshop.arguments(tmp_path / "before.o"))
    flags = ()
    match change:
        case "flag":
            flags = ("-DVM_COVERAGE=1",)
        case "header":
            (workshop.library / "verilated.h").write_text("2")
        case "source":
            (workshop.library / "verilated.cpp").write_text("newer library")
        case "compiler":
            os.utime(workshop.compiler, (1, 1))
    assert object_cache.main(workshop.arguments(tmp_path / "after.o", *flags)) == 0
    assert len(workshop.compiled) == 2
    assert (tmp_path / "after.o").read_text() == (workshop.library / "verilated.cpp").read_text() + "".join(flags)


def test_sources_of_a_design_are_never_kept(workshop, tmp_path):
    source = tmp_path / "Vtop.cpp"
    for text in ("first", "second"):
        source.write_text(text)
        assert object_cache.main(workshop.arguments(tmp_path / "Vtop.o", source=source)) == 0
        assert (tmp_path / "Vtop.o").read_text() == text
    assert workshop.compiled == ["Vtop.cpp"] * 2
    assert not workshop.objects.exists()


def test_a_compiler_that_fails_is_told_and_leaves_nothing(workshop, tmp_path):
    (workshop.library / "verilated.cpp").write_text("broken")
    for _ in range(2):
        assert object_cache.main(workshop.arguments(tmp_path / "x.o")) == 3
    assert workshop.compiled == ["verilated.cpp"] * 2
    assert not (tmp_path / "x.o").exists()
    assert not list(workshop.objects.rglob("*.o"))


def test_two_processes_that_need_the_same_object_compile_it_once(tmp_path):
    workshop = Workshop(tmp_path, seconds=0.5)
    command = [sys.executable, "-I", "-S", object_cache.__file__]
    running = [subprocess.Popen([*command, *workshop.arguments(tmp_path / f"{name}.o")]) for name in "ab"]
    assert [process.wait() for process in running] == [0, 0]
    assert workshop.compiled == ["verilated.cpp"]
    assert (tmp_path / "a.o").read_text() == (tmp_path / "b.o").read_text() == "library"


DESIGN = "module {name}(input clk, output reg q); always @(posedge clk) q <= ~q; endmodule\n"


@pytest.mark.cosim
@pytest.mark.slow
def test_verilator_builds_a_second_design_from_the_objects_of_the_first(tmp_path):
    objects = tmp_path / "with space" / "objects"
    times = []
    for name in ("first", "second"):
        (tmp_path / f"{name}.v").write_text(DESIGN.format(name=name))
        command = [str(verilator_binary()), "--binary", "--timing", "-Mdir", name, "-o", "program", f"{name}.v"]
        environment = verilator_environment(objects=objects)
        # Of a flag of its own, and quick to compile.
        environment["MAKEFLAGS"] += " OPT_GLOBAL=-O0"
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
        subprocess.run([str(tmp_path / name / "program")], check=True, timeout=60)
        times.append({path.parent.name: path.stat().st_mtime_ns for path in objects.rglob("verilated.o")})
    assert len(times[0]) == 1
    assert times[0] == times[1]


def test_another_launcher_of_the_compiler_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("OBJCACHE", "ccache")
    assert verilator_environment(objects=tmp_path)["OBJCACHE"] == "ccache"


def test_builds_take_as_many_compilers_as_they_are_told(monkeypatch):
    monkeypatch.setenv("BUILD_JOBS", "3")
    assert build_jobs() == 3
    monkeypatch.setenv("BUILD_JOBS", "0")
    with pytest.raises(ToolError, match="BUILD_JOBS must be a positive whole number, not '0'"):
        build_jobs()
    monkeypatch.delenv("BUILD_JOBS")
    assert 1 <= build_jobs() <= 4


def hold(folder: Path, diary: Path, name: str) -> None:
    with locked(folder):
        for word in ("enters", "leaves"):
            with open(diary, "a") as file:
                print(name, word, file=file)
            time.sleep(0.2)


def test_a_folder_belongs_to_one_process_at_a_time(tmp_path):
    diary = tmp_path / "diary"
    processes = [get_context("spawn").Process(target=hold, args=(tmp_path / "folder", diary, name)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    lines = diary.read_text().splitlines()
    first, second = lines[0][0], lines[2][0]
    assert lines == [f"{first} enters", f"{first} leaves", f"{second} enters", f"{second} leaves"]
    assert {first, second} == {"a", "b"}
