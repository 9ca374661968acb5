"""Brings a quantised graph to the hardware: check, tile, place, schedule, write the program image."""

from .check import Place, Verdict, check
from .compile import compile
from .errors import CompileError
from .image import ProgramError
from .program import Activation, Layer, Program

__all__ = ["Activation", "CompileError", "Layer", "Place", "Program", "ProgramError", "Verdict", "check", "compile"]
