"""The hierarchy of a design as people know it: ports of a module are the members of its component."""

from collections.abc import Iterator, Sequence

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Elaboratable, Fragment, Signal, Value
from amaranth.hdl._ast import SignalDict
from amaranth.hdl._ir import Design, PortDirection, build_netlist
from amaranth.hdl._nir import Module, ModuleNetFlow, Net, Netlist
from amaranth.hdl._nir import Value as Nets
from amaranth.lib import wiring

__all__ = ["convert"]


#: Name of the port, the signal, and where it comes from: outside (input), inside (output), or not declared.
_Member = tuple[str, Signal, ModuleNetFlow | None]


def _members(part: Elaboratable) -> Iterator[_Member]:
    """Members of a component, and public attributes of Amaranth's own parts that are none, such as queues."""
    if isinstance(part, wiring.Component):
        for path, member, value in part.signature.flatten(part):
            signal = Value.cast(value)
            if isinstance(signal, Signal):
                flow = ModuleNetFlow.Input if member.flow is wiring.In else ModuleNetFlow.Output
                yield "__".join(map(str, path)), signal, flow
    else:
        yield from ((name, value, None) for name, value in vars(part).items() if isinstance(value, Signal))


def _prepare(component: wiring.Component, name: str) -> Design:
    """Elaborate; clocks and resets that nobody drives become ports, ``sync`` first and others by name."""
    fragment = Fragment.get(component, None)
    # Amaranth collects the domains in a set, whose order changes from one process to the next.
    domains = sorted(fragment._propagate_domains(ClockDomain), key=lambda domain: (domain.name != "sync", domain.name))
    ports = {
        port: (signal, PortDirection.Input if flow is ModuleNetFlow.Input else PortDirection.Output)
        for port, signal, flow in _members(component)
    }
    for domain in domains:
        ports |= {
            signal.name: (signal, PortDirection.Input) for signal in (domain.clk, domain.rst) if signal is not None
        }
    return fragment.prepare(ports, hierarchy=(name,), propagate_domains=False)


class _Ports:
    """Ports of one module that is not the top.

    Amaranth makes a port of the neighbouring outputs of one cell that cross into the module, and has a name for it only
    if they happen to be one signal. Here a member is a port as it was declared, and what else crosses is called after
    the signal that it is part of.

    Parameters
    ----------
    netlist : Netlist
    module : Module
        Its ports are replaced.
    members : sequence of _Member
        Of its component, if it has one.
    """

    def __init__(self, netlist: Netlist, module: Module, members: Sequence[_Member]):
        self._module = module
        self._values = netlist.signals
        self._parts = {netlist.modules[index].name[-1] for index in module.submodules}
        self._members = [member for member in members if member[1] in module.signal_names]
        self._ports: dict[str, tuple[Nets, ModuleNetFlow]] = {}
        self._done: set[Net] = set()

    def assign(self) -> None:
        """Replace the ports."""
        grouped = list(self._module.ports.values())
        self._rename_members()
        for _, signal, declared in self._members:
            self._add_member(signal, declared)
        # Where each net is in a signal that has a name, those with a name of their own first.
        self._places: dict[Net, list[tuple[str, Nets, int]]] = {}
        for signal, name in sorted(self._module.signal_names.items(), key=lambda item: "$" in item[1]):
            for bit, net in enumerate(self._values[signal]):
                self._places.setdefault(net, []).append((name, self._values[signal], bit))
        for nets, flow in grouped:
            self._add_rest([net for net in nets if net not in self._done], flow)
        self._module.ports.clear()
        self._module.ports.update(self._ports)

    def _rename_members(self) -> None:
        """A member has its own name, and an inner signal that took it the other one."""
        names = self._module.signal_names
        holders = {name: signal for signal, name in names.items()}
        for name, signal, _ in self._members:
            before = names[signal]
            if before == name or name in self._parts:
                continue
            if (holder := holders.get(name)) is not None:
                names[holder], holders[before] = before, holder
            names[signal], holders[name] = name, signal

    def _add_member(self, signal: Signal, declared: ModuleNetFlow | None) -> None:
        """A port for a whole member, if all of it comes from where it was declared to, and left through no other."""
        nets = self._values[signal]
        flows = {self._module.net_flow[net] for net in nets if not net.is_const}
        if len(flows) != 1 or ModuleNetFlow.Internal in flows or declared not in (None, *flows):
            return
        # An output drives what it is connected to: nothing constant, and nothing twice.
        drives = [net for net in nets if not net.is_const]
        if flows == {ModuleNetFlow.Input} or (len({*drives} - self._done) == len(nets)):
            self._add(self._module.signal_names[signal], nets, flows.pop())

    def _add(self, name: str, nets: Nets, flow: ModuleNetFlow) -> None:
        self._ports[name] = nets, flow
        self._done.update(net for net in nets if not net.is_const)

    def _add_rest(self, nets: list[Net], flow: ModuleNetFlow) -> None:
        """Ports for nets in as few pieces as signals allow."""
        while nets:
            name, length = self._name(nets)
            self._add(name, Nets(nets[:length]), flow)
            nets = nets[length:]

    def _name(self, nets: list[Net]) -> tuple[str, int]:
        """Name of the first nets, and how many it covers: a signal's, or that with the range of its bits."""
        best, found = (0, False, False), f"port_{nets[0].cell}_{nets[0].bit}"
        for name, value, start in self._places.get(nets[0], ()):
            most = min(len(nets), len(value) - start)
            length = next((bit for bit in range(most) if value[start + bit] != nets[bit]), most)
            whole = length == len(value)
            rank = length, "$" not in name, whole
            if rank > best and not (whole and name in self._ports):
                bits = "" if whole else f"_{start}" if length == 1 else f"_{start + length - 1}_{start}"
                best, found = rank, name + bits
        length, _, whole = best
        return (found if whole else self._unique(found)), length or len(nets)

    def _unique(self, name: str) -> str:
        """Names of nets that were cut out of a signal must not be those of others."""
        taken = {*self._module.signal_names.values(), *self._parts, *self._ports}
        while name in taken:
            name += "_"
        return name


