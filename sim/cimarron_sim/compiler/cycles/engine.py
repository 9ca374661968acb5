"""When the sequencer starts and retires jobs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from cimarron.config import EngineConfig
from cimarron.isa import Opcode

from .fetcher import Fetcher
from .loader import Loader
from .macro import Macro
from .port import Port
from .storer import store_cycles
from .vector import vector_cycles
from .walk import piece_counts

__all__ = ["COMMAND_LATENCY", "DRAIN_LATENCY", "GATHER_LATENCY", "EngineCycles", "JobCycles"]

#: Cycles from the transfer of an instruction to the one in which the engine carries it out.
COMMAND_LATENCY = 1

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
    busy : int
        Clock cycles that ``BUSY`` counts since the job before retired, or since the hand-over to an idle engine.
    compute, stall_input, stall_weights, stall_output : int
        Clock cycles that the counters of these names count for the job.
    operations : int
        Macro operations, or reads of a VECTOR job.
    """

    retired: int
    busy: int
    compute: int = 0
    stall_input: int = 0
    stall_weights: int = 0
    stall_output: int = 0
    operations: int = 0


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
        self._port = port = Port()
        self._fetcher = Fetcher(config, port)
        self._loader = Loader(config, port)
        self._free = 0  # cycle from which the sequencer can collect a descriptor
        self._collected = 0  # cycle in which it has the next one
        self._written = -1  # cycle of the last job's last write
        self._tables_free = 0  # cycle from which tables can be loaded
        self._since = 0  # cycle from which BUSY counts for the next job

    def hand_over(self, jobs: int, cycle: int | None = None) -> None:
        """Have descriptors fetched.

        Parameters
        ----------
        jobs : int
            Jobs that will be executed next; those handed over before have been.
        cycle : int, optional
            Of the instruction; if omitted, the engine learns of them in the cycle in which the last job retired.
        """
        cycle = self._since if cycle is None else cycle + COMMAND_LATENCY
        self._since = max(self._since, cycle + 1)
        self._fetcher.start(cycle, jobs)
        self._collected = self._fetcher.take(self._free)

    def execute(self, job: Mapping[str, int], *, planes: Iterable[int] | None = None) -> JobCycles:
        """Cycles of the next job that was handed over.

        Parameters
        ----------
        job : mapping
            Fields of a valid job, as `cimarron.isa.unpack_job` gives them.
        planes : iterable of int, optional
            Cycles that each operation spends in the array, in order: what a macro with ``plane_skipping`` makes of the
            data, which a descriptor does not tell.

        Raises
        ------
        ValueError
            If the macro skips planes and they are not given.
        """
        if job["opcode"] in (Opcode.LOAD, Opcode.STORE):
            return self._copy(job)
        if job["opcode"] == Opcode.VECTOR:
            return self._vector(job)
        if planes is None and self.config.macro.plane_skipping:
            raise ValueError(
                "cycles of a macro with plane_skipping depend on the activations: give the planes of each operation"
            )
        return self._mac(job, None if planes is None else iter(planes))

    def _give(self, cycle: int) -> None:
        """The job at hand has been given to whoever executes it, and the next descriptor is collected."""
        self._free = cycle + 1
        if self._fetcher.pending:
            # Before the loader's requests, which get what the fetcher leaves.
            self._collected = self._fetcher.take(self._free)

    def _retire(self, **counts: int) -> JobCycles:
        since, self._since = self._since, self._written + 1
        return JobCycles(retired=self._since, busy=self._since - since, **counts)

    def _copy(self, job: Mapping[str, int]) -> JobCycles:
        given = max(self._collected + 2, self._loader.ready, self._written + 1)
        self._give(given)
        if job["opcode"] == Opcode.LOAD:
            self._written = self._loader.load(given, job["length"])
        else:
            self._written = store_cycles(job, self.config, self._port, given)
            # Nothing is loaded meanwhile.
            self._loader.ready = self._written + 1
        return self._retire()

    def _vector(self, job: Mapping[str, int]) -> JobCycles:
        checked = self._collected + 2
        given_loader = max(checked, self._loader.ready, self._tables_free)
        given_compute = max(checked, self._written + 1)
        self._give(max(given_loader, given_compute))
        tables = self._loader.tables(given_loader, 1 + job["binary"])
        last, reads = vector_cycles(job, self.config, given_compute + 1, tables)
        self._written = last + DRAIN_LATENCY
        self._tables_free = self._written + 1
        return self._retire(operations=reads)

    def _mac(self, job: Mapping[str, int], planes: Iterator[int] | None) -> JobCycles:
        config, loader = self.config, self._loader
        macro = Macro(config.macro)
        checked = self._collected + 2
        given_loader = max(checked, loader.ready)
        given_compute = max(checked, self._written + 1)
        self._give(max(given_loader, given_compute))
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

        self._written = macro.released + DRAIN_LATENCY
        return self._retire(**macro.counts)
