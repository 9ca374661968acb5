"""The numpy truth: what the hardware must compute, in the plainest arithmetic.

One operator per file: widen to 64 bits, compute, wrap to the 32 bits of an accumulator, requantise, clip, narrow.
Shares nothing with the compiler or the hardware but the graph and the number of a rounding profile.
"""

from .execute import execute

__all__ = ["execute"]
