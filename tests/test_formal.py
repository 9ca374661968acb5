# amaranth: UnusedElaboratable=no
"""Proofs for all inputs and all time, and for each a mutant that the same property must refute."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Module, Mux, unsigned
from amaranth.lib import wiring
from cimarron.bus.access_register import AccessRegister
from cimarron.bus.arbiter import Arbiter
from cimarron.bus.axi4 import Axi4
from cimarron.bus.axi4_lite import Axi4Lite
from cimarron.bus.bursts import Bursts
from cimarron.bus.decoder import Decoder, Target
from cimarron.bus.pipelined_arbiter import PipelinedArbiter
from cimarron.bus.request_register import RequestRegister
from cimarron.bus.wishbone import Signature
from cimarron.config import PRESETS, MacroConfig
from cimarron.engine.registers import Registers
from cimarron.engine.skid import Skid
from cimarron.isa import Register
from cimarron.macro.back_ends import BACK_ENDS
from cimarron.macro.macro import Macro
from cimarron.soc.cfu import CfuAdapter
from cimarron_sim.runner.yosys import Verdict, prove
from formal.access_errors import AccessErrors
from formal.access_register import AccessesPassed
from formal.adder_tree import SumOfRows
from formal.axi4 import MemoryAccesses
from formal.axi4_lite import LiteAccesses
from formal.bursts import BurstsOfWords
from formal.bus import ArbiterGrants, DecoderAnswers
from formal.cfu_adapter import CommandOrder
from formal.dot_product import DotProduct
from formal.handshake import MacroHandshake
from formal.idle_set import IdleSetWrites
from formal.pipelined_arbiter import PipelinedGrants
from formal.request_register import RequestsPassed
from formal.skid import SkidOrder

pytestmark = [pytest.mark.formal, pytest.mark.slow]

#: Adds one wrong statement to an elaborated design; the last assignment wins.
Fault = Callable[[Module, wiring.Component], object]


def faulty(kind: type[wiring.Component], fault: Fault) -> type[wiring.Component]:
    """The same component with a fault."""

    class Mutant(kind):
        def elaborate(self, platform):
            m = super().elaborate(platform)
            fault(m, self)
            return m

    return Mutant


def check(request, genuine: wiring.Component, mutant: wiring.Component, *, bound: int | None = None) -> None:
    """The property holds of the design, and fails of the mutant."""
    folder = Path("build/formal") / request.node.name
    # Seconds for a machine that does other things, too: none takes a minute on an idle one.
    mutated = prove(mutant, folder / "mutant", bound=bound, seconds=300)
    assert mutated is Verdict.REFUTED, "the property does not see the fault"
    assert prove(genuine, folder / "genuine", bound=bound, seconds=300) is Verdict.PROVED


def loses_a_carry(m, tree):
    """The top bit of the sum is lost."""
    m.d.comb += tree.o[-1].eq(0)


@pytest.mark.parametrize("geometry", [(2, 2, 1), (8, 2, 1), (16, 1, 1), (8, 1, 2), (5, 1, 4)], ids=str)
@pytest.mark.parametrize("adder", BACK_ENDS)
def test_adder_tree_is_the_sum_of_its_rows(request, adder, geometry):
    def tree(kind):
        rows, words, bits = geometry
        return SumOfRows(kind(rows=rows, words=words, bits=bits))

    check(request, tree(BACK_ENDS[adder]), tree(faulty(BACK_ENDS[adder], loses_a_carry)))


def result_too_narrow(m, macro):
    """The sign of the result is lost."""
    m.d.comb += macro.o_stream.payload.y[0][-1].eq(0)


def keeps_the_input_sum(m, macro):
    """The activations of the operation before are summed, too."""
    m.d.comb += m.submodules.input_sum.first.eq(0)


def signed_weights_as_unsigned(m, macro):
    """Weights are written as they are, and nothing is taken off for their offset."""
    m.d.comb += m.submodules.write_port.i_stream.payload.signed.eq(0)


def ignores_the_upper_plane(m, macro):
    """Of planes that go side by side, the upper one does not count."""
    m.d.comb += m.submodules.group_0.sums[1][0].eq(0)


def repeats_the_first_rows(m, macro):
    """Row groups take turns in the driver, but not in the array."""
    m.d.comb += [source.row_group.eq(0) for source in m.submodules.array.source]


def adds_every_plane_at_the_bottom(m, macro):
    """Planes that were skipped leave no gap."""
    m.d.comb += m.submodules.group_0.place.eq(0)


def keeps_the_sums_of_a_level(m, macro):
    """The registers in the trees never take anything new."""
    m.d.comb += m.submodules.tree.enable.eq(0)


DOT_PRODUCTS: dict[str, tuple[dict[str, Any], Fault]] = {
    "cells-of-1-bit": (dict(rows=2, words=4, cell_bits=1, max_weight_bits=4, max_act_bits=2), result_too_narrow),
    "cells-of-2-bits": (
        dict(rows=2, words=2, cell_bits=2, max_weight_bits=4, max_act_bits=2),
        signed_weights_as_unsigned,
    ),
    "three-rows": (
        dict(rows=3, words=1, cell_bits=2, max_weight_bits=2, max_act_bits=2, weight_sets=1),
        keeps_the_input_sum,
    ),
    # The dial.
    "two-planes": (
        dict(rows=2, words=2, cell_bits=1, max_weight_bits=2, max_act_bits=3, planes_per_cycle=2),
        ignores_the_upper_plane,
    ),
    "row-groups": (
        dict(rows=2, words=2, cell_bits=1, max_weight_bits=2, max_act_bits=2, row_groups=2),
        repeats_the_first_rows,
    ),
    "plane-skipping": (
        dict(rows=2, words=2, cell_bits=1, max_weight_bits=2, max_act_bits=3, plane_skipping=True),
        adds_every_plane_at_the_bottom,
    ),
    "pipeline": (
        dict(rows=4, words=1, cell_bits=1, max_weight_bits=1, max_act_bits=2, pipeline=1),
        keeps_the_sums_of_a_level,
    ),
    "planes-in-turn-skipped": (
        dict(
            rows=4, words=1, cell_bits=1, max_weight_bits=1, weight_sets=1, max_act_bits=3,
            row_groups=2, planes_per_cycle=2, plane_skipping=True,
        ),
        adds_every_plane_at_the_bottom,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DOT_PRODUCTS)
def test_macro_computes_integer_dot_products_in_every_format(request, case):
    parameters, fault = DOT_PRODUCTS[case]
    config = MacroConfig(**parameters)
    genuine, mutant = DotProduct(Macro(config)), DotProduct(faulty(Macro, fault)(config))
    check(request, genuine, mutant, bound=genuine.cycles + 1)


#: Small enough for all of its states, large enough for two sets, several planes and errors.
TRAFFIC = MacroConfig(rows=2, words=1, cell_bits=1, max_weight_bits=1, weight_sets=2, max_act_bits=2)
#: The same at every setting of the dial, and cycles from reset to look at if there are too many states for all.
DIALS = {
    "two-planes": (replace(TRAFFIC, planes_per_cycle=2, max_act_bits=3), None),
    "row-groups": (replace(TRAFFIC, row_groups=2), None),
    "plane-skipping": (replace(TRAFFIC, plane_skipping=True), None),
    "pipeline": (replace(TRAFFIC, rows=4, pipeline=1), 10),
}
#: All of them at once.
TOGETHER = replace(TRAFFIC, rows=8, row_groups=2, planes_per_cycle=2, max_act_bits=3, plane_skipping=True, pipeline=1)


def drops_planes_of_a_stalled_array(m, macro):
    """The driver goes on although the sum register is full."""
    m.d.comb += m.submodules.driver.o_stream.ready.eq(1)


def repeats_an_operation(m, macro):
    """An operation seems refused although the driver takes it."""
    with m.If(macro.o_stream.valid):
        m.d.comb += macro.i_stream.ready.eq(0)


def hangs_while_written(m, macro):
    """Operations wait for writes, which may never end."""
    with m.If(macro.write.valid):
        m.d.comb += [macro.i_stream.ready.eq(0), m.submodules.driver.i_stream.valid.eq(0)]


def writes_under_the_array(m, macro):
    """Writes to the computing set do not wait."""
    m.d.comb += m.submodules.write_port.computing.eq(0)


@pytest.mark.parametrize(
    "fault", [drops_planes_of_a_stalled_array, repeats_an_operation, hangs_while_written, writes_under_the_array]
)
def test_macro_never_drops_repeats_or_hangs(request, fault):
    check(request, MacroHandshake(Macro(TRAFFIC)), MacroHandshake(faulty(Macro, fault)(TRAFFIC)))


@pytest.mark.parametrize("dial", DIALS)
def test_macro_never_drops_repeats_or_hangs_at_any_setting_of_the_dial(request, dial):
    config, bound = DIALS[dial]
    mutant = faulty(Macro, drops_planes_of_a_stalled_array)(config)
    check(request, MacroHandshake(Macro(config)), MacroHandshake(mutant), bound=bound)


def computes_with_the_set_being_written(m, macro):
    """The array reads the set that a write addresses."""
    with m.If(macro.write.valid):
        m.d.comb += [source.set.eq(macro.write.payload.set) for source in m.submodules.array.source]


def waits_for_writes(m, macro):
    """A write stops the array, whatever set it goes to."""
    with m.If(macro.write.valid):
        m.d.comb += m.submodules.driver.o_stream.ready.eq(0)


@pytest.mark.parametrize("fault", [computes_with_the_set_being_written, waits_for_writes])
def test_writing_an_idle_set_changes_nothing(request, fault):
    def twins(kind):
        return IdleSetWrites(kind(TRAFFIC), Macro(TRAFFIC))

    check(request, twins(Macro), twins(faulty(Macro, fault)))


@pytest.mark.parametrize("dial", [*DIALS, "together"])
def test_writing_an_idle_set_changes_nothing_at_any_setting_of_the_dial(request, dial):
    config, _ = DIALS.get(dial, (TOGETHER, None))
    mutant = faulty(Macro, computes_with_the_set_being_written)(config)
    check(request, IdleSetWrites(Macro(config), Macro(config)), IdleSetWrites(mutant, Macro(config)))


def overtakes(m, adapter):
    """A new command reaches the engine before those that wait."""
    with m.If(adapter.cpu.request.valid):
        m.d.comb += adapter.engine.request.payload.eq(adapter.cpu.request.payload)


def test_custom_instructions_are_never_dropped_repeated_or_reordered(request):
    check(request, CommandOrder(CfuAdapter()), CommandOrder(faulty(CfuAdapter, overtakes)()))


def answers_before_the_error(m, registers):
    """An instruction right behind an access of the bus does not wait for what that did wrong."""
    request, response = registers.command.request, registers.command.response
    with m.If(registers.bus.ack):
        m.d.comb += request.ready.eq(~response.valid & ~registers.clear)


def takes_words_in_error(m, registers):
    """What is written to the queue goes there, error or not."""
    with m.If(registers.bus.stb & registers.bus.we & ~registers.bus.ack & ~registers.command.request.valid):
        m.d.comb += registers.jobs.valid.eq((registers.bus.adr << 2) == Register.JOB)


@pytest.mark.parametrize("fault", [answers_before_the_error, takes_words_in_error])
def test_every_access_sees_the_errors_before_it(request, fault):
    def accesses(kind):
        return AccessErrors(kind(PRESETS["tiny"].engine))

    check(request, accesses(Registers), accesses(faulty(Registers, fault)))


def acknowledges_a_neighbour(m, arbiter):
    """Initiator 1 hears every acknowledge."""
    m.d.comb += arbiter.initiators[1].ack.eq(arbiter.bus.ack)


def prefers_the_first(m, arbiter):
    """Initiator 0 always wins."""
    with m.If(arbiter.initiators[0].cyc):
        m.d.comb += [arbiter.bus.cyc.eq(0), arbiter.initiators[1].ack.eq(0)]


@pytest.mark.parametrize("fault", [acknowledges_a_neighbour, prefers_the_first])
def test_arbiter_answers_every_request_once_and_in_bounded_time(request, fault):
    def grants(kind):
        return ArbiterGrants(kind(3, Signature(addr_width=1, data_width=8)))

    check(request, grants(Arbiter), grants(faulty(Arbiter, fault)))


def answers_a_neighbour(m, arbiter):
    """Every answer reaches the first initiator, too."""
    m.d.comb += arbiter.initiators[0].ack.eq(arbiter.bus.ack)


def lets_go_of_a_stalled_request(m, arbiter):
    """The first initiator goes first even while the target stalls the other one's request."""
    with m.If(arbiter.initiators[0].stb):
        m.d.comb += [
            arbiter.bus.adr.eq(arbiter.initiators[0].adr),
            arbiter.bus.we.eq(arbiter.initiators[0].we),
        ]


