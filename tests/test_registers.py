"""The register map in other people's formats is that of `isa.py`, of the documentation and of the hardware."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cimarron import isa
from cimarron.config import PRESETS
from cimarron.isa import ACT_WINDOW, ENGINE_ID, REGISTER_BITS, Register, SystemRegister, TimerRegister, UartRegister
from cimarron_sim.integration.register_files import write_registers
from cimarron_sim.runner.tools import MissingToolError
from systemrdl.compiler import RDLCompiler
from systemrdl.node import RegNode

CONFIG = PRESETS["tiny"]
DEVICES = {"engine": Register, "uart": UartRegister, "timer": TimerRegister, "system": SystemRegister}
SOC_PAGE = (Path(__file__).parents[1] / "docs" / "soc.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registers")
    return {path.name: path for path in write_registers(CONFIG, folder)}


@pytest.fixture(scope="module")
def soc(files):
    compiler = RDLCompiler()
    compiler.compile_file(str(files["cimarron.rdl"]))
    return compiler.elaborate("cimarron_soc").top


def compile_object(text: str, folder: Path) -> subprocess.CompletedProcess:
    """Compile a C program for RV32, with the headers of a system that has a C library."""
    (folder / "program.c").write_text(text)
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "riscv32-linux-musl", "-std=c11", "-Wall", "-Werror"]
    return subprocess.run(
        [*command, "-c", "program.c", "-o", "program.o"], cwd=folder, capture_output=True, text=True, check=False
    )


def documented(enumeration: str) -> list[tuple[int, str, str]]:
    """Offset, name and meaning of each row of the table of a device."""
    rows = re.findall(r"^\| (0x\w+) \| `(\w+)` \| (.*) \|$", SOC_PAGE.split(f"| offset | `{enumeration}` |")[1], re.M)
    return [(int(offset, 0), name, meaning) for offset, name, meaning in rows]


@pytest.mark.parametrize("device", DEVICES)
def test_every_register_is_where_the_documentation_says(soc, device):
    node = soc.get_child_by_name(f"CIMARRON_{device.upper()}")
    registers = [child for child in node.children() if isinstance(child, RegNode)]
    described = [(child.address_offset, child.inst_name, child.get_property("desc")) for child in registers]
    assert described == documented(DEVICES[device].__name__)[: len(described)]
    assert len(described) == len(DEVICES[device])


@pytest.mark.parametrize("device", DEVICES)
def test_every_register_may_be_accessed_as_the_documentation_says(soc, device):
    node = soc.get_child_by_name(f"CIMARRON_{device.upper()}")
    for _, name, meaning in documented(DEVICES[device].__name__)[: len(DEVICES[device])]:
        register = node.get_child_by_name(name)
        assert register.has_sw_readable == bool(re.search(r"\bread(/write)?:", meaning)), name
        writes = bool(re.search(r"\bwrite:|; write (1 )?clears", meaning))
        assert register.has_sw_writable == writes, name


@pytest.mark.parametrize("device", DEVICES)
def test_every_part_of_a_register_is_where_the_documentation_says(soc, device):
    node = soc.get_child_by_name(f"CIMARRON_{device.upper()}")
    for _, name, meaning in documented(DEVICES[device].__name__)[: len(DEVICES[device])]:
        register = node.get_child_by_name(name)
        parts = {(field.high, field.low) for field in register.fields()}
        ranges = {(int(high), int(low)) for high, low in re.findall(r"\b(\d+)\.\.(\d+)\b", meaning)}
        text = re.sub(r"\b\d+\.\.\d+\b", "", re.sub(r"write 1 clears.*", "", meaning))
        if re.search(r"\bbits? ", meaning):
            ranges |= {(int(bit), int(bit)) for bit in re.findall(r"(?:bits? |, (?=\d+ \w))(\d+)\b", text)}
        if name == "DATA":
            assert ranges == {(7, 0), (8, 8)}
        assert parts == (ranges or {(31, 0)}), name


def test_addresses_and_sizes_are_those_of_the_configuration(soc):
    at = {node.inst_name: (node.absolute_address, node.size) for node in soc.children()}
    for device in DEVICES:
        assert at[f"CIMARRON_{device.upper()}"][0] == getattr(isa, f"{device.upper()}_BASE")
    assert at["CIMARRON_RAM"] == (isa.RAM_BASE, CONFIG.ram_bytes)
    buffer = soc.get_child_by_name("CIMARRON_ENGINE").get_child_by_name("ACT_BUFFER")
    assert (buffer.address_offset, buffer.size) == (ACT_WINDOW, CONFIG.engine.act_buffer_bytes)


def test_constants_and_error_codes_are_in_the_map(soc):
    engine = soc.get_child_by_name("CIMARRON_ENGINE")
    names = ("ID", "CONFIG_HASH", "ERROR")
    values = {name: engine.get_child_by_name(name).get_child_by_name("value") for name in names}
    assert values["ID"].get_property("reset") == ENGINE_ID
    assert values["CONFIG_HASH"].get_property("reset") == CONFIG.engine.hash
    codes = {member.name: member.value for member in values["ERROR"].get_property("encode")}
    assert codes == {error.name: error.value for error in isa.EngineError}


def test_the_header_has_the_offsets_and_bits_of_the_firmware(files, tmp_path):
    """Both headers in one program, for the system's own processor: the compiler compares them."""
    lines = ["#include <stddef.h>", *(f'#include "{files[name]}"' for name in ("cimarron_soc.h", "cimarron_isa.h"))]
    prefixes = {"engine": "REG", "uart": "UART", "timer": "TIMER", "system": "SYSTEM"}
    for device, registers in DEVICES.items():
        for register in registers:
            left = f"offsetof(cimarron_{device}_t, {register.name})"
            lines.append(f'static_assert({left} == {prefixes[device]}_{register.name}, "{register.name}");')
            for name, part in REGISTER_BITS.get(registers, {}).get(register, {}).items():
                mask = f"CIMARRON_{device.upper()}__{register.name}__{name.upper()}_bm"
                lines.append(f'static_assert({mask} == {((1 << part.bits) - 1) << part.low:#x}u, "{name}");')
    lines += ['static_assert(offsetof(cimarron_engine_t, ACT_BUFFER) == ACT_WINDOW, "window");']
    lines += ["uint32_t status(void) { return CIMARRON_ENGINE.STATUS; }"]
    assert len(lines) > 40
    text = "\n".join([*lines, ""])
    done = compile_object(text, tmp_path)
    assert done.returncode == 0, done.stderr
    done = compile_object(text.replace("== REG_STATUS", "== REG_ERROR"), tmp_path)
    assert done.returncode != 0
    assert "STATUS" in done.stderr