def _name_parts(design: Design) -> None:
    """A part has its own name in the hierarchy, and an inner signal of its parent that took it the other one."""
    for info in design.fragments.values():
        if info.parent is None:
            continue
        parent = design.fragments[info.parent]
        name, number, _ = info.name[-1].partition("$")
        holders = [signal for signal, held in parent.signal_names.items() if held == name]
        inner = not any(signal is port for signal in holders for _, port, _ in design.ports)
        if name and number and holders and inner:
            parent.signal_names[holders[0]] = info.name[-1]
        else:
            name = info.name[-1]
        info.name = (*parent.name, name)


def convert(component: wiring.Component, name: str) -> str:
    """RTLIL of a component.

    Like `amaranth.back.rtlil.convert`, but the same in every process, and with a module's members as its ports: an
    input as a whole if any of it comes from outside, an output as a whole if all of it is made inside. What is constant
    or passed through leaves by no port, nor does anything by two.

    Parameters
    ----------
    component : wiring.Component
        Its members become the ports of the top; nested ones are joined with two underscores.
    name : str
        Of the top.

    Returns
    -------
    str
    """
    design = _prepare(component, name)
    _name_parts(design)
    members: dict[tuple[str, ...], list[_Member]] = {}
    for elaboratable, fragment in design.elaboratables.items():
        place = design.fragments[fragment].name
        if not members.get(place):
            members[place] = list(_members(elaboratable))
    netlist = build_netlist(design)
    for module in netlist.modules[1:]:
        _Ports(netlist, module, members.get(module.name, [])).assign()

    empty = rtlil.EmptyModuleChecker(netlist)
    builder = rtlil.Design(emit_src=False)
    names = SignalDict()
    for index, module in enumerate(netlist.modules):
        if not empty.is_empty(index):
            part = builder.module(".".join(module.name), src_loc=module.src_loc)
            if module.parent is None:
                part.attribute("top", 1)
            rtlil.ModuleEmitter(part, netlist, module, names, empty_checker=empty).emit()
    return str(builder)