@pytest.mark.parametrize("fault", [answers_a_neighbour, lets_go_of_a_stalled_request])
def test_pipelined_answers_reach_whoever_asked(request, fault):
    outstanding = 2
    signature = Signature(addr_width=1, data_width=8, features={"err", "stall"})

    def grants(kind):
        return PipelinedGrants(kind(3, signature, outstanding=outstanding), outstanding)

    check(request, grants(PipelinedArbiter), grants(faulty(PipelinedArbiter, fault)))


def forgets_what_waits(m, register):
    """A request is on the bus for a cycle, whether the target takes it or not."""
    m.d.sync += register.bus.stb.eq(register.initiator.stb)


def lets_the_bus_go(m, register):
    """Without a request there is no cycle, whatever is owed."""
    m.d.sync += register.bus.cyc.eq(register.initiator.stb)


@pytest.mark.parametrize("fault", [forgets_what_waits, lets_the_bus_go])
def test_registered_requests_reach_the_target_once_and_in_order(request, fault):
    signature = Signature(addr_width=1, data_width=8, features={"err", "stall"})

    def passed(kind):
        return RequestsPassed(kind(signature))

    check(request, passed(RequestRegister), passed(faulty(RequestRegister, fault)))


def answers_the_next(m, register):
    """Whoever asks when an answer comes gets it."""
    m.d.comb += register.initiator.ack.eq(register.bus.ack)