def test_the_pages_need_nothing_from_elsewhere(files):
    page = files["index.html"]
    for path in (page, *page.parent.rglob("*.css")):
        text = re.sub(r"<!--.*?-->", "", path.read_text(encoding="utf-8"), flags=re.S)
        assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//|url\(["']?(?:https?:)?//""", text), path.name
    content = "".join(path.read_text(encoding="utf-8") for path in (page.parent / "content").iterdir())
    for registers in DEVICES.values():
        for register in registers:
            assert f"{register.name}" in content


def test_a_small_system_has_what_its_hardware_has(tmp_path):
    config = PRESETS["icebreaker"]
    files = {path.name: path for path in write_registers(config, tmp_path)}
    assert "cimarron_engine.h" not in files
    compiler = RDLCompiler()
    compiler.compile_file(str(files["cimarron.rdl"]))
    children = {child.inst_name: child for child in compiler.elaborate("cimarron_soc").top.children()}
    devices = {"CIMARRON_UART": isa.UART_BASE, "CIMARRON_SYSTEM": isa.SYSTEM_BASE, "CIMARRON_RAM": isa.RAM_BASE}
    buffer = {"CIMARRON_ACT_BUFFER": isa.ENGINE_BASE + isa.ACT_WINDOW}
    assert {name: child.absolute_address for name, child in children.items()} == devices | buffer
    assert children["CIMARRON_ACT_BUFFER"].size == config.bank_bytes
    done = compile_object(
        '#include "cimarron_soc.h"\nuint32_t event(void) { return CIMARRON_SYSTEM.EVENT; }\n', tmp_path
    )
    assert done.returncode == 0, done.stderr


def test_missing_tools_are_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "peakrdl_html", None)
    with pytest.raises(MissingToolError, match=r"pip install 'cimarron\[registers\]'"):
        write_registers(CONFIG, tmp_path)
