"""When the sequencer starts and retires jobs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from cimarron.config import EngineConfig
from cimarron.isa import JOB_WORDS, Opcode

from .loader import Loader
from .macro import Macro
from .walk import piece_counts

__all__ = ["DRAIN_LATENCY", "GATHER_LATENCY", "EngineCycles", "JobCycles"]

#: Cycles from a job's start to the first byte in the vector: `cimarron.engine.gather.Gather.latency`.
GATHER_LATENCY = 5

#: Cycles from the selection of a beat to its write: `cimarron.engine.drain.Drain.latency`.
DRAIN_LATENCY = 11


@dataclass(frozen=True, kw_only=True)
class JobCycles:
    """What the engine's monitor shows for one job.

    Parameters
    ----------
    retired : int
        Clock cycle in which ``retired`` pulses.
    compute, stall_input, stall_weights, stall_output : int
        Clock cycles that the counters of these names count for the job.
    operations : int
        Macro operations.
    """

    retired: int
    compute: int
    stall_input: int
    stall_weights: int
    stall_output: int
    operations: int


class EngineCycles:
    """An engine whose jobs are counted through instead of executed.

    Nobody else uses the activation buffer meanwhile, and memory answers every request in the next cycle, as
    `cimarron.soc.ram.Ram` does.

    Parameters
    ----------
    config : EngineConfig
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        self._loader = Loader(config)
        self._fetch = 0  # cycle in which the sequencer takes the first word of the next descriptor at the earliest
        self._computes_until = -1  # cycle of the last job's last write

    def execute(self, job: Mapping[str, int], *, available: int = 0, planes: Iterable[int] | None = None) -> JobCycles:
        """Cycles of the next job.

        Parameters
        ----------
        job : mapping
            Fields of a valid job, as `cimarron.isa.unpack_job` gives them.
        available : int
            Cycle in which the last word of the descriptor is first available in the queue.
        planes : iterable of int, optional
            Cycles that each operation spends in the array, in order: what a macro with ``plane_skipping`` makes of the
            data, which a descriptor does not tell.

        Raises
        ------
        ValueError
            If the macro skips planes and they are not given.
        """
        collected = max(self._fetch + JOB_WORDS - 1, available)
        checked = collected + 2
        if job["opcode"] == Opcode.LOAD:
            return self._load(job, checked)
        if planes is None:
            if self.config.macro.plane_skipping:
                raise ValueError(
                    "cycles of a macro with plane_skipping depend on the activations: give the planes of each operation"
                )
            return self._mac(job, checked, None)
        return self._mac(job, checked, iter(planes))

    def _load(self, job: Mapping[str, int], checked: int) -> JobCycles:
        given = max(checked, self._loader.ready, self._computes_until + 1)
        self._computes_until = self._loader.load(given, job["length"])
        self._fetch = given + 1
        retired = self._computes_until + 1
        return JobCycles(retired=retired, compute=0, stall_input=0, stall_weights=0, stall_output=0, operations=0)

    def _mac(self, job: Mapping[str, int], checked: int, planes: Iterator[int] | None) -> JobCycles:
        config, loader = self.config, self._loader
        macro = Macro(config.macro)
        given_loader = max(checked, loader.ready)
        given_compute = max(checked, self._computes_until + 1)
        self._fetch = max(given_loader, given_compute) + 1
        loader.start(given_loader)
        start = given_compute + 1
        macro.start(start, start + GATHER_LATENCY - 1)

        rows, row_tiles = config.macro.rows, job["row_tiles"]
        pixels = job["out_width"] * job["out_height"]
        steps = config.macro.operation_cycles(job["act_bits"])
        pieces = piece_counts(job["kernel_h"] * job["runs"], job["run_bytes"], row_tiles, rows, config.act_port_bytes)
        shared = bool(job["shared_weights"])
        ready = 0
        for word_tile in range(job["word_tiles"]):
            outputs = job["last_words"] if word_tile == job["word_tiles"] - 1 else job["tile_words"]
            beats = -(-outputs // config.lanes)
            loads = word_tile == 0 or not shared
            if loads:
                loader.records(outputs)
            for row_tile in range(row_tiles):
                tile_rows = job["last_rows"] if row_tile == row_tiles - 1 else rows
                if loads and (row_tile == 0 or not shared):
                    ready = loader.rows(tile_rows)
                gathers = pieces[row_tile]
                # A vector with fewer rows than the macro is cleared first, once per tile.
                clears = int(tile_rows != rows)
                first = next(planes) if planes else steps
                macro.operate(pieces=gathers + clears, ready=ready, planes=first, beats=beats)
                if planes is None:
                    macro.repeat(pixels - 1, pieces=gathers, planes=steps, beats=beats)
                else:
                    for count in islice(planes, pixels - 1):
                        macro.operate(pieces=gathers, ready=ready, planes=count, beats=beats)
                if not shared:
                    loader.set_done(macro.released)
            if not shared:
                loader.bank_done(macro.released)
        if shared:
            loader.set_done(macro.released)
            loader.bank_done(macro.released)

        self._computes_until = macro.released + DRAIN_LATENCY
        return JobCycles(
            retired=self._computes_until + 1,
            compute=macro.compute,
            stall_input=macro.stall_input,
            stall_weights=macro.stall_weights,
            stall_output=macro.stall_output,
            operations=macro.operations,
        )