def asks_again(m, register):
    """The access is still there in the cycle after the answer."""
    m.d.comb += register.bus.stb.eq(register.bus.cyc | register.initiator.stb)


@pytest.mark.parametrize("fault", [answers_the_next, asks_again])
def test_registered_accesses_happen_once_and_are_answered_to_whoever_asked(request, fault):
    def passed(kind):
        return AccessesPassed(kind(Signature(addr_width=1, data_width=8)))

    check(request, passed(AccessRegister), passed(faulty(AccessRegister, fault)))


def shows_the_newest(m, skid):
    """What comes passes what waits."""
    with m.If(skid.i_stream.valid):
        m.d.comb += skid.o_stream.payload.eq(skid.i_stream.payload)


def is_always_ready(m, skid):
    """The sender never waits."""
    m.d.comb += skid.i_stream.ready.eq(1)


@pytest.mark.parametrize("fault", [shows_the_newest, is_always_ready])
def test_skid_buffer_loses_repeats_and_delays_nothing(request, fault):
    check(request, SkidOrder(Skid(unsigned(4))), SkidOrder(faulty(Skid, fault)(unsigned(4))))


def waits_for_ever(m, decoder):
    """Only targets answer."""
    m.d.comb += decoder.bus.ack.eq((decoder.ram.ack & decoder.ram.stb) | (decoder.device.ack & decoder.device.stb))


