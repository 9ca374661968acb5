"""Search for the nearest word."""

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import MacroConfig
from .ports import BestLayout, WriteLayout

__all__ = ["BestMatch"]


class BestMatch(wiring.Component):
    """Index and value of the least of a result's distances; of equal ones, of the first.

    Neighbours meet in pairs, winners in pairs again, one round per cycle; a new result may enter in every cycle and
    nothing can hold it up.

    Parameters
    ----------
    config : MacroConfig

    Members
    -------
    valid : In(1)
        A result enters.
    width : In
        Index of its weights' width.
    distances : In(distance_bits).array(words)
        Those that fusion leaves empty do not take part.
    idle : In(groups)
        Column groups that do not take part, never all; only with gating.
    best : Out(BestLayout(config))
        ``latency`` cycles after its result.
    """

    def __init__(self, config: MacroConfig):
        self.config = config
        super().__init__(
            {
                "valid": In(1),
                "width": In(WriteLayout(config)["width"].shape),
                "distances": In(config.distance_bits).array(config.words),
                **({"idle": In(config.groups)} if config.gating else {}),
                "best": Out(BestLayout(config)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a result to its best match: one per round, and one for a single word."""
        return max(1, (self.config.words - 1).bit_length())

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        # An empty place lies behind the output it belongs to, and wins no tie: the largest number will do.
        firsts = Array(
            sum(1 << word for word in range(0, config.words, 2**width)) for width in range(len(config.weight_widths))
        )
        present = Signal(config.words)
        m.d.comb += present.eq(firsts[self.width])
        rivals = []
        # What is idle may lie before what is not, so that it takes a bit more to be out of reach.
        bits = config.distance_bits + config.gating
        for word, distance in enumerate(self.distances):
            offered = Signal(bits, name=f"offered_{word}")
            m.d.comb += offered.eq(distance | (~present[word]).replicate(config.distance_bits))
            if config.gating:
                m.d.comb += offered[-1].eq(self.idle[word // config.group_words])
            rivals.append((offered, word))
        valid, width = self.valid, self.width
        for level in range(self.latency):
            winners = []
            for pair in range(0, len(rivals), 2):
                distance = Signal(bits, name=f"distance_{level}_{pair}", reset_less=True)
                index = Signal(range(max(2, config.words)), name=f"index_{level}_{pair}", reset_less=True)
                (a, a_index), (b, b_index) = rivals[pair], rivals[pair : pair + 2][-1]
                b_wins = Signal(name=f"second_wins_{level}_{pair}")
                m.d.comb += b_wins.eq(b < a)
                m.d.sync += [distance.eq(Mux(b_wins, b, a)), index.eq(Mux(b_wins, b_index, a_index))]
                winners.append((distance, index))
            rivals = winners
            entered, entered_width = valid, width
            valid = Signal(name=f"valid_{level}")
            width = Signal.like(self.width, name=f"width_{level}", reset_less=True)
            m.d.sync += [valid.eq(entered), width.eq(entered_width)]
        [(distance, index)] = rivals
        m.d.comb += [
            self.best.valid.eq(valid),
            self.best.distance.eq(Mux(valid, distance, 0)),
            self.best.index.eq(Mux(valid, index >> width, 0)),
        ]
        return m
