"""Predicts the cycle in which the engine retires each job, exactly, without simulating it.

Every part of the engine is a pipeline with handshakes, so the cycle of each of its events is the latest of a few
earlier ones plus constants. One file per part says which; docs/cycles.md derives them.
"""

from .engine import EngineCycles, JobCycles

__all__ = ["EngineCycles", "JobCycles"]