def ignores_the_window(m, decoder):
    """The device sees every request."""
    m.d.comb += [decoder.device.cyc.eq(decoder.bus.cyc), decoder.device.stb.eq(decoder.bus.stb)]


@pytest.mark.parametrize("fault", [waits_for_ever, ignores_the_window])
def test_decoder_answers_every_request_once_and_in_bounded_time(request, fault):
    timeout_cycles = 4
    windows = {"ram": (0x4000_0000, 0x4000_000F), "device": (0x8000, 0x8007)}

    def answers(kind):
        targets = {
            "ram": Target(Signature(addr_width=2), 0x4000_0000),
            "device": Target(Signature(addr_width=1), 0x8000),
        }
        return DecoderAnswers(kind(targets, timeout_cycles=timeout_cycles), windows, timeout_cycles)

    check(request, answers(Decoder), answers(faulty(Decoder, fault)))


def withdraws_a_response(m, bridge):
    """The response of a read is there for a cycle only."""
    m.d.sync += bridge.axi.rvalid.eq(0)


def takes_an_address_too_many(m, bridge):
    """Addresses to read from are always taken."""
    m.d.comb += bridge.axi.arready.eq(1)


def writes_before_the_data(m, bridge):
    """An address without data is enough to write."""
    with m.If(~bridge.axi.awready & ~bridge.axi.bvalid & bridge.axi.arready):
        m.d.comb += [bridge.bus.stb.eq(1), bridge.bus.cyc.eq(1), bridge.bus.we.eq(1)]


