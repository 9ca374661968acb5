"""Memory that fits block RAM with nothing around it."""

from amaranth.hdl import Module, Shape, Signal
from amaranth.lib import memory, wiring

__all__ = ["lax_memory"]


def lax_memory(
    m: Module, name: str, *, shape: Shape | int, depth: int
) -> tuple[wiring.PureInterface, memory.WritePort]:
    """Add a memory with a port to read, whose data come in the cycle after ``en``, and one to write.

    A word that is read in the cycle in which it is written reads as anything. The ports of an FPGA's block RAM promise
    no more, and what else it would take lies in the longest ways: comparators behind the addresses, multiplexers behind
    the data. In simulation, it is the old word.

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

    Returns
    -------
    read : wiring.PureInterface
        With the members of `amaranth.lib.memory.ReadPort`.
    write : memory.WritePort
    """
    # Yosys heeds the attribute where it makes one of a port and the register behind it.
    m.submodules[name] = words = memory.Memory(shape=shape, depth=depth, init=[], attrs={"no_rw_check": 1})
    signature = memory.ReadPort.Signature(addr_width=(depth - 1).bit_length(), shape=shape)
    read = signature.create(path=("read", name))
    word = words.read_port(domain="comb")
    data = Signal.like(read.data, name=f"data_{name}", reset_less=True)
    m.d.comb += [word.addr.eq(read.addr), read.data.eq(data)]
    with m.If(read.en):
        m.d.sync += data.eq(word.data)
    return read, words.write_port()
