"""Memory that fits block RAM with nothing around it."""

from amaranth.hdl import Module, Shape, Signal
from amaranth.lib import memory, wiring

__all__ = ["lax_memory", "lax_read_port"]


def lax_memory(m: Module, name: str, *, shape: Shape | int, depth: int, init: list[int] | None = None) -> memory.Memory:
    """Add a memory whose words read as anything in the cycle in which they are written.

    The ports of an FPGA's block RAM promise no more, and what else it would take lies in the longest ways: comparators
    behind the addresses, multiplexers behind the data. In simulation, it is the old word.

    Parameters
    ----------
    m : Module
        Gets the memory as a submodule.
    name : str
        Of the submodule.
    shape : ShapeLike
        Of a word.
    depth : int
        Number of words.
    init : list of int, optional
        The first words; the rest is 0.

    Returns
    -------
    memory.Memory
        For its ``write_port``, and for `lax_read_port`.
    """
    # Yosys heeds the attribute where it makes one of a port and the register behind it.
    m.submodules[name] = words = memory.Memory(shape=shape, depth=depth, init=init or [], attrs={"no_rw_check": 1})
    return words


def lax_read_port(m: Module, words: memory.Memory, name: str) -> wiring.PureInterface:
    """Add a port to read, whose data come in the cycle after ``en``.

    Parameters
    ----------
    m : Module
        Of the memory.
    words : memory.Memory
        From `lax_memory`.
    name : str
        Of what the port shows.

    Returns
    -------
    wiring.PureInterface
        With the members of `amaranth.lib.memory.ReadPort`.
    """
    word = words.read_port(domain="comb")
    signature = memory.ReadPort.Signature(addr_width=len(word.addr), shape=words.shape)
    read = signature.create(path=("read", name))
    data = Signal.like(read.data, name=f"data_{name}", reset_less=True)
    m.d.comb += [word.addr.eq(read.addr), read.data.eq(data)]
    with m.If(read.en):
        m.d.sync += data.eq(word.data)
    return read