def forgets_the_error(m, bridge):
    """Every response says OKAY."""
    m.d.sync += bridge.axi.bresp.eq(0)


LITE_FAULTS = [withdraws_a_response, takes_an_address_too_many, writes_before_the_data, forgets_the_error]


@pytest.mark.parametrize("fault", LITE_FAULTS)
def test_lite_accesses_reach_the_target_once_and_are_answered_once(request, fault):
    signature = Signature(addr_width=1, data_width=8, features={"err"})

    def accesses(kind):
        return LiteAccesses(kind(signature))

    check(request, accesses(Axi4Lite), accesses(faulty(Axi4Lite, fault)))


def lets_a_read_overtake(m, bridge):
    """Reads and writes of one page are on their way together."""
    bus = bridge.bus
    with m.If(m.submodules.order.w_rdy):
        m.d.comb += [
            bus.stall.eq(~Mux(bus.we, m.submodules.writes.ready, m.submodules.reads.ready)),
            m.submodules.reads.request.eq(bus.cyc & bus.stb & ~bus.we),
            m.submodules.writes.request.eq(bus.cyc & bus.stb & bus.we),
        ]


def hears_cancelled_answers(m, bridge):
    """An answer to a cycle given up is passed on to the next one."""
    with m.If(bridge.bus.cyc & bridge.axi.rvalid & bridge.axi.rready):
        m.d.comb += bridge.bus.ack.eq(~bridge.axi.rresp[1])


def ends_every_burst_at_once(m, bridge):
    """Every word is the last one."""
    m.d.comb += bridge.axi.wlast.eq(1)


def shows_a_burst_that_grows(m, bridge):
    """The length changes on the channel."""
    with m.If(bridge.bus.stb):
        m.d.comb += bridge.axi.arlen.eq(m.submodules.reads.launched_beats)


#: Cycles from reset to look at: enough for a burst, and for what follows a cycle that was given up.
MEMORY_CYCLES = 8
MEMORY_FAULTS = [lets_a_read_overtake, hears_cancelled_answers, ends_every_burst_at_once, shows_a_burst_that_grows]


@pytest.mark.parametrize("fault", MEMORY_FAULTS)
def test_memory_accesses_are_neither_lost_nor_repeated_nor_out_of_turn(request, fault):
    lengths = {"outstanding": 3, "burst_beats": 2}
    signature = Signature(addr_width=2, data_width=8, features={"err", "stall"})

    def accesses(kind):
        return MemoryAccesses(kind(signature, page_bytes=2, **lengths), page_words=2, **lengths)

    check(request, accesses(Axi4), accesses(faulty(Axi4, fault)), bound=MEMORY_CYCLES)


def lets_the_shown_burst_grow(m, bursts):
    """The length changes on the channel."""
    with m.If(bursts.request & ~bursts.channel_ready):
        m.d.sync += bursts.channel_beats.eq(bursts.channel_beats | 1)


def takes_a_word_too_many(m, bursts):
    """Words that do not fit are taken, too."""
    m.d.comb += bursts.ready.eq(1)


BURST_FAULTS = [lets_the_shown_burst_grow, takes_a_word_too_many]


@pytest.mark.parametrize("fault", BURST_FAULTS)
def test_bursts_hold_the_words_asked_for_in_order(request, fault):
    lengths = {"burst_beats": 3, "page_words": 4}

    def words(kind):
        return BurstsOfWords(kind(3, **lengths), **lengths)

    check(request, words(Bursts), words(faulty(Bursts, fault)))
